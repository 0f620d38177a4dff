//! Passing a request on to the primary, for a caller that does not look for it by itself.

use std::time::{Duration, Instant};

use ck_http::{Code, HeaderMap, Problem, Reply, Request, header};
use ck_node::NotOwner;
use http_body_util::Full;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Method, StatusCode};

use super::{Answer, Ask, What, problems};
use crate::error::KvError;
use crate::peer::{Courier, CourierError};
use crate::record::Effect;

/// How often a request was passed on.
const HOPS: HeaderName = HeaderName::from_static("ck-kv-hops");

/// Times a request is passed on at most: the table of each node in between is at least as new.
const HOPS_MAX: u32 = 2;

/// Time the first node tries to find the primary: as long as a failover takes, and some.
const FIND: Duration = Duration::from_secs(5);

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(25);

/// Time a request has at the primary.
const THERE: Duration = Duration::from_secs(12);

/// Headers of an answer that are passed on.
const PASSED: [HeaderName; 4] = [
    header::ETAG,
    header::CONTENT_TYPE,
    header::RETRY_AFTER,
    header::ALLOW,
];

/// How often a request was passed on already.
pub(super) fn hops(headers: &HeaderMap) -> Result<u32, Box<Problem>> {
    let Some(value) = headers.get(&HOPS) else {
        return Ok(0);
    };
    let hops = value.to_str().ok().and_then(|text| text.parse().ok());
    hops.ok_or_else(|| {
        let detail = "the header is for nodes to count with; leave it out";
        Box::new(Problem::new(Code::InvalidParameter, detail).with_field(HOPS.as_str()))
    })
}

/// What one try came to.
enum Try {
    Done(Reply),
    /// Certainly nothing was changed, and another try may find the primary.
    Again(Box<Problem>),
}

impl Ask {
    /// Answers here or at the primary, wherever that is by now.
    pub(super) async fn anywhere(&self) -> Answer {
        let begun = Instant::now();
        loop {
            let again = match self.attempt().await? {
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

    async fn attempt(&self) -> Result<Try, Box<Problem>> {
        let error = match self.here().await {
            Ok(reply) => return Ok(Try::Done(reply)),
            Err(error) => error,
        };
        let problem = problems::of(&self.node, &error, None);
        let primary = match &error {
            KvError::NotOwner(NotOwner::Elsewhere { primary, .. }) => primary.clone(),
            KvError::NotOwner(refused) if refused.is_retryable() => return Ok(Try::Again(problem)),
            KvError::NotOwner(NotOwner::Ended { .. }) | KvError::Unconfirmed { .. } => {
                return Ok(Try::Again(problem));
            }
            KvError::NoCopy { partition } => self.node.primary(*partition),
            _ => return Err(problem),
        };
        let state = self.node.state();
        let address = primary
            .and_then(|primary| state.member_by_node(primary.as_str()))
            .filter(|member| Some(member.number) != self.node.member())
            .map(|member| member.http_address.clone())
            .filter(|address| !address.is_empty());
        match address {
            Some(address) if self.hops < HOPS_MAX => self.pass_on(&address).await,
            _ => Ok(Try::Again(problem)),
        }
    }

    /// Asks the primary.
    async fn pass_on(&self, address: &str) -> Result<Try, Box<Problem>> {
        let sent = self
            .core
            .courier
            .send(self.request(address)?, address, THERE);
        let (head, body) = match sent.await {
            Ok(answer) => answer,
            Err(error) => return self.unanswered(&error),
        };
        if is_unapplied(head.status, &body) {
            let again: Result<Problem, _> = serde_json::from_slice(&body);
            if let Ok(again) = again {
                return Ok(Try::Again(Box::new(again)));
            }
        }
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
        if error.is_unsent() || matches!(self.what, What::Read(_)) {
            let problem = Problem::new(Code::Moving, detail).with_retry_after_ms(200);
            return Ok(Try::Again(Box::new(problem)));
        }
        let open = format!("{detail}; the write may or may not have been carried out");
        Err(Box::new(Problem::new(Code::OutcomeUnknown, open)))
    }

    fn request(&self, address: &str) -> Result<Request<Full<ck_http::Bytes>>, Box<Problem>> {
        let unfit = |_| {
            let detail = "the target cannot be passed on; percent-encode the key";
            Box::new(Problem::new(Code::BadRequest, detail))
        };
        let uri = Courier::uri(address, &self.target).map_err(unfit)?;
        let (method, body) = match &self.what {
            What::Read(_) => (Method::GET, ck_http::Bytes::new()),
            What::Write(Effect::Put(value), _) => (Method::PUT, value.clone()),
            What::Write(..) => (Method::DELETE, ck_http::Bytes::new()),
        };
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        headers.insert(HOPS, HeaderValue::from(self.hops + 1));
        for name in [header::IF_MATCH, header::IF_NONE_MATCH] {
            for value in self.headers.get_all(&name) {
                headers.append(name.clone(), value.clone());
            }
        }
        Ok(request)
    }
}

/// Whether an answer says that another node, or the same one in a moment, is to be asked, and that
/// nothing was changed.
fn is_unapplied(status: StatusCode, body: &[u8]) -> bool {
    if ![
        StatusCode::MISDIRECTED_REQUEST,
        StatusCode::SERVICE_UNAVAILABLE,
    ]
    .contains(&status)
    {
        return false;
    }
    let codes = [Code::NotOwner, Code::Moving, Code::Unavailable];
    let problem: Result<Problem, _> = serde_json::from_slice(body);
    problem.is_ok_and(|problem| {
        problem
            .known_code()
            .is_some_and(|code| codes.contains(&code))
    })
}
