//! Asking one server for its events.

use bytes::Bytes;
use ck_api::{PROBLEM_JSON, Problem};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Request, Response, StatusCode};
use tokio::time::Instant;

use super::{Inner, Left};
use crate::attempt::innermost;
use crate::events::Events;

const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream");

/// Most bytes that are read of an answer that is none.
const REFUSAL_BYTES_MAX: usize = 64 << 10;

impl Inner {
    /// The events of a server, from the table that is known on, whose age is given; or from the whole
    /// table.
    pub(super) async fn open(
        &self,
        server: &str,
        whole: bool,
    ) -> Result<(Events, (u64, u64)), Left> {
        let until = Instant::now() + self.config.attempt_timeout;
        let time = until.saturating_duration_since(Instant::now());
        self.verify(server, time).await?;
        let from = if whole { (0, 0) } else { self.age() };
        let answer = tokio::time::timeout_at(until, self.ask_for_events(server, from)).await;
        let late = |_| Left::NoAnswer {
            reason: format!("not within {:?}", self.config.attempt_timeout),
        };
        let answer = answer.map_err(late)??;
        let status = answer.status();
        match status {
            StatusCode::OK => {}
            StatusCode::GONE => return Err(Left::Compacted),
            StatusCode::NOT_FOUND => return Err(Left::NoWatch),
            _ => {
                let text = tokio::time::timeout_at(until, refusal(answer)).await;
                return Err(Left::Status {
                    status: status.as_u16(),
                    text: text.unwrap_or_default(),
                });
            }
        }
        let kind = answer.headers().get(CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if !kind.starts_with("text/event-stream") {
            let kind = kind.to_owned();
            return Err(Left::NoEvents { kind });
        }
        self.counters.streams.add();
        let (most, silence) = (self.config.event_bytes_max, self.config.silence);
        Ok((Events::new(answer.into_body(), most, silence), from))
    }

    async fn ask_for_events(
        &self,
        server: &str,
        (incarnation, version): (u64, u64),
    ) -> Result<Response<Incoming>, Left> {
        let scheme = &self.client.inner.scheme;
        let mut request =
            Request::get(format!("{scheme}://{server}/v1/watch")).header(ACCEPT, EVENTS);
        if let Some(authorization) = &self.client.inner.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        if (incarnation, version) != (0, 0) {
            request = request.header("last-event-id", format!("{incarnation}.{version}"));
        }
        let request = request.body(Full::<Bytes>::default());
        let request = request.map_err(|error| Left::NoAnswer {
            reason: error.to_string(),
        })?;
        let answer = self.client.inner.http.request(request).await;
        answer.map_err(|error| Left::NoAnswer {
            reason: innermost(&error),
        })
    }
}

/// What a refusal says.
async fn refusal(answer: Response<Incoming>) -> String {
    let kind = answer.headers().get(CONTENT_TYPE).cloned();
    let body = Limited::new(answer.into_body(), REFUSAL_BYTES_MAX);
    let Ok(body) = body.collect().await else {
        return String::new();
    };
    let is_problem = kind.is_some_and(|kind| kind.as_bytes() == PROBLEM_JSON.as_bytes());
    let problem = is_problem.then(|| serde_json::from_slice::<Problem>(&body.to_bytes()));
    match problem {
        Some(Ok(problem)) => problem.to_string(),
        _ => "no problem body".to_owned(),
    }
}
