//! An application's own routes, on the port of its node and under its limits.

use std::sync::Arc;
use std::time::Duration;

use ck_http::fake::Fake;
use ck_http::{
    BoxFuture, Incoming, Limits, Problem, Reply, Request, Routes, StatusCode, SurfaceConfig,
    header, json_reply, problem, read_body,
};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::{Semaphore, mpsc};

use crate::support::{Live, PATIENCE, captured, parse, read_to_end};

const BODY_MAX: usize = 64;
const SHORT: Duration = Duration::from_millis(200);

/// Echoes bodies; holds requests until it is told to let them go.
struct Echo {
    held: mpsc::UnboundedSender<()>,
    go: Semaphore,
}

impl Echo {
    async fn echo(&self, request: Request<Incoming>) -> Result<Reply, Box<Problem>> {
        let (head, body) = request.into_parts();
        match head.uri.path() {
            "/kv/hold" => {
                self.held.send(()).unwrap();
                let _permit = self.go.acquire().await.unwrap();
                Ok(json_reply(StatusCode::OK, &"held"))
            }
            "/kv/version" => {
                let mut reply = Reply::new("own".into());
                let value = header::HeaderValue::from_static("7.7");
                reply.headers_mut().insert("ck-version", value);
                Ok(reply)
            }
            _ => Ok(Reply::new(read_body(body, BODY_MAX, SHORT).await?.into())),
        }
    }
}

impl Routes for Echo {
    fn serves(&self, path: &str) -> bool {
        // `/v1/nodes` is the surface's, whatever an application says.
        path.starts_with("/kv/") || path == "/v1/nodes"
    }

    fn answer(&self, request: Request<Incoming>) -> BoxFuture<'_, Reply> {
        Box::pin(async move {
            let answer = self.echo(request).await;
            answer.unwrap_or_else(|refused| problem(&refused))
        })
    }
}

async fn mounted(limits: Limits) -> (Live, Arc<Echo>, mpsc::UnboundedReceiver<()>) {
    let (held, holding) = mpsc::unbounded_channel();
    let echo = Arc::new(Echo {
        held,
        go: Semaphore::new(0),
    });
    let config = SurfaceConfig {
        limits,
        ..SurfaceConfig::default()
    };
    let fake = Fake::with_partitions(captured(), 3);
    let live = Live::start_beside(fake, config, Arc::clone(&echo) as _).await;
    (live, echo, holding)
}

#[tokio::test]
async fn both_are_served_and_the_surface_comes_first() {
    let (live, _, _) = mounted(Limits::default()).await;
    let got = live.send("PUT", "/kv/a", &[], b"whole").await;
    assert_eq!((got.status, &*got.body), (200, &b"whole"[..]));
    assert_eq!(
        got.header("ck-version"),
        Some(format!("1.{}", live.version()).as_str())
    );
    let got = live.get("/v1/nodes").await;
    assert_eq!(got.json()["total"], 3, "the surface's own");
    assert_eq!(live.get("/kv").await.code(), "not-found");
    let got = live.get("/kv/version").await;
    assert_eq!(
        got.header("ck-version"),
        Some("7.7"),
        "kept as it was given"
    );
}

#[tokio::test]
async fn another_host_reaches_no_route_of_the_application() {
    let (live, _, _) = mounted(Limits::default()).await;
    let foreign = ("host", "evil.example");
    let got = live.send("PUT", "/kv/a", &[foreign], b"x").await;
    assert_eq!((got.status, got.code().as_str()), (421, "host-not-allowed"));
    let long = "v".repeat(40 << 10);
    let got = live.send("PUT", "/kv/a", &[("x-long", &long)], b"x").await;
    assert_eq!(got.code(), "headers-too-large");
}

#[tokio::test]
async fn a_page_of_another_site_changes_nothing_in_the_application() {
    let (live, ..) = mounted(Limits::default()).await;
    let foreign = [("origin", "http://evil.example")];
    let got = live.send("PUT", "/kv/a", &foreign, b"x").await;
    assert_eq!((got.status, got.code().as_str()), (403, "cross-origin"));
    assert_eq!(live.send("GET", "/kv/a", &foreign, b"").await.status, 200);
    assert_eq!(live.send("PUT", "/kv/a", &[], b"x").await.status, 200);
}

#[tokio::test]
async fn requests_in_flight_are_counted_together() {
    let (live, echo, mut holding) = mounted(Limits {
        requests_max: 1,
        ..Limits::default()
    })
    .await;
    let mut first = live.connect().await;
    let head = "GET /kv/hold HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    first.write_all(head.as_bytes()).await.unwrap();
    holding.recv().await.unwrap();
    for path in ["/kv/a", "/v1/nodes"] {
        let got = live.get(path).await;
        assert_eq!((got.status, got.code().as_str()), (503, "overloaded"));
        assert_eq!(got.header("retry-after"), Some("1"));
    }
    echo.go.add_permits(1);
    assert_eq!(parse(&read_to_end(&mut first).await).body, b"\"held\"");
    assert_eq!(live.send("PUT", "/kv/a", &[], b"x").await.status, 200);
}

#[tokio::test]
async fn a_body_has_its_limit_and_its_time() {
    let (live, _, _) = mounted(Limits::default()).await;
    let long = [b'x'; BODY_MAX + 1];
    let got = live.send("PUT", "/kv/a", &[], &long).await;
    assert_eq!((got.status, got.code().as_str()), (413, "body-too-large"));
    let whole = live.send("PUT", "/kv/a", &[], &long[1..]).await;
    assert_eq!(whole.body, &long[1..]);
    let chunks = "PUT /kv/a HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
                  transfer-encoding: chunked\r\n\r\n2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n";
    let got = parse(&live.raw(chunks.as_bytes()).await);
    assert_eq!(got.body, b"abcde", "in pieces as well");
    let half = "PUT /kv/a HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\nhalf";
    let mut stream = live.connect().await;
    stream.write_all(half.as_bytes()).await.unwrap();
    let got = parse(&read_to_end(&mut stream).await);
    assert_eq!((got.status, got.code().as_str()), (408, "body-timeout"));
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_given_up() {
    let (live, _, mut holding) = mounted(Limits {
        body_timeout: SHORT / 2,
        request_timeout: SHORT / 2,
        ..Limits::default()
    })
    .await;
    let got = tokio::time::timeout(PATIENCE, live.get("/kv/hold")).await;
    let got = got.unwrap();
    assert_eq!((got.status, got.code().as_str()), (504, "outcome-unknown"));
    assert_eq!(holding.recv().await, Some(()));
}
