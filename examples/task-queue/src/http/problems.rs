//! What goes wrong, as problem bodies.
//!
//! A 4xx says that nothing was changed. So does a 503 or 507 with one of the codes below; any other
//! answer leaves it open.

use ck_http::{Code, Method, Problem, Reply, header, problem};
use ck_kv::{EmbedError, KvError, StoreError};
use ck_node::{FencingToken, Handle, NotOwner, PartitionId};

use crate::error::QueueError;

/// When to try again what another request is just changing.
const BUSY_MS: u64 = 50;

/// A problem that only this service has.
fn own(code: &str, status: u16, title: &str, detail: String) -> Box<Problem> {
    Box::new(Problem::refusal(code, status, title, detail))
}

fn later(problem: Box<Problem>, after_ms: u64) -> Box<Problem> {
    Box::new(problem.with_retry_after_ms(after_ms))
}

/// The node is not running yet.
pub(super) fn not_started() -> Box<Problem> {
    let detail = "the node has not started yet; try again in a moment";
    later(Box::new(Problem::new(Code::NotFormed, detail)), 200)
}

/// As many workers wait as may.
pub(super) fn overloaded(most: usize) -> Box<Problem> {
    let detail = format!(
        "{most} requests for tasks are answered or wait at this node already; try again in a moment, or at another node"
    );
    later(Box::new(Problem::new(Code::Overloaded, detail)), 500)
}

/// A method that a path does not take.
pub(super) fn other_methods(method: &Method, allowed: &'static str) -> Reply {
    let detail = format!("{method} is not taken here; use {allowed}");
    let mut reply = problem(&Problem::new(Code::MethodNotAllowed, detail));
    let allowed = header::HeaderValue::from_static(allowed);
    reply.headers_mut().insert(header::ALLOW, allowed);
    reply
}

/// Why a request was not carried out, or is not known to be.
pub(crate) fn of(node: &Handle, error: &QueueError, fence: Option<FencingToken>) -> Box<Problem> {
    let detail = error.to_string();
    let plain = |code| Box::new(Problem::new(code, detail.clone()));
    match error {
        QueueError::NotOwner(refused) => ck_http::not_owner(node, refused, fence),
        QueueError::Kv(error) => of_kv(node, error, fence),
        QueueError::Unknown { .. } => own("task-unknown", 404, "There is no such task", detail),
        QueueError::NotLeased { .. } => own("not-leased", 409, "The task is not leased", detail),
        QueueError::Superseded { .. } => {
            let title = "Another lease of the task has begun";
            own("receipt-superseded", 409, title, detail)
        }
        QueueError::NotDead { .. } => own("not-dead", 409, "The task is not dead", detail),
        QueueError::TaskBusy { .. } | QueueError::UnderWay => later(plain(Code::Busy), BUSY_MS),
        QueueError::Full { have, most, .. } => {
            let problem = own("queue-full", 503, "The partition is full", detail);
            later(
                Box::new(problem.with_count(*have as u64, *most as u64)),
                1_000,
            )
        }
        QueueError::Record { .. } => {
            tracing::error!(%error, "a record cannot be read");
            plain(Code::Internal)
        }
        QueueError::Stopped { .. } => plain(Code::OutcomeUnknown),
    }
}

fn of_kv(node: &Handle, error: &EmbedError, fence: Option<FencingToken>) -> Box<Problem> {
    let detail = error.to_string();
    let plain = |code| Box::new(Problem::new(code, detail.clone()));
    let EmbedError::Kv(error) = error else {
        // Names and payloads are checked before.
        return plain(Code::Internal);
    };
    match error {
        KvError::NotOwner(refused) => ck_http::not_owner(node, refused, fence),
        KvError::TooFewInSync { have, need, .. } => {
            let title = "Too few copies are in sync";
            let problem = own("too-few-in-sync", 503, title, detail);
            later(
                Box::new(problem.with_count(*have as u64, *need as u64)),
                500,
            )
        }
        KvError::NoSpace { .. } => own("disk-full", 507, "The disk is nearly full", detail),
        KvError::Busy { .. } => later(plain(Code::Busy), 100),
        KvError::Unknown { .. } | KvError::Store(StoreError::Closed { .. }) => {
            plain(Code::OutcomeUnknown)
        }
        _ => {
            tracing::error!(%error, "the store cannot be used");
            plain(Code::Internal)
        }
    }
}

/// There are no partitions, or a node that has just started has not learnt of them.
pub(super) fn no_partitions(node: &Handle) -> Box<Problem> {
    let unready = node.unready();
    if !unready.is_empty() {
        let detail = format!("the node does not serve yet: {}", unready.join("; "));
        return later(Box::new(Problem::new(Code::NotFormed, detail)), 200);
    }
    let unknown = NotOwner::Unknown {
        partition: PartitionId(0),
        partitions: 0,
    };
    ck_http::not_owner(node, &unknown, None)
}
