//! Planning: what it costs against reading the table alone, and what it moves against the bound.
//!
//! `cargo bench -p benches --bench planner -- --report` prints one line an instance, and balance and
//! moves of other placements beside it, which takes minutes: a rendezvous draws a number for each of
//! a million rows and a thousand nodes. Without `--report` criterion measures the two smaller sizes.
//! As a test, the smallest size is tried.
#![allow(missing_docs, reason = "a program, nothing to call")]
#![allow(clippy::print_stdout, reason = "the report is what a bench is run for")]

mod instances;
mod memory;
mod report;

use std::time::Duration;

use ck_core::{Balanced, Topology};
use criterion::Criterion;

use instances::{CHANGES, SIZES};
use report::{place, report};

/// Times each instance is planned; the fastest counts.
const RUNS: usize = 7;

/// The usual changes at the smaller sizes, with criterion's statistics.
fn figures() {
    let short = Criterion::default().warm_up_time(Duration::from_secs(1));
    let mut criterion = short
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    for size in &SIZES[..2] {
        let mut group = criterion.benchmark_group(size.name(false));
        let before = Topology::new(size.nodes(false)).expect("distinct nodes");
        for (change, name) in &CHANGES[..4] {
            let first = place(
                &Balanced::new(),
                (&before, &size.spec(3, size.spread)),
                None,
            )
            .table;
            let (topology, spec) = size.after(*change, false);
            group.bench_function(*name, |bencher| {
                bencher.iter(|| place(&Balanced::new(), (&topology, &spec), Some(&first)));
            });
        }
        group.finish();
    }
    criterion.final_summary();
}

fn main() {
    let asked = |flag: &str| std::env::args().any(|argument| argument == flag);
    match (asked("--bench"), asked("--report")) {
        (true, true) => report(&SIZES, RUNS),
        (true, false) => figures(),
        // `cargo test` does not pass `--bench`: it is only tried.
        (false, _) => report(&SIZES[..1], 1),
    }
}
