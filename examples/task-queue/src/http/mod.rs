//! The service's routes, beside those of its node.

mod act;
mod ask;
mod everywhere;
mod forward;
pub(crate) mod problems;
mod query;
pub(crate) mod remote;

use std::sync::Arc;

use ck_http::{
    Code, Incoming, Method, Parts, Problem, Reply, Request, Routes, StatusCode, fence, json_reply,
    problem,
};
use ck_node::{BoxFuture, Handle};
use tokio::sync::SemaphorePermit;

use crate::lease::{self, Ready};
use crate::name::TaskId;
use crate::service::{Limits, TaskQueue};
use act::Act;
use forward::{Job, Place};
use query::Query;

/// Longest payload, in bytes.
pub(crate) const PAYLOAD_BYTES_MAX: usize = 1 << 20;

/// Below it, one path a queue, and one a task.
const QUEUES: &str = "/queues/";
const TASKS: &str = "/tasks/";

/// Below it, what nodes ask one another, and where the store's own questions are.
const PEER: &str = "/queue-peer/";
const KV_PEER: &str = "/kv-peer/";
const DIGEST: &str = "/digest/";

/// What a request came to: an answer, or the problem to answer with.
type Answer = Result<Reply, Box<Problem>>;

impl Routes for TaskQueue {
    fn is_between_nodes(&self, path: &str) -> bool {
        [PEER, KV_PEER].iter().any(|start| path.starts_with(start))
    }

    fn serves(&self, path: &str) -> bool {
        [QUEUES, TASKS, PEER, KV_PEER, DIGEST]
            .iter()
            .any(|start| path.starts_with(start))
    }

    fn answer(&self, request: Request<Incoming>) -> BoxFuture<'_, Reply> {
        let path = request.uri().path();
        // The store's keys are not served: a record that is written beside its shard is unknown to it.
        if path.starts_with(KV_PEER) || path.starts_with(DIGEST) {
            return self.core.kv.answer(request);
        }
        Box::pin(async move {
            let answer = self.route(request).await;
            answer.unwrap_or_else(|refused| problem(&refused))
        })
    }
}

impl TaskQueue {
    async fn route(&self, request: Request<Incoming>) -> Answer {
        let (head, body) = request.into_parts();
        let node = self.core.node().ok_or_else(problems::not_started)?;
        let path = head.uri.path().to_owned();
        let parts: Vec<&str> = path[1..].split('/').collect();
        match parts[..] {
            ["queues", queue] => match head.method {
                Method::POST => self.enqueue(node, &head, queue, body).await,
                Method::GET => everywhere::counts(&self.core, &head, queue).await,
                _ => Ok(problems::other_methods(&head.method, "GET, POST")),
            },
            ["queues", queue, "lease"] => match head.method {
                Method::POST => self.lease(&head, queue).await,
                _ => Ok(problems::other_methods(&head.method, "POST")),
            },
            ["queues", queue, "dead"] => match head.method {
                Method::GET => everywhere::dead(&self.core, &head, queue).await,
                _ => Ok(problems::other_methods(&head.method, "GET")),
            },
            ["tasks", task] => match head.method {
                Method::GET => {
                    Query::read(head.uri.query(), &[])?;
                    let task = ask::task(node, task)?;
                    self.of_task(node, &head, task, Act::Look(task)).await
                }
                _ => Ok(problems::other_methods(&head.method, "GET")),
            },
            ["tasks", task, verb] if ask::VERBS.contains(&verb) => match head.method {
                Method::POST => {
                    let task = ask::task(node, task)?;
                    let act = ask::verb(task, verb, head.uri.query())?;
                    self.of_task(node, &head, task, act).await
                }
                _ => Ok(problems::other_methods(&head.method, "POST")),
            },
            ["queue-peer", "wait"] => match head.method {
                Method::GET => self.wait(&head).await,
                _ => Ok(problems::other_methods(&head.method, "GET")),
            },
            _ => {
                let detail = format!("there is no path {path:?}");
                Err(Box::new(Problem::new(Code::NotFound, detail)))
            }
        }
    }

    async fn enqueue(&self, node: &Handle, head: &Parts, queue: &str, body: Incoming) -> Answer {
        let asked = ask::Enqueuing::read(node, head, queue)?;
        // Given back with the answer: payloads in flight are bounded by memory, not by connections.
        let all = &self.core.limits.bodies;
        let payload = all.read(&head.headers, body, PAYLOAD_BYTES_MAX, 0).await?;
        let place = asked.place;
        let act = Act::Enqueue(asked.with(payload.bytes.clone()));
        let answer = self.job(node, head, place, act)?.answer().await;
        drop(payload);
        answer
    }

    async fn of_task(&self, node: &Handle, head: &Parts, task: TaskId, act: Act) -> Answer {
        let job = self.job(node, head, Place::At(task.partition), act)?;
        job.answer().await
    }

    fn job(
        &self,
        node: &Handle,
        head: &Parts,
        place: Place,
        act: Act,
    ) -> Result<Job, Box<Problem>> {
        let target = head.uri.path_and_query();
        Ok(Job {
            core: Arc::clone(&self.core),
            node: node.clone(),
            place,
            act,
            method: head.method.clone(),
            target: target.map_or_else(String::new, ToString::to_string),
            fence: fence(&head.headers)?,
            hops: ck_serve::hops(&head.headers)?,
        })
    }

    async fn lease(&self, head: &Parts, queue: &str) -> Answer {
        let want = ask::want(head, queue)?;
        let core = &self.core;
        if ck_serve::hops(&head.headers)? > 0 {
            let _place = place(&core.limits.peer_leases, Limits::LEASES)?;
            let (found, failed) = core.lease_here(&want).await;
            return match failed.filter(|_| found.tasks.is_empty()) {
                Some(failed) => Err(failed),
                None => Ok(lease::answer(&found)),
            };
        }
        let _place = place(&core.limits.leases, Limits::LEASES)?;
        Ok(lease::answer(&core.lease(&want).await?))
    }

    /// Another node waits for a task of a queue.
    async fn wait(&self, head: &Parts) -> Answer {
        let (queue, within) = ask::wait(head)?;
        let _place = place(&self.core.limits.peer_waits, Limits::PEER_WAITS)?;
        let ready = self.core.wait_here(&queue, within).await;
        Ok(json_reply(StatusCode::OK, &Ready { ready }))
    }
}

/// A place among those that are answered at a time.
fn place(
    places: &tokio::sync::Semaphore,
    most: usize,
) -> Result<SemaphorePermit<'_>, Box<Problem>> {
    places.try_acquire().map_err(|_| problems::overloaded(most))
}
