//! A seed in, a verdict out.

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use ck_control::Bugs;
use ck_sim::clock::SECOND;
use ck_sim::{Coverage, Script, Verdict, run_script, run_seed, shrink};

const HELP: &str = "\
usage: ck-sim [SEED] [options]

  SEED             run this one, and print its trace when it fails
  --seeds N        run N seeds [20000]
  --from SEED      the first of them [1]
  --long           200000 seeds
  --threads N      [the number of cores]
  --trace          print the trace of SEED though it passes
  --only SCRIPT    run SEED with these of its faults: number:milliseconds, with commas between
  --plant NAME     break a rule on purpose (built with the feature planted-bugs)
  --planted        break every rule, one after the other, and print what notices it (likewise)
";

/// Most runs it takes to shrink a failing seed.
const TRIES_MAX: usize = 400;

/// Seeds from which on an empty cell of the table is a failure.
const TABLE_SEEDS_MIN: u64 = 10_000;

#[derive(Debug)]
struct Options {
    seed: Option<u64>,
    seeds: u64,
    from: u64,
    threads: usize,
    trace: bool,
    only: Option<Script>,
    planted: bool,
    plant: String,
    bugs: Bugs,
}

fn options() -> Result<Options, String> {
    let mut options = Options {
        seed: None,
        seeds: 20_000,
        from: 1,
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        trace: false,
        only: None,
        planted: false,
        plant: String::new(),
        bugs: Bugs::default(),
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = || {
            let value = words.next().unwrap_or_default();
            let parsed: Result<u64, _> = value.parse();
            parsed.map_err(|_| format!("{word} {value:?} is not a number"))
        };
        match word.as_str() {
            "--seeds" => options.seeds = number()?,
            "--from" => options.from = number()?,
            "--threads" => options.threads = usize::try_from(number()?.max(1)).unwrap_or(1),
            "--long" => options.seeds = 200_000,
            "--trace" => options.trace = true,
            "--only" => {
                let script = words.next().unwrap_or_default().parse();
                options.only = Some(script.map_err(|wrong| format!("--only: {wrong}"))?);
            }
            "--planted" => options.planted = true,
            "--plant" => {
                options.plant = words.next().unwrap_or_default();
                options.bugs = planted(&options.plant)?;
            }
            seed => {
                let seed = seed.parse();
                options.seed = Some(seed.map_err(|_| format!("{word:?} is no seed\n\n{HELP}"))?);
            }
        }
    }
    Ok(options)
}

#[cfg(feature = "planted-bugs")]
fn planted(name: &str) -> Result<Bugs, String> {
    let mut all = ck_control::Bug::ALL.into_iter();
    let found = all.find(|bug| format!("{bug:?}") == name);
    let names = || {
        ck_control::Bug::ALL
            .map(|bug| format!("{bug:?}"))
            .join(", ")
    };
    found
        .map(Bugs::planted)
        .ok_or_else(|| format!("--plant {name:?} is no rule; use {}", names()))
}

#[cfg(not(feature = "planted-bugs"))]
fn planted(name: &str) -> Result<Bugs, String> {
    Err(format!(
        "--plant {name:?}: this build breaks no rules; build with --features planted-bugs"
    ))
}

/// Breaks every rule and prints what notices it.
#[cfg(feature = "planted-bugs")]
#[expect(clippy::print_stdout, reason = "a program prints")]
fn every_bug(threads: usize) -> bool {
    use ck_sim::planted::{Found, look_for};
    let next = AtomicU64::new(0);
    let found = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let at = usize::try_from(next.fetch_add(1, Ordering::Relaxed));
                    let Some(bug) = at.ok().and_then(|at| ck_control::Bug::ALL.get(at)) else {
                        break;
                    };
                    let seen = look_for(*bug);
                    let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                    found.push((*bug, seen));
                }
            });
        }
    });
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.sort_by_key(|(bug, _)| *bug);
    let mut noticed = 0;
    for (bug, seen) in &found {
        let bug = format!("{bug:?}");
        noticed += u32::from(*seen != Found::Nowhere);
        match seen {
            Found::Seed(seed, why) => println!("{bug:<24} seed {seed:<6} {why}"),
            Found::Directed(name, why) => println!("{bug:<24} directed test: {name}: {why}"),
            Found::Nowhere => println!("{bug:<24} NOT FOUND"),
        }
    }
    println!("{noticed} of {} broken rules are noticed", found.len());
    usize::try_from(noticed) == Ok(found.len())
}

#[cfg(not(feature = "planted-bugs"))]
#[expect(clippy::print_stderr, reason = "a program prints")]
fn every_bug(_: usize) -> bool {
    eprintln!("--planted: this build breaks no rules; build with --features planted-bugs");
    false
}

/// What many runs add up to.
#[derive(Default)]
struct Sum {
    coverage: Coverage,
    failed: Vec<Verdict>,
}

/// Time this process has had a core for, where the system tells: others may have the core meanwhile.
fn worked_ms() -> Option<u64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    // In hundredths of a second on every Linux.
    Some((user + system) * 10)
}

#[expect(clippy::print_stdout, reason = "a program prints")]
fn many(options: &Options) -> bool {
    let next = AtomicU64::new(options.from);
    let stop = AtomicBool::new(false);
    let (simulated, accepted) = (AtomicU64::new(0), AtomicU64::new(0));
    let sum = Mutex::new(Sum::default());
    let end = options.from.saturating_add(options.seeds);
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..options.threads {
            scope.spawn(|| {
                let mut coverage = Coverage::default();
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        break;
                    }
                    let verdict = run_seed(seed, options.bugs, false);
                    simulated.fetch_add(verdict.simulated / 1_000_000, Ordering::Relaxed);
                    accepted.fetch_add(verdict.accepted, Ordering::Relaxed);
                    coverage.add(&verdict.coverage);
                    if verdict.violation.is_some() {
                        stop.store(true, Ordering::Relaxed);
                        let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
                        sum.failed.push(verdict);
                    }
                }
                let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
                sum.coverage.add(&coverage);
            });
        }
    });
    let worked_ms = worked_ms();
    let took_ms = u64::try_from(began.elapsed().as_millis())
        .unwrap_or(u64::MAX)
        .max(1);
    let simulated_ms = simulated.into_inner();
    let sum = sum.into_inner().unwrap_or_else(PoisonError::into_inner);
    println!("{}", sum.coverage);
    let threads = u64::try_from(options.threads).unwrap_or(1);
    println!(
        "{} seeds, {} cluster-hours, {} writes accepted, {}.{} s: {} x real time, {} x a core",
        next.into_inner().min(end) - options.from,
        simulated_ms / 3_600_000,
        accepted.into_inner(),
        took_ms / 1_000,
        took_ms % 1_000 / 100,
        simulated_ms / took_ms,
        simulated_ms / worked_ms.unwrap_or(took_ms * threads).max(1),
    );
    for verdict in &sum.failed {
        failed(verdict, options);
    }
    let empty = sum.coverage.empty();
    let short = options.seeds >= TABLE_SEEDS_MIN && !empty.is_empty();
    if sum.failed.is_empty() && short {
        println!("FAILED: never met: {empty:?}");
    }
    sum.failed.is_empty() && !short
}

#[expect(clippy::print_stdout, reason = "a program prints")]
fn failed(verdict: &Verdict, options: &Options) {
    let Some(violation) = &verdict.violation else {
        return;
    };
    let seed = verdict.seed;
    println!("FAILED: seed {seed}: {violation}");
    let plant = if options.plant.is_empty() {
        String::new()
    } else {
        format!(" --plant {}", options.plant)
    };
    println!("replay with: ck-sim {seed}{plant}");
    if options.only.is_some() {
        return;
    }
    let script = shrink(seed, options.bugs, violation.invariant, TRIES_MAX);
    let (_, all) = ck_sim::run::plan(seed, options.bugs, false);
    println!(
        "needs {} of its {} faults: ck-sim {seed}{plant} --only {script}",
        script.len(),
        all.len()
    );
    for fault in script.faults(&all) {
        println!("  {fault}");
    }
}

#[expect(clippy::print_stdout, reason = "a program prints")]
fn one(seed: u64, options: &Options) -> bool {
    let verdict = match &options.only {
        Some(script) => run_script(seed, script, options.bugs, true),
        None => run_seed(seed, options.bugs, true),
    };
    if options.trace || verdict.violation.is_some() {
        for line in &verdict.trace {
            println!("{line}");
        }
    }
    println!(
        "seed {seed}: {} s of cluster time, {} writes accepted",
        verdict.simulated / SECOND,
        verdict.accepted
    );
    failed(&verdict, options);
    verdict.violation.is_none()
}

#[expect(clippy::print_stderr, reason = "a program prints")]
fn main() -> ExitCode {
    let options = match options() {
        Ok(options) => options,
        Err(wrong) => {
            eprintln!("{wrong}");
            return ExitCode::from(2);
        }
    };
    let passed = match options.seed {
        _ if options.planted => every_bug(options.threads),
        Some(seed) => one(seed, &options),
        None => many(&options),
    };
    if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
