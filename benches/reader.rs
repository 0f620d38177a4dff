//! Look-ups through a node's `Reader` while the node publishes one table after the other.
//!
//! `cargo bench -p benches --bench reader`
#![allow(missing_docs, reason = "a program, nothing to call")]

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use benches::input;
use benches::ratio::Report;
use ck_control::ConfigChoices;
use ck_core::{NodeId, Table};
use ck_node::{Config, Handle, Node, Reader};
use xxhash_rust::xxh3::xxh3_64;

/// Partition counts measured: the default, and a big cluster's.
const PARTITIONS: [u32; 2] = [64, 16_384];

/// A look-up costs at most this many times the bare hash and load.
const LIMIT: f64 = 1.6;

/// Two threads do twice the work in at most this many times the time of one.
const TWO_THREADS_LIMIT: f64 = 1.3;

/// Rounds a thread does when threads are compared: long against starting one.
const ROUNDS: usize = 1_000;

/// A node must be ready, and a write be committed, within this.
const PATIENCE: Duration = Duration::from_secs(30);

type Keys = [[u8; 16]];

/// The least that can be done: the hash, scaled to the partitions, and one load.
fn bare(owners: &[u32], keys: &Keys) {
    for key in keys {
        let scaled = u128::from(xxh3_64(black_box(key))) * owners.len() as u128;
        black_box(owners[(scaled >> 64) as usize]);
    }
}

/// Through the reader: the newest table, a row of it, and its primary's id.
fn read(reader: &mut Reader, keys: &Keys) {
    for key in keys {
        black_box(reader.lookup(black_box(key)).and_then(|row| row.primary()));
    }
}

/// A cluster of one node.
async fn start(partitions: u32, data: &std::path::Path) -> Handle {
    let mut config = Config::new(NodeId::new("node-1").expect("a short name"), data);
    config.choices = ConfigChoices {
        partitions: Some(partitions),
        replication_factor: Some(1),
        auto_create: Some(true),
        ..ConfigChoices::default()
    };
    let node = Node::start(config)
        .await
        .expect("a node starts in a new folder");
    let ready = tokio::time::timeout(PATIENCE, node.ready()).await;
    ready
        .expect("a single node is ready at once")
        .expect("the node goes on");
    node
}

/// Publishes without a pause, counting, until told to stop: every write is a new version.
async fn publish(node: Handle, stop: Arc<AtomicBool>, published: Arc<AtomicU64>) {
    while !stop.load(Ordering::Relaxed) {
        let number = published.fetch_add(1, Ordering::Relaxed);
        let write = node.set_custom("bench", number.to_be_bytes().to_vec(), None);
        let written = tokio::time::timeout(PATIENCE, write).await;
        written
            .expect("a write ends")
            .expect("a single node commits");
    }
}

fn threads(count: usize, node: &Handle, keys: &Keys) {
    std::thread::scope(|scope| {
        for _ in 0..count {
            let mut reader = node.reader();
            scope.spawn(move || (0..ROUNDS).for_each(|_| read(&mut reader, keys)));
        }
    });
}

fn ratios(report: &mut Report, node: &Handle, partitions: u32) {
    let keys = input::keys();
    let table: Arc<Table> = node.table().expect("a node that is ready has its table");
    let owners: Vec<u32> = table.rows().map(|row| row.indexes()[0]).collect();
    let mut reader = node.reader();
    let name = format!("reader, {partitions} partitions");
    report.at_most(
        &name,
        LIMIT,
        keys.len(),
        || bare(&owners, &keys),
        || read(&mut reader, &keys),
    );
    let name = format!("two threads, {partitions} partitions");
    let calls = ROUNDS * keys.len();
    let one = || threads(1, node, &keys);
    report.at_most(&name, TWO_THREADS_LIMIT, calls, one, || {
        threads(2, node, &keys);
    });
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let runtime = runtime.expect("threads can be started");
    let mut report = Report::from_arguments();
    for partitions in PARTITIONS {
        let data = tempfile::tempdir().expect("a temporary folder can be made");
        let node = runtime.block_on(start(partitions, data.path()));
        let (stop, published) = (Arc::default(), Arc::default());
        let writer = runtime.spawn(publish(
            node.clone(),
            Arc::clone(&stop),
            Arc::clone(&published),
        ));
        ratios(&mut report, &node, partitions);
        stop.store(true, Ordering::Relaxed);
        runtime
            .block_on(writer)
            .expect("the writer ends when it is told to");
        report.note(&format!(
            "{} tables published meanwhile",
            published.load(Ordering::Relaxed)
        ));
        runtime.block_on(node.stop());
    }
    report.verdict()
}
