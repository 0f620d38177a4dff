//! Key to owner: our table against a bare hash and one array load, and peers' crates beside it.
//!
//! `cargo bench -p benches --bench lookup`
#![allow(missing_docs, reason = "a program, nothing to call")]

use std::hint::black_box;
use std::process::ExitCode;
use std::time::Duration;

use benches::input;
use benches::ratio::Report;
use ck_core::{KeyHash, Table};
use criterion::{BenchmarkId, Criterion, Throughput};
use hashring::HashRing;
use jumphash::JumpHasher;
use xxhash_rust::xxh3::xxh3_64;

/// Partition counts measured: the default, and a big cluster's.
const PARTITIONS: [u32; 2] = [64, 16_384];

/// Nodes, as many as the peers' rings get; each stands on a ring at [`POINTS`] places.
const NODES: u32 = 10;

/// Points a node on a ring, the number these crates suggest for an even load.
const POINTS: usize = 100;

/// A look-up costs at most this many times the bare hash and load.
const LIMIT: f64 = 1.6;

type Keys = [[u8; 16]];

/// The least that can be done: the hash, scaled to the partitions, and one load.
fn bare(owners: &[u32], keys: &Keys) {
    for key in keys {
        let scaled = u128::from(xxh3_64(black_box(key))) * owners.len() as u128;
        black_box(owners[(scaled >> 64) as usize]);
    }
}

/// A row of the table, and its primary's id.
fn table(table: &Table, keys: &Keys) {
    for key in keys {
        let row = black_box(table).lookup(KeyHash::Xxh3, black_box(key));
        black_box(row.primary());
    }
}

fn ring() -> HashRing<(u32, usize)> {
    let mut ring = HashRing::new();
    let points = (0..NODES).flat_map(|node| (0..POINTS).map(move |point| (node, point)));
    ring.batch_add(points.collect());
    ring
}

fn hashring(ring: &HashRing<(u32, usize)>, keys: &Keys) {
    for key in keys {
        black_box(ring.get(black_box(key)));
    }
}

type StaticRing = consistent_hash::StaticHashRing<'static, u32, (), consistent_hash::DefaultHash>;

fn static_ring() -> StaticRing {
    let nodes = (0..NODES).map(|node| consistent_hash::Node::new(node).quantity(POINTS));
    StaticRing::new(consistent_hash::DefaultHash, nodes)
}

fn consistent(ring: &StaticRing, keys: &Keys) {
    for key in keys {
        black_box(ring.calc_candidates(black_box(key)).next());
    }
}

fn jump(jump: &JumpHasher, keys: &Keys) {
    for key in keys {
        black_box(jump.slot(black_box(key), NODES));
    }
}

/// Owner of every partition, flat: what the bare look-up loads from.
fn owners(of: &Table) -> Vec<u32> {
    of.rows().map(|row| row.indexes()[0]).collect()
}

fn ratios() -> ExitCode {
    let keys = input::keys();
    let mut report = Report::from_arguments();
    for partitions in PARTITIONS {
        let of = input::table(partitions, NODES);
        let owners = owners(&of);
        let name = format!("table, {partitions} partitions");
        report.at_most(
            &name,
            LIMIT,
            keys.len(),
            || bare(&owners, &keys),
            || table(&of, &keys),
        );
    }
    let owners = owners(&input::table(PARTITIONS[0], NODES));
    let (ring, static_ring, jumper) = (ring(), static_ring(), JumpHasher::new());
    let base = || bare(&owners, &keys);
    report.beside("hashring", keys.len(), base, || hashring(&ring, &keys));
    report.beside("consistent_hash", keys.len(), base, || {
        consistent(&static_ring, &keys);
    });
    report.beside("jumphash", keys.len(), base, || jump(&jumper, &keys));
    report.verdict()
}

/// The same in absolute figures, with criterion's statistics.
fn figures() {
    let keys = input::keys();
    let short = Criterion::default().warm_up_time(Duration::from_secs(1));
    let mut criterion = short
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    let mut group = criterion.benchmark_group("lookup");
    group.throughput(Throughput::Elements(keys.len() as u64));
    for partitions in PARTITIONS {
        let of = input::table(partitions, NODES);
        let owners = owners(&of);
        let id = |name: &str| BenchmarkId::new(name, partitions);
        group.bench_function(id("bare"), |bencher| bencher.iter(|| bare(&owners, &keys)));
        group.bench_function(id("table"), |bencher| bencher.iter(|| table(&of, &keys)));
    }
    let (ring, static_ring, jumper) = (ring(), static_ring(), JumpHasher::new());
    group.bench_function("hashring", |bencher| {
        bencher.iter(|| hashring(&ring, &keys));
    });
    group.bench_function("consistent_hash", |bencher| {
        bencher.iter(|| consistent(&static_ring, &keys));
    });
    group.bench_function("jumphash", |bencher| bencher.iter(|| jump(&jumper, &keys)));
    group.finish();
    criterion.final_summary();
}

fn main() -> ExitCode {
    figures();
    ratios()
}
