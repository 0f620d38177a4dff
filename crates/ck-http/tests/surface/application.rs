//! An application outside the process, as a test plays it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ck_control::{BoxFuture, Copying, Handler, HandlerContext, HandlerError, TransferId};
use ck_core::PartitionId;
use ck_http::fake::Fake;
use ck_http::{Limits, Orders, SurfaceConfig};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::support::{Got, Live, PATIENCE, captured};

/// A call's context that remembers progress and can be cancelled.
pub(crate) struct Context {
    pub(crate) progress: Mutex<Vec<(u64, u64)>>,
    pub(crate) cancelled: watch::Sender<bool>,
}

impl Context {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            progress: Mutex::default(),
            cancelled: watch::channel(false).0,
        })
    }
}

impl HandlerContext for Context {
    fn now(&self) -> Duration {
        Duration::from_secs(1)
    }
    fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }
    fn spawn(&self, _: BoxFuture<'static, ()>) {}
    fn is_cancelled(&self) -> bool {
        *self.cancelled.borrow()
    }
    fn cancelled(&self) -> BoxFuture<'static, ()> {
        let mut cancelled = self.cancelled.subscribe();
        Box::pin(async move {
            let _ = cancelled.wait_for(|now| *now).await;
        })
    }
    fn progress(&self, done: u64, total: u64) {
        self.progress.lock().unwrap().push((done, total));
    }
}

pub(crate) type Called = JoinHandle<Result<(), HandlerError>>;

pub(crate) fn copying(partition: u32) -> Copying {
    let services = BTreeMap::from([("kv".to_owned(), "127.0.0.1:7".to_owned())]);
    let source = "node-2".parse().unwrap();
    Copying::new(PartitionId(partition), TransferId(9), source, services)
}

pub(crate) fn prepare(orders: &Orders, context: &Arc<Context>, partition: u32) -> Called {
    let (orders, context) = (orders.clone(), Arc::clone(context));
    tokio::spawn(async move { orders.prepare(&*context, copying(partition)).await })
}

pub(crate) async fn ended(called: Called) -> Result<(), HandlerError> {
    tokio::time::timeout(PATIENCE, called)
        .await
        .unwrap()
        .unwrap()
}

/// Follows the orders over a socket of its own.
pub(crate) struct Follower {
    stream: TcpStream,
    pub(crate) text: String,
    taken: usize,
}

impl Follower {
    pub(crate) async fn of(live: &Live) -> Self {
        let mut stream = live.connect().await;
        let head = format!("GET /v1/orders HTTP/1.1\r\nhost: {}\r\n\r\n", live.address);
        stream.write_all(head.as_bytes()).await.unwrap();
        Self {
            stream,
            text: String::new(),
            taken: 0,
        }
    }

    /// Reads until `found` finds something; `None` when the stream ends before.
    pub(crate) async fn until<T>(&mut self, mut found: impl FnMut(&str) -> Option<T>) -> Option<T> {
        let mut chunk = [0; 16 << 10];
        loop {
            if let Some(found) = found(&self.text) {
                return Some(found);
            }
            let read = tokio::time::timeout(PATIENCE, self.stream.read(&mut chunk));
            let count = read.await.expect("something comes in time").unwrap_or(0);
            if count == 0 {
                return None;
            }
            self.text
                .push_str(std::str::from_utf8(&chunk[..count]).unwrap());
        }
    }

    /// The next event: its name and its data.
    pub(crate) async fn next(&mut self) -> Option<(String, Value)> {
        let taken = self.taken;
        let (name, data, end) = self
            .until(|text| {
                let rest = &text[taken..];
                let at = rest.find("event: ")?;
                let end = at + rest[at..].find("\n\n")?;
                let event = &rest[at..end];
                let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
                let data = serde_json::from_str(field("data: ")?).unwrap();
                Some((field("event: ")?.to_owned(), data, taken + end))
            })
            .await?;
        self.taken = end;
        Some((name, data))
    }

    pub(crate) async fn expect(&mut self, wanted: &str) -> Value {
        let (name, data) = self.next().await.expect("the stream goes on");
        assert_eq!(name, wanted, "{data}");
        data
    }
}

pub(crate) async fn served() -> (Live, Orders) {
    served_with(Orders::default(), Limits::default()).await
}

pub(crate) async fn served_with(orders: Orders, limits: Limits) -> (Live, Orders) {
    let config = SurfaceConfig {
        orders: Some(orders.clone()),
        limits,
        ..SurfaceConfig::default()
    };
    let live = Live::start_with(Fake::with_partitions(captured(), 3), config).await;
    (live, orders)
}

/// The acknowledgement that repeats what an order names.
pub(crate) fn ack(order: &Value) -> Value {
    let mut ack = json!({
        "stage": order["event"], "session": order["session"], "epoch": order["epoch"],
    });
    if !order["switch"].is_null() {
        ack["switch"] = order["switch"].clone();
    }
    ack
}

pub(crate) async fn acknowledge(live: &Live, order: &Value, ack: &Value) -> Got {
    let path = format!("/v1/orders/{}/ack", order["id"].as_str().unwrap());
    live.json("POST", &path, &ack.to_string()).await
}
