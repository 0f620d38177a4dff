//! What goes wrong, as problem bodies.
//!
//! A 4xx says that nothing was changed. So does a 503 or 507 with one of the codes below; any other
//! answer leaves it open.

use ck_http::{Code, Method, Problem, Reply, header, problem};
use ck_node::{FencingToken, Handle, NotOwner, PartitionId};

use crate::answer::AnswerError;
use crate::error::KvError;

/// A problem that only this service has.
fn own(code: &str, status: u16, title: &str, detail: String) -> Box<Problem> {
    let like = Problem::new(Code::Unavailable, detail);
    Box::new(Problem {
        kind: format!("urn:clusterkit:problem:{code}"),
        title: title.to_owned(),
        status,
        code: code.to_owned(),
        ..like
    })
}

/// The key is not there.
pub(super) fn absent(partition: PartitionId) -> Box<Problem> {
    let detail = format!("{partition} has no such key");
    own("key-absent", 404, "The key is absent", detail)
}

/// The node is not running yet.
pub(super) fn not_started() -> Box<Problem> {
    let detail = "the node has not started yet; try again in a moment";
    Box::new(Problem::new(Code::NotFormed, detail).with_retry_after_ms(200))
}

/// A condition that is none.
pub(super) fn bad_tag(field: &str) -> Box<Problem> {
    let detail = "a condition is `If-Match` with the tags of earlier answers, in quotes, or `If-None-Match: *`";
    Box::new(Problem::new(Code::InvalidParameter, detail).with_field(field))
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
pub(crate) fn of(node: &Handle, error: &KvError, fence: Option<FencingToken>) -> Box<Problem> {
    let detail = error.to_string();
    let plain = |code| Box::new(Problem::new(code, detail.clone()));
    let later = |mut problem: Box<Problem>, after_ms| {
        problem.retry_after_ms = Some(after_ms);
        problem
    };
    match error {
        // The grant that the caller names has ended while its request waited.
        KvError::NotOwner(NotOwner::Ended { token })
            if fence == Some(*token)
                && let Err(problem) = ck_http::admit(node, token.partition, fence) =>
        {
            problem
        }
        KvError::NotOwner(refused) => ck_http::not_owner(node, refused, fence),
        KvError::TooFewInSync { have, need, .. } => {
            let problem = plain(Code::TooFewInSync).with_count(*have as u64, *need as u64);
            later(Box::new(problem), 500)
        }
        KvError::NoSpace { .. } => own("disk-full", 507, "The disk is nearly full", detail.clone()),
        KvError::Condition { .. } => plain(Code::PreconditionFailed),
        KvError::Busy { .. } => later(plain(Code::Busy), 100),
        KvError::Unconfirmed { .. } => later(plain(Code::Moving), 100),
        KvError::Unknown { .. } => plain(Code::OutcomeUnknown),
        // The key may well be there: 404 would say that it is not.
        KvError::NoCopy { .. } => {
            let problem = own("no-copy", 503, "The node has no copy", detail.clone());
            later(problem, 500)
        }
        KvError::Store(crate::store::StoreError::Closed { .. }) => plain(Code::OutcomeUnknown),
        KvError::Store(_) => {
            tracing::error!(%error, "the store cannot be used");
            plain(Code::Internal)
        }
    }
}

/// Why another node's question has no answer.
pub(super) fn of_peer(error: &AnswerError) -> Box<Problem> {
    let code = match error {
        AnswerError::Unknown => Code::NotFound,
        AnswerError::Wire(_) => Code::BadRequest,
        AnswerError::NotMeant { .. } => Code::WrongNode,
        AnswerError::NotItsNumber { .. } => Code::Forbidden,
        AnswerError::NoNode => Code::NotFormed,
        AnswerError::Store(_) => Code::Internal,
    };
    Box::new(Problem::new(code, error.to_string()))
}
