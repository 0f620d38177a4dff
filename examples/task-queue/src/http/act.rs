//! What is asked of one partition, done by its primary.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ck_http::{Reply, StatusCode, json_reply};
use ck_node::PartitionId;
use serde::Serialize;

use crate::error::QueueError;
use crate::name::{Receipt, TaskId};
use crate::service::Core;
use crate::shard::{Enqueue, Held, Revive, Settle, Shown};

/// What is asked of one partition.
#[derive(Debug, Clone)]
pub(super) enum Act {
    Enqueue(Enqueue),
    Settle(TaskId, Receipt, Settle),
    Revive(TaskId, Revive),
    Look(TaskId),
}

/// A task that was made.
#[derive(Debug, Serialize)]
struct Made {
    task: String,
    queue: String,
}

/// A task as it stands.
#[derive(Debug, Serialize)]
struct Task {
    task: String,
    queue: String,
    state: &'static str,
    attempts: u32,
    max_attempts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    idempotency_key: Option<String>,
    /// In base64.
    payload: String,
}

impl From<&Shown> for Task {
    fn from(shown: &Shown) -> Self {
        let key = shown.head.idempotency.as_deref();
        Self {
            task: shown.task.to_string(),
            queue: shown.queue.to_string(),
            state: shown.phase.name(),
            attempts: shown.head.attempts,
            max_attempts: shown.head.attempts_max,
            idempotency_key: key.map(|key| String::from_utf8_lossy(key).into_owned()),
            payload: BASE64_STANDARD.encode(&shown.payload),
        }
    }
}

impl Act {
    /// Does it, as the primary of `partition`.
    pub(super) async fn perform(
        &self,
        core: &Arc<Core>,
        partition: PartitionId,
    ) -> Result<Reply, QueueError> {
        let held = core.held(partition)?;
        let (core, act) = (Arc::clone(core), self.clone());
        // On a task of its own: what has begun is brought to its end, whoever goes away.
        let done = tokio::spawn(async move {
            let done = act.perform_held(&core, &held).await;
            // Not before: whoever builds the next shard has to find what this one wrote.
            drop(held.guard);
            done
        });
        let stopped = |_| QueueError::Stopped { partition };
        done.await.map_err(stopped)?
    }

    async fn perform_held(&self, core: &Core, held: &Held) -> Result<Reply, QueueError> {
        let shard = &held.shard;
        match self {
            Self::Enqueue(new) => {
                let made = shard.enqueue(new.clone()).await?;
                if !made.repeated && new.delay.is_zero() {
                    core.bells.ring(&new.queue);
                }
                let status = match made.repeated {
                    true => StatusCode::OK,
                    false => StatusCode::CREATED,
                };
                let (task, queue) = (made.task.to_string(), new.queue.to_string());
                Ok(json_reply(status, &Made { task, queue }))
            }
            Self::Settle(task, receipt, what) => {
                shard.settle(task.number, *receipt, *what).await?;
                if matches!(what, Settle::Nack { delay } if delay.is_zero()) {
                    ring(core, held, *task);
                }
                Ok(done())
            }
            Self::Revive(task, what) => {
                shard.revive(task.number, *what).await?;
                if *what == Revive::Retry {
                    ring(core, held, *task);
                }
                Ok(done())
            }
            Self::Look(task) => {
                let shown = shard.look(task.number).await?;
                Ok(json_reply(StatusCode::OK, &Task::from(&shown)))
            }
        }
    }
}

fn ring(core: &Core, held: &Held, task: TaskId) {
    if let Some(queue) = held.shard.queue_of(task.number) {
        core.bells.ring(&queue);
    }
}

fn done() -> Reply {
    let mut reply = Reply::default();
    *reply.status_mut() = StatusCode::NO_CONTENT;
    reply
}
