//! Posts batches of spans, and says when they are not taken.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ck_http::{Bytes, Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use opentelemetry_http::{HttpClient, HttpError};
use tokio::runtime::Handle;

/// Longest a batch may take. Others wait in the queue meanwhile, or find no room in it.
const WITHIN: Duration = Duration::from_secs(10);

/// Most bytes of an answer that are read.
const ANSWER_MAX: usize = 64 << 10;

/// A collector. Batches are posted on the runtime of the node, whoever asks for it.
#[derive(Debug)]
pub(super) struct Collector {
    http: Client<HttpConnector, Full<Bytes>>,
    runtime: Handle,
    address: String,
    /// Whether it did not take the last batch, which was said.
    is_away: AtomicBool,
}

impl Collector {
    pub(super) fn new(address: String, runtime: Handle) -> Self {
        Self {
            http: Client::builder(TokioExecutor::new()).build_http(),
            runtime,
            address,
            is_away: AtomicBool::new(false),
        }
    }

    /// Says once that it takes no spans, and once that it does again.
    fn note(&self, sent: &Result<Response<Bytes>, HttpError>) {
        let wrong = match sent {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(format!("it answers {}", answer.status())),
            Err(error) => Some(told(error.as_ref())),
        };
        let address = &self.address;
        match (self.is_away.swap(wrong.is_some(), Ordering::Relaxed), wrong) {
            (false, Some(why)) => tracing::warn!(
                "no spans can be sent to the collector {address}, they are lost until it takes them: {why}"
            ),
            (true, None) => tracing::info!("the collector {address} takes spans again"),
            _ => {}
        }
    }
}

type Sending<'a> = Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'a>>;

impl HttpClient for Collector {
    fn send_bytes<'a, 'b>(&'a self, request: Request<Bytes>) -> Sending<'b>
    where
        'a: 'b,
        Self: 'b,
    {
        // Whoever asks has a thread of its own, without a runtime.
        let sending = self.runtime.spawn(post(self.http.clone(), request));
        Box::pin(async move {
            let sent = match sending.await {
                Ok(sent) => sent,
                Err(source) => Err(source.into()),
            };
            self.note(&sent);
            sent
        })
    }
}

async fn post(
    http: Client<HttpConnector, Full<Bytes>>,
    request: Request<Bytes>,
) -> Result<Response<Bytes>, HttpError> {
    let posting = async {
        let answer = http.request(request.map(Full::new)).await?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, ANSWER_MAX).collect().await?.to_bytes();
        Ok(Response::from_parts(head, body))
    };
    tokio::time::timeout(WITHIN, posting).await?
}

fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut at = error.source();
    while let Some(cause) = at {
        text = format!("{text}: {cause}");
        at = cause.source();
    }
    text
}
