//! The routing half of the client: look-ups through its reader against a bare hash and one load, and
//! requests through it against the same requests by the HTTP client below it.
//!
//! Servers and callers of the requests share one thread, over loopback.
//!
//! `cargo bench -p benches --bench router`
#![allow(missing_docs, reason = "a program, nothing to call")]

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use benches::input;
use benches::ratio::Report;
use bytes::Bytes;
use ck_client::{RouteReader, Router, RouterConfig};
use ck_control::{Command, Config, Generation, Registration, StoreId};
use ck_http::fake::Fake;
use ck_http::{BoxFuture, Incoming, Reply, Routes, Server, Surface, SurfaceConfig};
use ck_node::Operation;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use nix::time::{ClockId, clock_gettime};
use tokio::runtime::Runtime;
use xxhash_rust::xxh3::xxh3_64;

/// A look-up costs at most this many times the bare hash and load.
const LOOKUP_LIMIT: f64 = 2.5;

/// A request costs at most this many times the same by the HTTP client alone.
const SEND_LIMIT: f64 = 1.25;

/// Requests under way at a time.
const CALLERS: usize = 64;

/// Requests of a caller in a row.
const ROUNDS: usize = 20;

/// Nodes that serve.
const NODES: usize = 3;

type Keys = [[u8; 16]];

/// Answers with some bytes, as a store would that has them in memory.
struct Store(Bytes);

impl Routes for Store {
    fn serves(&self, path: &str) -> bool {
        path.starts_with("/kv/")
    }
    fn answer(&self, _: Request<Incoming>) -> BoxFuture<'_, Reply> {
        Box::pin(std::future::ready(Reply::new(self.0.clone().into())))
    }
}

fn registration(number: usize, http_address: String) -> Registration {
    Registration {
        node: format!("node-{number}").parse().expect("a short name"),
        display_name: String::new(),
        store: StoreId(number as u128),
        generation: Generation(1),
        member: None,
        previous: None,
        holds_store: true,
        durable: true,
        served: false,
        peer_address: format!("peer:{number}"),
        http_address,
        weight: 1,
        domain: None,
        services: [].into(),
        labels: [].into(),
        command_version: ck_control::COMMAND_VERSION,
    }
}

/// A cluster whose nodes serve on loopback, and their addresses.
fn start(runtime: &Runtime) -> Vec<String> {
    let fake = Arc::new(Fake::formed(Config::default(), 0));
    let bind = || runtime.block_on(Server::bind("127.0.0.1:0"));
    let servers: Vec<_> = (0..NODES).map(|_| bind().expect("a free port")).collect();
    for (number, server) in (1..).zip(&servers) {
        let register = registration(number, server.local_address().to_string());
        fake.apply(Command::Register(register))
            .expect("a new node registers");
    }
    fake.operate(Operation::CreatePartitions)
        .expect("as many nodes as the factor");
    let serve = |server: Server| {
        let address = server.local_address().to_string();
        let surface = Surface::new(SurfaceConfig::default(), Arc::clone(&fake) as _);
        let store = Arc::new(Store(Bytes::from_static(&[b'v'; 100])));
        let server = server.with_routes(store);
        runtime.spawn(server.run(surface.expect("default limits"), std::future::pending()));
        address
    };
    servers.into_iter().map(serve).collect()
}

/// The least that can be done: the hash, scaled to the partitions, and one load.
fn bare(owners: &[u32], keys: &Keys) {
    for key in keys {
        let scaled = u128::from(xxh3_64(black_box(key))) * owners.len() as u128;
        black_box(owners[(scaled >> 64) as usize]);
    }
}

fn look_up(reader: &mut RouteReader, keys: &Keys) {
    for key in keys {
        black_box(
            reader
                .lookup(black_box(key))
                .and_then(|route| route.primary()),
        );
    }
}

/// Every caller's requests, side by side.
async fn all<F: Future<Output = ()> + Send + 'static>(call: impl Fn(usize) -> F) {
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| tokio::spawn(call(caller)))
        .collect();
    for caller in callers {
        caller.await.expect("no caller panics");
    }
}

async fn by_router(router: &Router) {
    all(|caller| {
        let router = router.clone();
        async move {
            for round in 0..ROUNDS {
                let key = format!("key-{caller}-{round}");
                let request = Request::get(format!("/kv/{key}")).body(Bytes::new());
                let answer = router
                    .send(key.as_bytes(), request.expect("a valid path"))
                    .await;
                assert_eq!(answer.expect("it is served").body().len(), 100);
            }
        }
    })
    .await;
}

type Hyper = Client<HttpConnector, Full<Bytes>>;

async fn by_hyper(client: &Hyper, servers: &Arc<Vec<String>>) {
    all(|caller| {
        let (client, servers) = (client.clone(), Arc::clone(servers));
        async move {
            for round in 0..ROUNDS {
                let server = &servers[(caller + round) % servers.len()];
                let request = Request::get(format!("http://{server}/kv/key-{caller}-{round}"));
                let request = request.body(Full::default()).expect("a valid address");
                let answer = client.request(request).await.expect("it is served");
                let body = answer.into_body().collect().await;
                assert_eq!(body.expect("a whole answer").to_bytes().len(), 100);
            }
        }
    })
    .await;
}

/// Requests for each second of processor time, which others on the machine do not change.
fn rate(mut round: impl FnMut()) -> f64 {
    let used = || {
        let used = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).expect("this process has one");
        Duration::from(used)
    };
    let (before, began) = (used(), Instant::now());
    let mut rounds = 0_u32;
    while began.elapsed() < Duration::from_secs(2) {
        round();
        rounds += 1;
    }
    f64::from(rounds) * (CALLERS * ROUNDS) as f64 / (used() - before).as_secs_f64()
}

fn main() -> ExitCode {
    let mut report = Report::from_arguments();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let servers = Arc::new(start(&runtime));
    let router = runtime
        .block_on(async { Router::connect(RouterConfig::new(servers.iter().cloned())).await })
        .expect("a table");

    let keys = input::keys();
    let owners: Vec<u32> = (0..64).collect();
    let mut reader = router.reader();
    report.at_most(
        "look-up through a RouteReader",
        LOOKUP_LIMIT,
        keys.len(),
        || bare(&owners, &keys),
        || look_up(&mut reader, &keys),
    );

    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client: Hyper = Client::builder(TokioExecutor::new()).build(connector);
    report.at_most(
        "GET through a Router",
        SEND_LIMIT,
        CALLERS * ROUNDS,
        || runtime.block_on(by_hyper(&client, &servers)),
        || runtime.block_on(by_router(&router)),
    );
    if !report.is_trial() {
        report.note(&format!(
            "{:.0} requests a second of the core that {CALLERS} callers and {NODES} servers share",
            rate(|| runtime.block_on(by_router(&router)))
        ));
    }
    report.verdict()
}
