//! The key-value store of `examples/kv` under a client's eyes: real processes on loopback, three copies,
//! everything on two cores that the client shares.
//!
//! ```sh
//! cargo bench -p benches --bench kv -- failover --rounds 20   # kill -9 until every key is writable again
//! cargo bench -p benches --bench kv -- failover --leader      # the consensus leader each time
//! cargo bench -p benches --bench kv -- join                   # 256 partitions of 1 MB, and a sixth node
//! ```
#![allow(clippy::print_stdout, reason = "the report is what a bench is run for")]

mod failover;
mod join;
mod keys;

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use benches::processes::Program;

/// The store.
const STORE: Program = Program {
    package: "ck-kv",
    binary: "ck-kv",
    arguments: &[],
};

/// What is measured.
#[derive(Debug, Clone)]
struct Settings {
    nodes: u16,
    partitions: u32,
    rounds: usize,
    /// Whether consensus leaders are killed, others are, or either in turns.
    leader: Option<bool>,
    /// Bytes of a value.
    value: usize,
    /// Requests a second that go on while nodes join.
    rate: u32,
}

fn main() -> ExitCode {
    if !std::env::args().any(|argument| argument == "--bench") {
        // Under `cargo test` nothing is started: the program may not have been built.
        println!("kv: measured by `cargo bench -p benches --bench kv -- failover`, or join");
        return ExitCode::SUCCESS;
    }
    match run(std::env::args().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: impl Iterator<Item = String>) -> Result<(), Box<dyn Error>> {
    let mut arguments = arguments.filter(|argument| argument != "--bench");
    let what = arguments.next().unwrap_or_default();
    let mut settings = Settings {
        nodes: 5,
        partitions: 256,
        rounds: 20,
        leader: None,
        value: 4_096,
        rate: 200,
    };
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--nodes" => settings.nodes = value()?.parse()?,
            "--partitions" => settings.partitions = value()?.parse()?,
            "--rounds" => settings.rounds = value()?.parse()?,
            "--value" => settings.value = value()?.parse()?,
            "--rate" => settings.rate = value()?.parse()?,
            "--leader" => settings.leader = Some(true),
            "--follower" => settings.leader = Some(false),
            unknown => return Err(format!("{unknown} is no option; see the file's head").into()),
        }
    }
    STORE.build()?;
    match what.as_str() {
        "failover" => failover::run(&settings),
        "join" => join::run(&settings),
        other => Err(format!("{other:?} is not measured; failover and join are").into()),
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

/// The smallest value that `percent` of all are not above.
fn quantile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted
        .get(rank.min(sorted.len()) - 1)
        .copied()
        .unwrap_or_default()
}
