//! The suite, and the faults.

use std::sync::atomic::{AtomicU16, Ordering};

use bytes::Bytes;
use ck_core::NodeId;

use super::*;
use crate::ServiceError;
use crate::conformance::{Fixture, limits};

struct InMemory {
    network: Arc<MemoryNetwork>,
    next: AtomicU16,
}

impl InMemory {
    fn new() -> Self {
        Self {
            network: MemoryNetwork::with_limits(1, limits()),
            next: AtomicU16::new(1),
        }
    }
}

impl Fixture for InMemory {
    fn start(
        &self,
        address: Option<String>,
        me: PeerId,
        service: Arc<dyn Service>,
    ) -> BoxFuture<'_, Result<Arc<dyn Transport>, TransportError>> {
        let address = address
            .unwrap_or_else(|| format!("node-{}:1", self.next.fetch_add(1, Ordering::Relaxed)));
        let transport: Arc<dyn Transport> = self.network.join(address, me, service);
        Box::pin(std::future::ready(Ok(transport)))
    }

    fn nowhere(&self) -> String {
        "nowhere:1".into()
    }
}

crate::conformance_tests!(tokio::test(start_paused = true), InMemory::new());

/// Answers with how many requests it has seen.
#[derive(Default)]
struct Counter(AtomicU16);

impl Service for Counter {
    fn handle(&self, _: PeerId, _: Request) -> BoxFuture<'static, Result<Reply, ServiceError>> {
        let seen = self.0.fetch_add(1, Ordering::SeqCst) + 1;
        Box::pin(async move { Ok(Reply::new(Bytes::copy_from_slice(&seen.to_le_bytes()))) })
    }
}

struct Pair {
    network: Arc<MemoryNetwork>,
    a: Arc<MemoryTransport>,
    b: Arc<MemoryTransport>,
    seen: Arc<Counter>,
}

fn pair(seed: u64) -> Pair {
    let network = MemoryNetwork::new(seed);
    let id = |name| PeerId {
        node: NodeId::new(name).unwrap(),
        member: None,
        store: 0,
        cluster: None,
        cluster_name: "faults".into(),
    };
    let seen = Arc::new(Counter::default());
    let a = network.join("a", id("a"), Arc::new(Counter::default()));
    let b = network.join("b", id("b"), Arc::clone(&seen) as _);
    Pair {
        network,
        a,
        b,
        seen,
    }
}

async fn ask(from: &MemoryTransport, to: &str) -> Result<(), TransportError> {
    let to = Address::anyone(to);
    from.call(&to, Request::new(1, ""), Duration::from_secs(1))
        .await
        .map(|_| ())
}

fn timed_out(outcome: &Result<(), TransportError>) -> bool {
    matches!(outcome, Err(TransportError::Timeout { .. }))
}

#[tokio::test(start_paused = true)]
async fn a_cut_request_is_silence_and_does_not_run() {
    let Pair {
        network,
        a,
        b,
        seen,
    } = pair(1);
    network.cut("a", "b");
    assert!(timed_out(&ask(&a, "b").await));
    assert_eq!(seen.0.load(Ordering::SeqCst), 0);
    assert!(timed_out(&ask(&b, "a").await), "its answer is cut");
    network.heal("a", "b");
    ask(&a, "b").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_cut_answer_is_silence_although_the_request_ran() {
    let Pair {
        network,
        a,
        b: _b,
        seen,
    } = pair(1);
    network.cut("b", "a");
    assert!(timed_out(&ask(&a, "b").await));
    assert_eq!(seen.0.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_partition_stops_both_ways_until_all_is_healed() {
    let Pair { network, a, b, .. } = pair(1);
    network.partition(&["a"], &["b", "c"]);
    assert!(timed_out(&ask(&a, "b").await));
    assert!(timed_out(&ask(&b, "a").await));
    network.heal_all();
    ask(&a, "b").await.unwrap();
    ask(&b, "a").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_on_its_way_when_the_link_is_cut_is_lost() {
    let Pair {
        network,
        a,
        b: _b,
        seen,
    } = pair(1);
    let slow = Duration::from_millis(500);
    network.set_faults(Faults {
        delay: slow..=slow,
        ..Faults::default()
    });
    let cut = async {
        tokio::time::sleep(slow / 2).await;
        network.cut("a", "b");
    };
    let (outcome, ()) = tokio::join!(ask(&a, "b"), cut);
    assert!(timed_out(&outcome));
    assert_eq!(seen.0.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn delays_take_the_time_asked_for_in_each_direction() {
    let Pair {
        network, a, b: _b, ..
    } = pair(1);
    let (out, back) = (Duration::from_millis(30), Duration::from_millis(70));
    network.set_link_faults(
        "a",
        "b",
        Faults {
            delay: out..=out,
            ..Faults::default()
        },
    );
    network.set_link_faults(
        "b",
        "a",
        Faults {
            delay: back..=back,
            ..Faults::default()
        },
    );
    let begun = tokio::time::Instant::now();
    ask(&a, "b").await.unwrap();
    assert!((out + back..out + back + Duration::from_millis(5)).contains(&begun.elapsed()));
}

#[tokio::test(start_paused = true)]
async fn a_duplicated_request_runs_twice_and_is_answered_once() {
    let Pair {
        network,
        a,
        b: _b,
        seen,
    } = pair(1);
    network.set_faults(Faults {
        duplication: 1.0,
        ..Faults::default()
    });
    ask(&a, "b").await.unwrap();
    tokio::task::yield_now().await;
    assert_eq!(seen.0.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn reordering_lets_a_later_request_overtake() {
    let Pair {
        network, a, b: _b, ..
    } = pair(3);
    network.set_link_faults(
        "a",
        "b",
        Faults {
            reordering: 0.5,
            ..Faults::default()
        },
    );
    let to = Address::anyone("b");
    let calls = (0..20).map(|_| a.call(&to, Request::new(1, ""), Duration::from_secs(1)));
    let answers = futures_util::future::join_all(calls).await;
    let order: Vec<_> = answers
        .into_iter()
        .map(|answer| answer.unwrap().1.payload)
        .collect();
    assert!(!order.is_sorted_by_key(|seen| u16::from_le_bytes([seen[0], seen[1]])));
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_loses_the_same_calls() {
    let mut runs = Vec::new();
    for seed in [5, 5, 6] {
        let Pair {
            network, a, b: _b, ..
        } = pair(seed);
        network.set_faults(Faults {
            loss: 0.3,
            ..Faults::default()
        });
        let mut lost = Vec::new();
        for _ in 0..50 {
            lost.push(ask(&a, "b").await.is_err());
        }
        runs.push(lost);
    }
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0], runs[2]);
    assert!(runs[0].contains(&true) && runs[0].contains(&false));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_transport_has_left() {
    let Pair { a, b, .. } = pair(1);
    drop(b);
    assert!(matches!(
        ask(&a, "b").await,
        Err(TransportError::Unreachable { .. })
    ));
}
