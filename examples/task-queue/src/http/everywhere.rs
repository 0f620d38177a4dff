//! What is known of a queue, put together from all primaries.

use std::sync::Arc;
use std::time::Duration;

use ck_http::{Method, Parts, StatusCode, json_reply};
use serde::{Deserialize, Serialize};

use super::query::Query;
use super::{Answer, ask, remote};
use crate::index::Counts;
use crate::name::{QueueName, TaskId};
use crate::service::Core;

/// Time another node has to answer.
const ASK: Duration = Duration::from_secs(3);

/// A queue in figures.
#[derive(Debug, Serialize, Deserialize)]
struct Counted {
    queue: String,
    #[serde(flatten)]
    counts: Counts,
    /// Partitions that were counted. Where they are fewer than there are, the others' primaries did
    /// not answer.
    partitions_counted: u64,
    partitions: u64,
}

/// Dead tasks of a queue, oldest first in each partition.
#[derive(Debug, Serialize, Deserialize)]
struct DeadTasks {
    tasks: Vec<DeadTask>,
    partitions_counted: u64,
    partitions: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct DeadTask {
    task: String,
    attempts: u32,
    reason: String,
}

/// Answers `GET /queues/QUEUE`.
pub(super) async fn counts(core: &Arc<Core>, head: &Parts, queue: &str) -> Answer {
    Query::read(head.uri.query(), &[])?;
    let queue = ask::name(queue)?;
    let mut all = counted_here(core, &queue);
    if ck_serve::hops(&head.headers)? == 0 {
        let target = format!("/queues/{}", remote::encoded(queue.as_str().as_bytes()));
        let others: Vec<Counted> = ask_all(core, &target).await;
        for one in others {
            all.counts.ready += one.counts.ready;
            all.counts.delayed += one.counts.delayed;
            all.counts.leased += one.counts.leased;
            all.counts.dead += one.counts.dead;
            all.partitions_counted += one.partitions_counted;
        }
    }
    Ok(json_reply(StatusCode::OK, &all))
}

fn counted_here(core: &Arc<Core>, queue: &QueueName) -> Counted {
    let mut all = Counted {
        queue: queue.to_string(),
        counts: Counts::default(),
        partitions_counted: 0,
        partitions: core.partitions().into(),
    };
    for partition in core.mine() {
        let Ok(held) = core.held(partition) else {
            continue;
        };
        let counts = held.shard.counts(queue);
        all.counts.ready += counts.ready;
        all.counts.delayed += counts.delayed;
        all.counts.leased += counts.leased;
        all.counts.dead += counts.dead;
        all.partitions_counted += 1;
    }
    all
}

/// Answers `GET /queues/QUEUE/dead`.
pub(super) async fn dead(core: &Arc<Core>, head: &Parts, queue: &str) -> Answer {
    let query = Query::read(head.uri.query(), &["limit"])?;
    let most = query.number("limit", &ask::DEAD, ask::DEAD_DEFAULT)?;
    let queue = ask::name(queue)?;
    let mut all = dead_here(core, &queue, most).await;
    if ck_serve::hops(&head.headers)? == 0 {
        let name = remote::encoded(queue.as_str().as_bytes());
        let target = format!("/queues/{name}/dead?limit={most}");
        let others: Vec<DeadTasks> = ask_all(core, &target).await;
        for one in others {
            all.tasks.extend(one.tasks);
            all.partitions_counted += one.partitions_counted;
        }
    }
    all.tasks.sort_by_key(|one| one.task.parse::<TaskId>().ok());
    all.tasks.truncate(most);
    Ok(json_reply(StatusCode::OK, &all))
}

async fn dead_here(core: &Arc<Core>, queue: &QueueName, most: usize) -> DeadTasks {
    let mut all = DeadTasks {
        tasks: Vec::new(),
        partitions_counted: 0,
        partitions: core.partitions().into(),
    };
    for partition in core.mine() {
        let Ok(held) = core.held(partition) else {
            continue;
        };
        // One that cannot be read just now is not counted.
        let Ok(dead) = held.shard.dead(queue, most - all.tasks.len()).await else {
            continue;
        };
        all.partitions_counted += 1;
        all.tasks
            .extend(dead.into_iter().map(|(task, one)| DeadTask {
                task: task.to_string(),
                attempts: one.attempts,
                reason: one.reason.name().to_owned(),
            }));
    }
    all
}

/// What all other primaries answer, but for those that do not.
async fn ask_all<T: serde::de::DeserializeOwned>(core: &Arc<Core>, target: &str) -> Vec<T> {
    let others = core.others(0);
    let asking = others
        .iter()
        .map(|other| remote::ask(core, other, Method::GET, target, ASK));
    let answers = futures_util::future::join_all(asking).await;
    let answered = others.iter().zip(answers);
    answered
        .filter_map(|(other, answer)| {
            let node = &other.node;
            answer
                .inspect_err(|error| tracing::info!(%node, %error, "not counted"))
                .ok()
        })
        .collect()
}
