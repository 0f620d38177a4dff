//! Clients that know where their keys are: a drain costs them nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use ck_client::http::Request;
use ck_client::{Router, RouterConfig};

use crate::support::{BOUND, Cluster, wait_for};

/// Clients at a time.
const CLIENTS: usize = 8;

/// What the clients have seen.
#[derive(Debug, Default)]
struct Seen {
    over: AtomicBool,
    acknowledged: AtomicUsize,
}

/// Writes and reads back its own keys until it is told to end. Returns what went wrong.
async fn client(number: usize, router: Router, seen: Arc<Seen>) -> Vec<String> {
    let mut wrong = Vec::new();
    for turn in 0_usize.. {
        if seen.over.load(Ordering::SeqCst) {
            break;
        }
        let key = format!("client-{number}-{}", turn % 16);
        let path = format!("/kv/{key}");
        let value = format!("{turn}");
        let put = Request::put(&path).body(value.clone().into()).unwrap();
        match router.send(key.as_bytes(), put).await {
            Ok(reply) if reply.status() == 204 => {}
            other => wrong.push(format!("PUT {key}: {other:?}")),
        }
        let get = Request::get(&path).body(Default::default()).unwrap();
        match router.send(key.as_bytes(), get).await {
            Ok(reply) if reply.body() == value.as_bytes() => {}
            other => wrong.push(format!("GET {key}, not {value}: {other:?}")),
        }
        seen.acknowledged.fetch_add(1, Ordering::SeqCst);
    }
    wrong
}

fn wait_for_more(seen: &Seen) {
    let until = seen.acknowledged.load(Ordering::SeqCst) + 20 * CLIENTS;
    wait_for("clients get on", BOUND, || {
        (seen.acknowledged.load(Ordering::SeqCst) >= until).then_some(())
    });
}

#[test]
fn a_drain_under_load_fails_no_request_of_clients_that_follow() {
    // Nothing here waits for a lease to run out, and on a loaded machine a short one would.
    let mut cluster = Cluster::of(4, 0, &["--profile", "wan", "--partitions", "16"]);
    cluster.start_all();
    cluster.wait_until_serving();
    cluster.wait_until_stable();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let seen = Arc::new(Seen::default());
    let seeds: Vec<_> = cluster
        .addresses()
        .iter()
        .map(ToString::to_string)
        .collect();
    let config = RouterConfig::new(seeds).with_timeout(Duration::from_secs(20));
    let router = runtime.block_on(Router::connect(config)).unwrap();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| runtime.spawn(client(number, router.clone(), Arc::clone(&seen))))
        .collect();
    wait_for_more(&seen);
    let drained = cluster.nodes[0].ask("POST", "/v1/nodes/node-2/drain", b"");
    assert!(drained.unwrap().status < 300);
    wait_for("the drained node is empty", BOUND, || {
        let held = cluster.nodes[0].ask("GET", "/v1/nodes/node-2/partitions", b"")?;
        (!held.text().contains("\"partition-")).then_some(())
    });
    wait_for_more(&seen);
    // A node that stops without having been drained hands its roles over first.
    cluster.nodes[2].signal("TERM");
    assert_eq!(cluster.nodes[2].ended(), Some(0));
    wait_for_more(&seen);
    seen.over.store(true, Ordering::SeqCst);
    for client in clients {
        assert_eq!(runtime.block_on(client).unwrap(), [""; 0]);
    }
}
