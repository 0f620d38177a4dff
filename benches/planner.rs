//! Planning: what it costs against reading the table alone, and what it moves against the bound.
//!
//! `cargo bench -p benches --bench planner -- --report` prints one line an instance; without
//! `--report` criterion measures the two smaller sizes. As a test, the smallest size is tried.
#![allow(missing_docs, reason = "a program, nothing to call")]
#![allow(clippy::print_stdout, reason = "the report is what a bench is run for")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ck_core::schedule::{Limits, Migration};
use ck_core::{
    Balanced, Domain, Node, NodeId, Placement, Plan, Rendezvous, Ring, Spec, Table, Topology,
};
use criterion::Criterion;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator, keeping count of what is held and of the most that was.
struct Counting;

// SAFETY: every call is handed to the system's allocator as it came.
#[expect(unsafe_code, reason = "an allocator cannot be written without")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(held, Ordering::Relaxed);
        // SAFETY: the caller keeps `GlobalAlloc::alloc`'s contract, and this passes it on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: `block` came from `alloc` above, with the same layout.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Times each instance is planned; the fastest counts.
const RUNS: usize = 5;

/// A cluster to plan for.
#[derive(Clone, Copy)]
struct Size {
    partitions: u32,
    nodes: u32,
    domains: u32,
    spread: u8,
}

const SIZES: [Size; 3] = [
    size(256, 10, 5, 2),
    size(16_384, 100, 5, 3),
    size(1_000_000, 1_000, 10, 3),
];

const fn size(partitions: u32, nodes: u32, domains: u32, spread: u8) -> Size {
    Size {
        partitions,
        nodes,
        domains,
        spread,
    }
}

/// What changes, and in how many ways it is hard.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    Join,
    Leave,
    Weight,
    Replace,
    Move,
    Spread,
    Fewer,
}

const CHANGES: [(Change, &str); 7] = [
    (Change::Join, "join"),
    (Change::Leave, "leave"),
    (Change::Weight, "weight x 2"),
    (Change::Replace, "replace 10 %"),
    (Change::Move, "domain changes"),
    (Change::Spread, "spread + 1"),
    (Change::Fewer, "copies - 1"),
];

impl Size {
    fn node(self, number: u32, skewed: bool) -> Node {
        let id = NodeId::new(&format!("node-{number:05}")).expect("a short name");
        let domain = Domain::new(&format!("d{}", number % self.domains)).expect("a short name");
        let weight = if skewed { 1 + number % 7 } else { 1 };
        Node::new(id).with_domain(domain).with_weight(weight)
    }

    fn nodes(self, skewed: bool) -> Vec<Node> {
        (0..self.nodes).map(|n| self.node(n, skewed)).collect()
    }

    fn spec(self, copies: u8, spread: u8) -> Spec {
        Spec::new(self.partitions, copies, spread).expect("within range")
    }

    /// The topology and spec after a change.
    fn after(self, change: Change, skewed: bool) -> (Topology, Spec) {
        let mut nodes = self.nodes(skewed);
        let newcomer = |at: u32| self.node(self.nodes + at, skewed);
        let (mut copies, mut spread) = (3, self.before(change));
        match change {
            Change::Join => nodes.push(newcomer(0)),
            Change::Leave => drop(nodes.swap_remove(3)),
            Change::Weight => nodes[3].weight *= 2,
            Change::Replace => {
                let count = self.nodes / 10;
                nodes.drain(..count as usize);
                nodes.extend((0..count).map(newcomer));
            }
            Change::Move => nodes[3].domain = nodes[4].domain.clone(),
            Change::Spread => spread += 1,
            Change::Fewer => (copies, spread) = (copies - 1, spread.min(copies - 1)),
        }
        let topology = Topology::new(nodes).expect("distinct nodes");
        (topology, self.spec(copies, spread))
    }

    /// The spread before a change.
    fn before(self, change: Change) -> u8 {
        match change {
            Change::Spread => self.spread - 1,
            _ => self.spread,
        }
    }

    fn name(self, skewed: bool) -> String {
        let weights = if skewed { "1:7" } else { "equal" };
        format!("{} x {}, {weights}", self.partitions, self.nodes)
    }
}

/// Reads every row once and counts what each node holds: the least a planner has to do.
fn read(table: &Table) -> Vec<u32> {
    let mut counts = vec![0; table.nodes().len()];
    for row in table.rows() {
        for index in row.indexes() {
            counts[*index as usize] += 1;
        }
    }
    counts
}

fn place(
    strategy: &dyn Placement,
    (topology, spec): (&Topology, &Spec),
    previous: Option<&Table>,
) -> Plan {
    let plan = strategy.place(topology, spec, previous);
    plan.expect("there are nodes")
}

/// The fastest of some runs, and the most memory that one of them took beside what was held.
fn fastest<T>(runs: usize, mut run: impl FnMut() -> T) -> (Duration, usize) {
    let mut least = Duration::MAX;
    let held = HELD.load(Ordering::Relaxed);
    PEAK.store(held, Ordering::Relaxed);
    for _ in 0..runs {
        let start = Instant::now();
        let result = black_box(run());
        least = least.min(start.elapsed());
        drop(result);
    }
    (least, PEAK.load(Ordering::Relaxed).saturating_sub(held))
}

fn report(sizes: &[Size], runs: usize) {
    println!(
        "{:<26} {:<15} {:>9} {:>10} {:>9} {:>8} {:>8} {:>6} {:>7}",
        "instance", "change", "x table", "ms", "B/part.", "moves", "bound", "prim.", "rounds"
    );
    for (size, skewed) in sizes
        .iter()
        .flat_map(|size| [(*size, false), (*size, true)])
    {
        let before = Topology::new(size.nodes(skewed)).expect("distinct nodes");
        let spec = size.spec(3, size.spread);
        let first = place(&Balanced::new(), (&before, &spec), None).table;
        let (reading, _) = fastest(runs, || read(&first));
        let line = |change: &str, plan: &Plan, (taken, peak): (Duration, usize), rounds: &str| {
            println!(
                "{:<26} {change:<15} {:>9.1} {:>10.3} {:>9.1} {:>8} {:>8} {:>6} {rounds:>7}{}",
                size.name(skewed),
                taken.as_secs_f64() / reading.as_secs_f64().max(1e-9),
                taken.as_secs_f64() * 1e3,
                peak as f64 / f64::from(size.partitions),
                plan.copies_moved,
                plan.lower_bound,
                plan.primaries_changed,
                if plan.optimal { "" } else { "  not proved" },
            );
        };
        let timed = fastest(runs, || place(&Balanced::new(), (&before, &spec), None));
        let plan = place(&Balanced::new(), (&before, &spec), None);
        line("initial", &plan, timed, "");
        for (change, name) in CHANGES {
            let spec = size.spec(3, size.before(change));
            let first = place(&Balanced::new(), (&before, &spec), None).table;
            let (topology, spec) = size.after(change, skewed);
            let plan = || place(&Balanced::new(), (&topology, &spec), Some(&first));
            let timed = fastest(runs, plan);
            let plan = plan();
            let migration = Migration {
                topology: &topology,
                spec: &spec,
                previous: &first,
                target: &plan.table,
                limits: Limits::default(),
                stale: &[],
            };
            let schedule = migration.schedule().expect("the same partitions");
            line(name, &plan, timed, &schedule.rounds.to_string());
            if change == Change::Replace {
                let timed = fastest(runs, || migration.schedule());
                line("  its schedule", &plan, timed, &schedule.rounds.to_string());
            }
        }
        peers(size, skewed, &before);
    }
}

/// Balance and moves of strategies that need no table, for a join, beside `Balanced`.
fn peers(size: Size, skewed: bool, before: &Topology) {
    let spec = size.spec(3, size.spread);
    let (after, _) = size.after(Change::Join, skewed);
    let strategies: [(&str, &dyn Placement); 3] = [
        ("balanced", &Balanced::new()),
        ("ring", &Ring::new()),
        ("rendezvous", &Rendezvous::weighted()),
    ];
    for (name, strategy) in strategies {
        // A million rows by a thousand nodes each take a rendezvous minutes.
        if name == "rendezvous" && u64::from(size.partitions) * u64::from(size.nodes) > 1 << 24 {
            continue;
        }
        let first = place(strategy, (before, &spec), None).table;
        let plan = place(strategy, (&after, &spec), Some(&first));
        let stats = plan.table.stats(&after, &spec);
        println!(
            "{:<26} join by {name}: fullest node at {} of its share, {} moves, bound {}",
            size.name(skewed),
            stats.copies_balance,
            plan.copies_moved,
            plan.lower_bound,
        );
    }
}

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
