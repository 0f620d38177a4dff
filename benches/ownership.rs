//! What it costs to ask for the right to act: `owns` and `check`, against reading the clock alone;
//! and what a leader spends on a thousand sessions that renew, against the time that passes.
//!
//! `cargo bench -p benches --bench ownership`
#![allow(missing_docs, reason = "a program, nothing to call")]

#[path = "ownership/leader.rs"]
mod leader;

use std::hint::black_box;
use std::process::ExitCode;
use std::time::Duration;

use benches::ratio::Report;
use ck_control::ConfigChoices;
use ck_core::{NodeId, PartitionId};
use ck_node::{BootClock, Clock, Config, Handle, Node};

/// `owns` is one clock reading and two atomic loads.
const OWNS_LIMIT: f64 = 1.5;

/// `check` counts the proof as well, and gives it back.
const CHECK_LIMIT: f64 = 2.5;

/// Two threads that ask for different partitions hinder each other not much more than the clock.
const TWO_THREADS_LIMIT: f64 = 1.3;

const CALLS: usize = 1_000;
const ROUNDS: usize = 1_000;
const PARTITIONS: u32 = 256;
const PATIENCE: Duration = Duration::from_secs(30);

/// A cluster of one node that owns everything.
async fn start(data: &std::path::Path) -> Handle {
    let mut config = Config::new(NodeId::new("node-1").expect("a short name"), data);
    config.choices = ConfigChoices {
        partitions: Some(PARTITIONS),
        replication_factor: Some(1),
        auto_create: Some(true),
        ..ConfigChoices::default()
    };
    let node = Node::start(config)
        .await
        .expect("a node starts in a new folder");
    let all_owned = async {
        node.ready().await.expect("the node goes on");
        while !(0..PARTITIONS).all(|one| node.owns(PartitionId(one))) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let owned = tokio::time::timeout(PATIENCE, all_owned).await;
    owned.expect("a single node owns everything at once");
    node
}

fn clock() {
    for _ in 0..CALLS {
        black_box(BootClock.now());
    }
}

fn owns(node: &Handle, partition: PartitionId) {
    for _ in 0..CALLS {
        assert!(node.owns(black_box(partition)));
    }
}

fn check(node: &Handle, partition: PartitionId) {
    let own = node.acquire(partition).expect("it is owned");
    for _ in 0..CALLS {
        let proof = own.check().expect("it is owned");
        black_box(proof.token());
    }
}

fn threads(count: u32, node: &Handle) {
    std::thread::scope(|scope| {
        for number in 0..count {
            // Far enough apart for cache lines of their own.
            let partition = PartitionId(number * 64);
            scope.spawn(move || (0..ROUNDS).for_each(|_| check(node, partition)));
        }
    });
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let node = runtime.block_on(start(folder.path()));
    let mut report = Report::from_arguments();
    let partition = PartitionId(7);
    report.at_most("owns", OWNS_LIMIT, CALLS, clock, || owns(&node, partition));
    report.at_most("check", CHECK_LIMIT, CALLS, clock, || {
        check(&node, partition);
    });
    let calls = ROUNDS * CALLS;
    let one = || threads(1, &node);
    report.at_most("check, two threads", TWO_THREADS_LIMIT, calls, one, || {
        threads(2, &node);
    });
    runtime.block_on(node.stop());
    leader::measure(&mut report);
    report.verdict()
}
