//! Doing what is asked of one partition: here where this node is the primary, else there.

use std::future::Future;
use std::time::Duration;

use ck_api::PROBLEM_JSON;
use ck_client::{Courier, CourierError};
use ck_core::NodeId;
use ck_http::{Bytes, Code, HeaderMap, Problem, Reply, Request, Response, StatusCode, header};
use ck_node::{Handle, MemberNumber, NotOwner, PartitionId};
use tokio::time::Instant;

/// How often a request was passed on by nodes.
const HOPS: header::HeaderName = header::HeaderName::from_static("ck-hops");

/// Times a request is passed on at most: the table of each node in between is at least as new.
const HOPS_MAX: u32 = 2;

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(25);

/// When to try again after a primary that was not reached.
const UNREACHED_MS: u64 = 200;

/// Headers of an answer that are passed on.
const PASSED: [header::HeaderName; 4] = [
    header::ETAG,
    header::CONTENT_TYPE,
    header::RETRY_AFTER,
    header::ALLOW,
];

/// Something that the primary of a partition does, whichever node that is by now.
///
/// [`Errands::run`] does it here where this node is the primary, sends it there where another one is, and
/// tries again while that changes, as long as every try certainly changed nothing.
pub trait Errand: Sync {
    /// What it comes to.
    type Done;

    /// The partition of the next try: asked before each, since there may be a choice.
    ///
    /// # Errors
    /// The problem that is the answer, as when there are no partitions.
    fn partition(&self) -> Result<PartitionId, Box<Problem>>;

    /// Does it here, as the primary.
    ///
    /// # Errors
    /// [`Missed`], which says what to do next.
    fn here(
        &self,
        partition: PartitionId,
    ) -> impl Future<Output = Result<Self::Done, Missed>> + Send;

    /// As it is sent to the primary: its path and query, its headers, its body.
    ///
    /// # Errors
    /// The problem that is the answer, as when it makes no request.
    fn request(&self, partition: PartitionId) -> Result<Request<Bytes>, Box<Problem>>;

    /// What the primary answered. [`Missed::of_answer`] knows those answers after which another try may
    /// do it.
    ///
    /// # Errors
    /// [`Missed`].
    fn answered(&self, answer: Response<Bytes>) -> Result<Self::Done, Missed>;

    /// Whether doing it twice is the same as doing it once, as of what only looks.
    fn is_safe(&self) -> bool;
}

/// A try that did not do it.
#[derive(Debug)]
pub struct Missed {
    /// The answer, if it was the last try.
    pub problem: Box<Problem>,
    /// What comes next.
    pub next: Next,
}

/// What comes after a try that did not do it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Nothing: the problem is the answer.
    Nothing,
    /// Certainly nothing was changed, and in a moment it may be done.
    Again,
    /// Certainly nothing was changed, and that node is the one to ask.
    Ask(NodeId),
}

impl Missed {
    /// After that nothing is tried.
    #[must_use]
    pub const fn at_last(problem: Box<Problem>) -> Self {
        let next = Next::Nothing;
        Self { problem, next }
    }

    /// After that it is tried again.
    #[must_use]
    pub const fn again(problem: Box<Problem>) -> Self {
        let next = Next::Again;
        Self { problem, next }
    }

    /// By its code: tried again where it is one of a partition on its way, or of a node that cannot take
    /// anything on at present.
    #[must_use]
    pub fn of(problem: Box<Problem>) -> Self {
        let passes = matches!(
            problem.known_code(),
            Some(
                Code::NotOwner
                    | Code::EpochOld
                    | Code::Moving
                    | Code::Unavailable
                    | Code::Overloaded
                    | Code::Stopping
                    | Code::NotFormed
            )
        );
        if passes {
            Self::again(problem)
        } else {
            Self::at_last(problem)
        }
    }

    /// This node may not do it: the primary is asked, if there is one.
    #[must_use]
    pub fn not_owner(node: &Handle, refused: &NotOwner) -> Self {
        let next = match refused {
            NotOwner::Elsewhere {
                primary: Some(primary),
                ..
            } => Next::Ask(primary.clone()),
            NotOwner::Elsewhere { .. } | NotOwner::Ended { .. } => Next::Again,
            refused if refused.is_retryable() => Next::Again,
            _ => Next::Nothing,
        };
        let problem = ck_http::not_owner(node, refused, None);
        Self { problem, next }
    }

    /// What an answer of another node says, if it is that it was not done and may be in a moment, by the
    /// same one or another.
    #[must_use]
    pub fn of_answer(answer: &Response<Bytes>) -> Option<Self> {
        const STATUSES: [StatusCode; 3] = [
            StatusCode::CONFLICT,
            StatusCode::MISDIRECTED_REQUEST,
            StatusCode::SERVICE_UNAVAILABLE,
        ];
        if !STATUSES.contains(&answer.status()) {
            return None;
        }
        let problem = problem_of(answer)?;
        let missed = Self::of(problem);
        (missed.next == Next::Again).then_some(missed)
    }
}

/// The problem that another node answered, if it was one.
#[must_use]
pub fn problem_of(answer: &Response<Bytes>) -> Option<Box<Problem>> {
    let kind = answer.headers().get(header::CONTENT_TYPE)?;
    (kind.as_bytes() == PROBLEM_JSON.as_bytes())
        .then(|| serde_json::from_slice(answer.body()).ok())
        .flatten()
}

/// An answer of another node, as this one passes it on.
#[must_use]
pub fn passed_on(answer: Response<Bytes>) -> Reply {
    let (head, body) = answer.into_parts();
    let mut reply = Reply::new(body.into());
    *reply.status_mut() = head.status;
    for name in PASSED {
        if let Some(value) = head.headers.get(&name) {
            reply.headers_mut().insert(name, value.clone());
        }
    }
    reply
}

/// Where a member's routes are, `host:port`; `None` for who is no member, or has not said.
#[must_use]
pub fn address_of(node: &Handle, member: MemberNumber) -> Option<String> {
    let state = node.state();
    let address = &state.member(member)?.http_address;
    (!address.is_empty()).then(|| address.clone())
}

/// As [`address_of`], of a node by its id.
#[must_use]
pub fn address_of_node(node: &Handle, other: &NodeId) -> Option<String> {
    let state = node.state();
    let address = &state.member_by_node(other.as_str())?.http_address;
    (!address.is_empty()).then(|| address.clone())
}

/// How often a request was passed on already, 0 where a client sent it.
///
/// # Errors
/// 400 `invalid-parameter` when that cannot be read.
pub fn hops(headers: &HeaderMap) -> Result<u32, Box<Problem>> {
    let Some(value) = headers.get(&HOPS) else {
        return Ok(0);
    };
    let hops = value.to_str().ok().and_then(|text| text.parse().ok());
    hops.ok_or_else(|| {
        let detail = "the header is for nodes to count with; leave it out";
        let problem = Problem::new(Code::InvalidParameter, detail).with_field(HOPS.as_str());
        Box::new(problem.with_value(String::from_utf8_lossy(value.as_bytes())))
    })
}

/// Says that a request was passed on so often.
pub fn set_hops(headers: &mut HeaderMap, hops: u32) {
    headers.insert(HOPS, hops.into());
}

/// What errands are run with.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Errands<'a> {
    /// This node.
    pub node: &'a Handle,
    /// What asks the others.
    pub courier: &'a Courier,
    /// How often the request was passed on already, as [`hops`] reads it. A node in between tries once:
    /// the first one looks at a newer table by then.
    pub hops: u32,
    /// Time it is tried for. Default 5 s: as long as a failover takes, and some.
    pub patience: Duration,
    /// Time the primary has for its answer. Default 12 s.
    pub within: Duration,
}

impl<'a> Errands<'a> {
    /// With the default times, for a request that was passed on so often.
    #[must_use]
    pub const fn new(node: &'a Handle, courier: &'a Courier, hops: u32) -> Self {
        Self {
            node,
            courier,
            hops,
            patience: Duration::from_secs(5),
            within: Duration::from_secs(12),
        }
    }

    /// Does it, here or at the primary, wherever that is by now.
    ///
    /// # Errors
    /// The problem to answer with: of the last try, or `outcome-unknown` when it may have been done.
    pub async fn run<E: Errand>(&self, errand: &E) -> Result<E::Done, Box<Problem>> {
        let begun = Instant::now();
        loop {
            let missed = match self.attempt(errand).await {
                Ok(done) => return Ok(done),
                Err(missed) => missed,
            };
            let is_over = self.hops > 0 || begun.elapsed() + PAUSE >= self.patience;
            if is_over || missed.next == Next::Nothing {
                return Err(missed.problem);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn attempt<E: Errand>(&self, errand: &E) -> Result<E::Done, Missed> {
        let partition = errand.partition().map_err(Missed::at_last)?;
        let missed = match errand.here(partition).await {
            Ok(done) => return Ok(done),
            Err(missed) => missed,
        };
        let Next::Ask(primary) = &missed.next else {
            return Err(missed);
        };
        let other = (primary != self.node.node_id()).then_some(primary);
        match other.and_then(|other| address_of_node(self.node, other)) {
            Some(address) if self.hops < HOPS_MAX => {
                self.pass_on(errand, partition, &address).await
            }
            _ => Err(missed),
        }
    }

    async fn pass_on<E: Errand>(
        &self,
        errand: &E,
        partition: PartitionId,
        address: &str,
    ) -> Result<E::Done, Missed> {
        let mut request = errand.request(partition).map_err(Missed::at_last)?;
        set_hops(request.headers_mut(), self.hops + 1);
        match self.courier.send(address, request, self.within).await {
            Ok(answer) => errand.answered(answer),
            Err(error) => Err(unanswered(&error, errand.is_safe())),
        }
    }
}

fn unanswered(error: &CourierError, is_safe: bool) -> Missed {
    let detail = format!("the primary was asked and did not answer: {error}");
    if error.is_unsent() || is_safe {
        let problem = Problem::new(Code::Moving, detail);
        return Missed::again(Box::new(problem.with_retry_after_ms(UNREACHED_MS)));
    }
    let open =
        format!("{detail}; it may or may not have been carried out, look before repeating it");
    Missed::at_last(Box::new(Problem::new(Code::OutcomeUnknown, open)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, problem: &Problem) -> Response<Bytes> {
        let body = serde_json::to_vec(problem).unwrap();
        let answer = Response::builder().status(status);
        let answer = answer.header(header::CONTENT_TYPE, PROBLEM_JSON);
        answer.body(body.into()).unwrap()
    }

    #[test]
    fn only_what_certainly_changed_nothing_is_tried_again() {
        for (code, again) in [
            (Code::NotOwner, true),
            (Code::Moving, true),
            (Code::Unavailable, true),
            (Code::OutcomeUnknown, false),
            (Code::PreconditionFailed, false),
            // Its caller is told when to come back.
            (Code::TooFewInSync, false),
        ] {
            let problem = Problem::new(code, "why");
            let missed = Missed::of_answer(&answer(problem.status, &problem));
            assert_eq!(missed.is_some(), again, "{code:?}");
        }
        // A gateway's words are nobody's promise.
        let mut other = answer(503, &Problem::new(Code::Moving, "why"));
        other.headers_mut().remove(header::CONTENT_TYPE);
        assert!(Missed::of_answer(&other).is_none());
    }

    #[test]
    fn a_change_that_may_have_arrived_is_not_tried_again() {
        let address = "h:1".to_owned();
        let within = Duration::from_secs(1);
        let silent = CourierError::Silent { address, within };
        let missed = unanswered(&silent, false);
        assert_eq!(missed.next, Next::Nothing);
        assert_eq!(missed.problem.known_code(), Some(Code::OutcomeUnknown));
        assert_eq!(unanswered(&silent, true).next, Next::Again);
        let (address, reason) = ("h:1".to_owned(), "refused".to_owned());
        let unsent = CourierError::Unreachable { address, reason };
        assert_eq!(unanswered(&unsent, false).next, Next::Again);
    }

    #[test]
    fn hops_are_numbers() {
        let mut headers = HeaderMap::new();
        assert_eq!(hops(&headers).unwrap(), 0);
        set_hops(&mut headers, 2);
        assert_eq!(hops(&headers).unwrap(), 2);
        headers.insert(HOPS, header::HeaderValue::from_static("x"));
        assert_eq!(hops(&headers).unwrap_err().status, 400);
    }
}
