//! Doing what is asked of one partition: here where this node is the primary, else there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ck_http::{Bytes, Code, HeaderMap, Problem, Reply, Request, header};
use ck_node::{FencingToken, Handle, NotOwner, PartitionId};
use http_body_util::Full;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Method, Response, StatusCode};

use super::remote::HOPS;
use super::{Answer, problems, query};
use crate::courier::CourierError;
use crate::error::QueueError;
use crate::http::act::Act;
use crate::service::Core;

/// The partition a node in between has chosen for a task without a key.
pub(super) const CHOSEN: HeaderName = HeaderName::from_static("ck-queue-partition");

/// Header of an enqueue that may be repeated.
pub(super) const IDEMPOTENCY: HeaderName = HeaderName::from_static("idempotency-key");

/// Times a request is passed on at most: the table of each node in between is at least as new.
const HOPS_MAX: u32 = 2;

/// Time the first node tries to find the primary: as long as a failover takes, and some.
const FIND: Duration = Duration::from_secs(5);

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(25);

/// Time a request has at the primary.
const THERE: Duration = Duration::from_secs(12);

/// Headers of an answer that are passed on.
const PASSED: [HeaderName; 3] = [header::CONTENT_TYPE, header::RETRY_AFTER, header::ALLOW];

/// Where a request belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In one partition.
    At(PartitionId),
    /// In any: whichever is served.
    Anywhere,
}

/// A request of one partition.
pub(super) struct Job {
    pub(super) core: Arc<Core>,
    pub(super) node: Handle,
    pub(super) place: Place,
    pub(super) act: Act,
    pub(super) method: Method,
    /// The path with its query, as it came.
    pub(super) target: String,
    pub(super) fence: Option<FencingToken>,
    pub(super) hops: u32,
}

/// How often a request was passed on already.
pub(super) fn hops(headers: &HeaderMap) -> Result<u32, Box<Problem>> {
    counted(headers, &HOPS).map(Option::unwrap_or_default)
}

/// A header with a number that nodes send one another.
pub(super) fn counted(headers: &HeaderMap, name: &HeaderName) -> Result<Option<u32>, Box<Problem>> {
    let Some(value) = headers.get(name) else {
        return Ok(None);
    };
    let number = value.to_str().ok().and_then(|text| text.parse().ok());
    number.map(Some).ok_or_else(|| {
        let text = String::from_utf8_lossy(value.as_bytes());
        let detail = "the header is for nodes among themselves; leave it out";
        query::refused(name.as_str(), &text, detail)
    })
}

/// What one try came to.
enum Try {
    Done(Reply),
    /// Certainly nothing was changed, and another try may find the primary.
    Again(Box<Problem>),
}

impl Job {
    /// Answers here or at the primary, wherever that is by now.
    pub(super) async fn answer(self) -> Answer {
        if self.fence.is_some() {
            // A caller with a token knows whom it asks: it is told where it is wrong.
            let partition = self.partition()?;
            ck_http::admit(&self.node, partition, self.fence)?;
            let done = self.act.perform(&self.core, partition).await;
            return done.map_err(|error| problems::of(&self.node, &error, self.fence));
        }
        let begun = Instant::now();
        loop {
            let again = match self.attempt(self.partition()?).await? {
                Try::Done(reply) => return Ok(reply),
                Try::Again(again) => again,
            };
            // A node in between answers at once: the first one looks at a newer table by then.
            if self.hops > 0 || begun.elapsed() >= FIND {
                return Err(again);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// The partition of this try: another at each where any will do.
    fn partition(&self) -> Result<PartitionId, Box<Problem>> {
        match (self.place, self.fence) {
            (Place::At(partition), _) => Ok(partition),
            (Place::Anywhere, Some(fence)) => Ok(fence.partition),
            (Place::Anywhere, None) => {
                let partitions = self.core.partitions();
                let turn = self.core.turns.enqueue.next()
                    % usize::try_from(partitions).unwrap_or(1).max(1);
                let chosen = u32::try_from(turn).ok().filter(|_| partitions > 0);
                chosen
                    .map(PartitionId)
                    .ok_or_else(|| problems::no_partitions(&self.node))
            }
        }
    }

    async fn attempt(&self, partition: PartitionId) -> Result<Try, Box<Problem>> {
        let error = match self.act.perform(&self.core, partition).await {
            Ok(reply) => return Ok(Try::Done(reply)),
            Err(error) => error,
        };
        let problem = problems::of(&self.node, &error, None);
        let primary = match &error {
            QueueError::NotOwner(NotOwner::Elsewhere { primary, .. }) => primary.clone(),
            error if error.is_moving() => return Ok(Try::Again(problem)),
            _ => return Err(problem),
        };
        let state = self.node.state();
        let address = primary
            .and_then(|primary| state.member_by_node(primary.as_str()))
            .filter(|member| Some(member.number) != self.node.member())
            .map(|member| member.http_address.clone())
            .filter(|address| !address.is_empty());
        match address {
            Some(address) if self.hops < HOPS_MAX => self.pass_on(partition, &address).await,
            _ => Ok(Try::Again(problem)),
        }
    }

    /// Asks the primary.
    async fn pass_on(&self, partition: PartitionId, address: &str) -> Result<Try, Box<Problem>> {
        let request = self.request(partition, address)?;
        let answer = match self.core.courier.send(request, address, THERE).await {
            Ok(answer) => answer,
            Err(error) => return self.unanswered(&error),
        };
        if let Some(again) = unapplied(&answer) {
            return Ok(Try::Again(Box::new(again)));
        }
        let (head, body) = answer.into_parts();
        let mut reply = Reply::new(body.into());
        *reply.status_mut() = head.status;
        for name in PASSED {
            if let Some(value) = head.headers.get(&name) {
                reply.headers_mut().insert(name, value.clone());
            }
        }
        Ok(Try::Done(reply))
    }

    fn unanswered(&self, error: &CourierError) -> Result<Try, Box<Problem>> {
        let detail = format!("the primary was asked and did not answer: {error}");
        // An enqueue with an idempotency key could be repeated here as well; who gave it decides.
        if error.is_unsent() || matches!(self.act, Act::Look(_)) {
            let problem = Problem::new(Code::Moving, detail).with_retry_after_ms(200);
            return Ok(Try::Again(Box::new(problem)));
        }
        let open = format!("{detail}; it may or may not have been carried out");
        Err(Box::new(Problem::new(Code::OutcomeUnknown, open)))
    }

    fn request(
        &self,
        partition: PartitionId,
        address: &str,
    ) -> Result<Request<Full<Bytes>>, Box<Problem>> {
        let mut request = Request::builder()
            .method(self.method.clone())
            .uri(format!("http://{address}{}", self.target))
            .header(HOPS, HeaderValue::from(self.hops + 1));
        let mut body = Bytes::new();
        if let Act::Enqueue(new) = &self.act {
            body = new.payload.clone();
            request = request.header(CHOSEN, HeaderValue::from(partition.0));
            if let Some(key) = &new.idempotency {
                request = request.header(IDEMPOTENCY, &key[..]);
            }
        }
        request.body(Full::new(body)).map_err(|_| {
            let detail = "the target cannot be passed on; percent-encode it";
            Box::new(Problem::new(Code::BadRequest, detail))
        })
    }
}

/// The problem of an answer that says that another node, or the same one in a moment, is to be
/// asked, and that nothing was changed.
fn unapplied(answer: &Response<Bytes>) -> Option<Problem> {
    const STATUSES: [StatusCode; 2] = [
        StatusCode::MISDIRECTED_REQUEST,
        StatusCode::SERVICE_UNAVAILABLE,
    ];
    if !STATUSES.contains(&answer.status()) {
        return None;
    }
    let problem: Problem = serde_json::from_slice(answer.body()).ok()?;
    let known = problem.known_code();
    known.is_some_and(Code::is_not_done).then_some(problem)
}
