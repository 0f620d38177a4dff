//! Finding tasks for a worker: here first, then at the other primaries, then by waiting.
//!
//! Waiting leases nothing: who waits asks the others only whether there is something, so that a
//! question that is broken off takes no task from anybody.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ck_http::{Problem, StatusCode};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use serde::{Deserialize, Serialize};

use crate::error::QueueError;
use crate::http::{problems, remote};
use crate::name::QueueName;
use crate::service::{Core, Other};
use crate::shard::Leased;

/// Payload that one answer holds, in bytes, about: one task more may begin below it.
const ANSWER_BYTES: usize = 4 << 20;

/// Nodes that one request asks, and that one worker waits for.
const FANOUT_MAX: usize = 16;

/// Every so many requests ask the other nodes first: their tasks must not wait for as long as there
/// are some here.
const OTHERS_FIRST: usize = 4;

/// Time another node has to lease tasks.
const ASK: Duration = Duration::from_secs(5);

/// Time after which who waits looks again, whether or not somebody called.
const ROUND: Duration = Duration::from_secs(5);

/// Time between two looks that found nothing although somebody called, at first and at most.
const PAUSE: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// What a worker asks for.
#[derive(Debug, Clone)]
pub(crate) struct Want {
    pub(crate) queue: QueueName,
    /// Tasks at most.
    pub(crate) most: usize,
    pub(crate) visibility: Duration,
    pub(crate) wait: Duration,
}

/// A leased task, as it goes over the wire.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Given {
    pub(crate) task: String,
    pub(crate) receipt: String,
    pub(crate) attempts: u32,
    /// In base64.
    pub(crate) payload: String,
}

/// Leased tasks.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Tasks {
    pub(crate) tasks: Vec<Given>,
}

/// Whether there is something to lease.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ready {
    pub(crate) ready: bool,
}

impl From<Leased> for Given {
    fn from(leased: Leased) -> Self {
        Self {
            task: leased.task.to_string(),
            receipt: leased.receipt.to_string(),
            attempts: leased.attempts,
            payload: BASE64_STANDARD.encode(&leased.payload),
        }
    }
}

impl Core {
    /// Tasks for a worker, from wherever there are some; none when the time to wait is over.
    pub(crate) async fn lease(self: &Arc<Self>, want: &Want) -> Result<Tasks, Box<Problem>> {
        let until = Instant::now() + want.wait;
        let bell = self.bells.listen(&want.queue);
        let mut closing = self.closing();
        let mut pause = Duration::ZERO;
        loop {
            // Before the look, so that what comes after it is heard.
            let mut heard = std::pin::pin!(bell.next());
            heard.as_mut().enable();
            let (found, failed) = self.look_everywhere(want).await;
            let left = until.saturating_duration_since(Instant::now());
            if !found.tasks.is_empty() {
                return Ok(found);
            }
            if left.is_zero() || *closing.borrow() {
                return failed.map_or(Ok(found), Err);
            }
            let called = tokio::select! {
                () = heard => true,
                () = self.others_ready(&want.queue, left.min(ROUND)) => true,
                _ = closing.wait_for(|closing| *closing) => true,
                () = tokio::time::sleep(left.min(ROUND)) => false,
            };
            if !called {
                pause = Duration::ZERO;
                continue;
            }
            // At once the first time. After a call that led to nothing, since another worker was
            // called as well or a write was refused, ever later: nobody asks without end.
            tokio::time::sleep(pause.min(left)).await;
            pause = (pause * 2).clamp(PAUSE, PAUSE_MAX);
        }
    }

    async fn look_everywhere(self: &Arc<Self>, want: &Want) -> (Tasks, Option<Box<Problem>>) {
        let (here_first, first) = order(self.turns.look.next());
        let mut failed = None;
        if here_first {
            let (found, why) = self.lease_here(want).await;
            if !found.tasks.is_empty() {
                return (found, None);
            }
            failed = why;
        }
        for other in self.others(first).into_iter().take(FANOUT_MAX) {
            match self.lease_there(want, &other).await {
                Ok(found) if !found.tasks.is_empty() => return (found, None),
                Ok(_) => {}
                Err(error) => {
                    tracing::debug!(node = %other.node, %error, "no tasks from there");
                }
            }
        }
        if here_first {
            return (Tasks::default(), failed);
        }
        self.lease_here(want).await
    }

    /// Leases from the partitions that this node is the primary of. The error is one that another
    /// try does not mend by itself.
    pub(crate) async fn lease_here(self: &Arc<Self>, want: &Want) -> (Tasks, Option<Box<Problem>>) {
        let (core, want) = (Arc::clone(self), want.clone());
        // On a task of its own: what has begun is written to the end, whoever goes away.
        let leasing = tokio::spawn(async move { core.lease_from_all(&want).await });
        let (leased, failed) = match leasing.await {
            Ok(done) => done,
            Err(_) => return (Tasks::default(), None),
        };
        let failed = failed.filter(|error| !error.is_moving());
        let failed = failed.zip(self.node());
        let failed = failed.map(|(error, node)| problems::of(node, &error, None));
        let tasks = leased.into_iter().map(Given::from).collect();
        (Tasks { tasks }, failed)
    }

    async fn lease_from_all(self: &Arc<Self>, want: &Want) -> (Vec<Leased>, Option<QueueError>) {
        let mut mine = self.mine();
        if !mine.is_empty() {
            let first = self.turns.lease.next() % mine.len();
            mine.rotate_left(first);
        }
        let (mut leased, mut failed) = (Vec::new(), None);
        let mut bytes = 0;
        for partition in mine {
            if leased.len() >= want.most || bytes >= ANSWER_BYTES {
                break;
            }
            let held = match self.held(partition) {
                Ok(held) if held.shard.has_ready(&want.queue) => held,
                _ => continue,
            };
            let most = want.most - leased.len();
            let room = ANSWER_BYTES - bytes;
            let (some, why) = held
                .shard
                .lease(&want.queue, most, room, want.visibility)
                .await;
            bytes += some.iter().map(|one| one.payload.len()).sum::<usize>();
            leased.extend(some);
            failed = why.or(failed);
            drop(held.guard);
        }
        (leased, failed)
    }

    async fn lease_there(&self, want: &Want, other: &Other) -> Result<Tasks, remote::RemoteError> {
        let target = format!(
            "/queues/{}/lease?max={}&visibility_ms={}",
            remote::encoded(want.queue.as_str().as_bytes()),
            want.most,
            want.visibility.as_millis(),
        );
        remote::ask(self, other, ck_http::Method::POST, &target, ASK).await
    }

    /// Ends when another node has something, or does not wait any more: then another is the primary,
    /// or will be soon.
    async fn others_ready(&self, queue: &QueueName, within: Duration) {
        let target = format!(
            "/queue-peer/wait?queue={}&wait_ms={}",
            remote::encoded(queue.as_str().as_bytes()),
            within.as_millis(),
        );
        let others = self.others(0);
        let mut waiting: FuturesUnordered<_> = others
            .iter()
            .take(FANOUT_MAX)
            .map(|other| remote::ask(self, other, ck_http::Method::GET, &target, within + ASK))
            .collect();
        let mut look_again = None;
        loop {
            let until = look_again.unwrap_or_else(|| tokio::time::Instant::now() + ROUND);
            tokio::select! {
                answer = waiting.next(), if !waiting.is_empty() => match answer {
                    Some(Ok(Ready { ready: true })) => return,
                    _ => look_again = look_again.or(Some(tokio::time::Instant::now() + PAUSE_MAX)),
                },
                () = tokio::time::sleep_until(until) => return,
            }
        }
    }

    /// Waits until this node has a task of a queue, or the time is over.
    pub(crate) async fn wait_here(self: &Arc<Self>, queue: &QueueName, within: Duration) -> bool {
        let bell = self.bells.listen(queue);
        let mut closing = self.closing();
        let end = tokio::time::sleep(within);
        let mut end = std::pin::pin!(end);
        loop {
            let mut heard = std::pin::pin!(bell.next());
            heard.as_mut().enable();
            let here = self.mine().into_iter().any(|partition| {
                let held = self.held(partition);
                held.is_ok_and(|held| held.shard.has_ready(queue))
            });
            if here || *closing.borrow() {
                return here;
            }
            tokio::select! {
                () = heard => {}
                () = &mut end => return false,
                _ = closing.wait_for(|closing| *closing) => return false,
            }
        }
    }
}

/// Whether the tasks here come first, and which of the other nodes does. Whatever their number, each
/// of them comes first of all again and again.
const fn order(turn: usize) -> (bool, usize) {
    (!turn.is_multiple_of(OTHERS_FIRST), turn / OTHERS_FIRST)
}

/// What is answered to who asked for tasks.
pub(crate) fn answer(tasks: &Tasks) -> ck_http::Reply {
    ck_http::json_reply(StatusCode::OK, tasks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_node_has_to_wait_for_another_to_run_out_of_tasks() {
        for others in 1..9_usize {
            let turns = (0..OTHERS_FIRST * others).map(order);
            let first: std::collections::BTreeSet<_> = turns
                .filter(|(here_first, _)| !here_first)
                .map(|(_, first)| first % others)
                .collect();
            assert_eq!(first.len(), others);
        }
    }
}
