//! One line an instance: what planning takes, and what plans and other placements are worth.

use std::hint::black_box;
use std::time::Duration;

use ck_core::schedule::{Limits, Migration};
use ck_core::{
    Balanced, Fraction, NodeId, Placement, Plan, Rendezvous, Ring, Spec, Table, Topology,
};

use nix::time::{ClockId, clock_gettime};

use crate::instances::{CHANGES, Change, Size};
use crate::memory;

/// Reads every row once and counts what each node holds.
fn count(table: &Table) -> Vec<u32> {
    let mut counts = vec![0; table.nodes().len()];
    for row in table.rows() {
        for index in row.indexes() {
            counts[*index as usize] += 1;
        }
    }
    counts
}

/// Reads the table alone, as whoever plans from it has to: its names are looked up among the nodes
/// of now, its rows are checked, and the copies and primaries of every node are counted.
fn read(table: &Table, topology: &Topology) -> (Vec<u32>, Vec<u32>, u32) {
    let checked = Table::from_cells(
        table.nodes().to_vec(),
        table.width(),
        table.cells().to_vec(),
    );
    let table = checked.expect("it was a table before");
    let mut names: Vec<&str> = Vec::new();
    let mut domain_of = |id: &NodeId| -> Option<u32> {
        let domain = topology.node(id.as_str())?.domain.as_ref()?.as_str();
        let known = names.iter().position(|name| *name == domain);
        let at = known.unwrap_or(names.len());
        if known.is_none() {
            names.push(domain);
        }
        u32::try_from(at).ok()
    };
    let domains: Vec<Option<u32>> = table.nodes().iter().map(&mut domain_of).collect();
    let (mut copies, mut primaries) = (vec![0; domains.len()], vec![0; domains.len()]);
    let mut narrow = 0;
    for row in table.rows() {
        let row = row.indexes();
        let mut apart = 0;
        for (at, index) in row.iter().enumerate() {
            copies[*index as usize] += 1;
            let domain = domains[*index as usize];
            let met = |other: &u32| domains[*other as usize] == domain;
            apart += usize::from(!row[..at].iter().any(met));
        }
        primaries[row[0] as usize] += 1;
        narrow += u32::from(apart < row.len());
    }
    (copies, primaries, narrow)
}

pub(crate) fn place(
    strategy: &dyn Placement,
    (topology, spec): (&Topology, &Spec),
    previous: Option<&Table>,
) -> Plan {
    let plan = strategy.place(topology, spec, previous);
    plan.expect("there are nodes")
}

/// Processor time of this thread. Planning is one thread that waits for nothing: on an idle machine
/// that is the time it takes, and on a busy one what it would take but for the others.
fn now() -> Duration {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID);
    Duration::from(time.expect("every thread has a clock"))
}

/// The fastest of some runs, and the most memory that one of them took beside what was held.
#[derive(Clone, Copy)]
struct Fastest {
    taken: Duration,
    peak: usize,
}

impl Fastest {
    const NONE: Self = Self {
        taken: Duration::MAX,
        peak: 0,
    };

    fn run<T>(&mut self, run: impl FnOnce() -> T) {
        let mark = memory::mark();
        let start = now();
        let result = black_box(run());
        self.taken = self.taken.min(now() - start);
        self.peak = self.peak.max(memory::peak_since(mark));
        drop(result);
    }

    fn ms(self) -> f64 {
        self.taken.as_secs_f64() * 1e3
    }

    fn times(self, base: Self) -> f64 {
        self.taken.as_secs_f64() / base.taken.as_secs_f64().max(1e-9)
    }
}

pub(crate) fn report(sizes: &[Size], runs: usize) {
    println!(
        "ms: processor time, the fastest of {runs}; x read: times as long as reading the table alone, \
         in turns with it; x count: as counting its copies"
    );
    println!(
        "{:<21} {:<14} {:>7} {:>7} {:>9} {:>6} {:>7} {:>7} {:>6} {:>6}",
        "instance",
        "change",
        "x read",
        "x count",
        "ms",
        "B/part",
        "moves",
        "bound",
        "prim.",
        "rounds"
    );
    for (size, skewed) in both(sizes) {
        costs(size, skewed, runs);
    }
    println!();
    side_by_side(sizes);
}

/// What was timed in turns: a plan, reading the table, counting its copies.
struct Timed {
    plan: Fastest,
    read: Fastest,
    count: Fastest,
}

impl Timed {
    fn new<T>(runs: usize, table: &Table, topology: &Topology, plan: impl Fn() -> T) -> Self {
        let [mut planned, mut reading, mut counting] = [Fastest::NONE; 3];
        for _ in 0..runs {
            planned.run(&plan);
            reading.run(|| read(table, topology));
            counting.run(|| count(table));
        }
        Self {
            plan: planned,
            read: reading,
            count: counting,
        }
    }

    fn line(&self, size: Size, skewed: bool, change: &str, plan: &Plan, rounds: &str) {
        println!(
            "{:<21} {change:<14} {:>7.2} {:>7.1} {:>9.3} {:>6.1} {:>7} {:>7} {:>6} {rounds:>6}{}",
            size.name(skewed),
            self.plan.times(self.read),
            self.plan.times(self.count),
            self.plan.ms(),
            self.plan.peak as f64 / f64::from(size.partitions),
            plan.copies_moved,
            plan.lower_bound,
            plan.primaries_changed,
            if plan.optimal { "" } else { "  not proved" },
        );
    }
}

/// What every change costs to plan at one size.
fn costs(size: Size, skewed: bool, runs: usize) {
    let before = Topology::new(size.nodes(skewed)).expect("distinct nodes");
    let spec = size.spec(3, size.spread);
    let first = place(&Balanced::new(), (&before, &spec), None);
    let timed = Timed::new(runs, &first.table, &before, || {
        place(&Balanced::new(), (&before, &spec), None)
    });
    println!(
        "{:<21} reading the table alone: {:.3} ms; counting its copies: {:.3} ms",
        size.name(skewed),
        timed.read.ms(),
        timed.count.ms()
    );
    timed.line(size, skewed, "initial", &first, "");
    for (change, name) in CHANGES {
        let spec = size.spec(3, size.before(change));
        let first = place(&Balanced::new(), (&before, &spec), None).table;
        let (topology, spec) = size.after(change, skewed);
        let plan = || place(&Balanced::new(), (&topology, &spec), Some(&first));
        let mut timed = Timed::new(runs, &first, &before, plan);
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
        let rounds = schedule.rounds.to_string();
        timed.line(size, skewed, name, &plan, &rounds);
        if change == Change::Replace {
            timed.plan = Fastest::NONE;
            (0..runs).for_each(|_| timed.plan.run(|| migration.schedule()));
            timed.line(size, skewed, "  its schedule", &plan, &rounds);
        }
    }
}

fn both(sizes: &[Size]) -> impl Iterator<Item = (Size, bool)> + '_ {
    let each = |size: &Size| [(*size, false), (*size, true)];
    sizes.iter().flat_map(each)
}

/// Balance and moves when a node joins: plans from a table, and placements that keep none.
fn side_by_side(sizes: &[Size]) {
    println!(
        "{:<21} {:<12} {:>8} {:>9} {:>8} {:>8} {:>7} {:>10} {:>6}",
        "a node joins",
        "placed by",
        "fullest",
        "emptiest",
        "newcomer",
        "moves",
        "x least",
        "ms",
        "B/part"
    );
    for (size, skewed) in both(sizes) {
        let before = Topology::new(size.nodes(skewed)).expect("distinct nodes");
        let (after, _) = size.after(Change::Join, skewed);
        let newcomer = |id: &NodeId| before.node(id.as_str()).is_none();
        let quota = size.spec(3, size.spread);
        let strategies: [(&str, &dyn Placement, Spec); 4] = [
            ("balanced", &Balanced::new(), quota),
            ("min-max", &Balanced::new(), quota.with_least_maximum()),
            ("ring", &Ring::new(), quota),
            ("rendezvous", &Rendezvous::weighted(), quota),
        ];
        let mut least = 0;
        for (name, strategy, spec) in strategies {
            let first = place(strategy, (&before, &spec), None).table;
            let mut timed = Fastest::NONE;
            let mut plan = None;
            timed.run(|| plan = Some(place(strategy, (&after, &spec), Some(&first))));
            let plan = plan.expect("it ran");
            let stats = plan.table.stats(&after, &quota);
            // What a table-less placement moves is held against the plan within quota.
            least = if name == "balanced" {
                plan.copies_moved
            } else {
                least
            };
            let ratio = |copies: u32, share: Fraction| {
                Fraction::from(u64::from(copies))
                    .checked_div(share)
                    .unwrap_or(Fraction::ZERO)
            };
            let known = || stats.nodes.iter().filter(|node| node.state.is_some());
            let ratios = || known().map(|node| ratio(node.copies, node.quota));
            let joined = known().find(|node| newcomer(&node.id));
            let joined = joined.map_or(Fraction::ZERO, |node| ratio(node.copies, node.quota));
            println!(
                "{:<21} {name:<12} {:>8} {:>9} {:>8} {:>8} {:>7.2} {:>10.3} {:>6.1}",
                size.name(skewed),
                ratios().max().unwrap_or(Fraction::ZERO).to_string(),
                ratios().min().unwrap_or(Fraction::ZERO).to_string(),
                joined.to_string(),
                plan.copies_moved,
                plan.copies_moved as f64 / least.max(1) as f64,
                timed.ms(),
                timed.peak as f64 / f64::from(size.partitions),
            );
        }
    }
}
