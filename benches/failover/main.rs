//! How long partitions are without an owner, seen from outside: real `ck serve` processes on
//! loopback are killed or stopped again and again, while this process polls `/v1/owned` and
//! `/partitions` of every survivor.
//!
//! ```sh
//! cargo bench -p benches --bench failover -- --nodes 5 --partitions 256 --rounds 100
//! cargo bench -p benches --bench failover -- --leader          # only consensus leaders are killed
//! cargo bench -p benches --bench failover -- --stop            # SIGTERM: a handoff, no failover
//! cargo bench -p benches --bench failover -- --profile fast
//! ```
//!
//! A failover has ended when some survivor owns every partition at that instant, and every
//! survivor's table routes each of them there.
#![allow(clippy::print_stdout, reason = "the report is what a bench is run for")]

use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use benches::processes::{Cluster, Gaps, Poll, SERVER};

/// What is measured.
#[derive(Debug, Clone)]
struct Settings {
    nodes: u16,
    partitions: u32,
    rounds: usize,
    profile: String,
    /// Whether consensus leaders are killed, others are, or either in turns.
    leader: Option<bool>,
    stop: bool,
}

impl Settings {
    fn from_arguments(arguments: impl Iterator<Item = String>) -> Result<Self, Box<dyn Error>> {
        let mut settings = Self {
            nodes: 5,
            partitions: 256,
            rounds: 20,
            profile: "lan".to_owned(),
            leader: None,
            stop: false,
        };
        let mut arguments = arguments.filter(|argument| argument != "--bench");
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                "--nodes" => settings.nodes = value()?.parse()?,
                "--partitions" => settings.partitions = value()?.parse()?,
                "--rounds" => settings.rounds = value()?.parse()?,
                "--profile" => settings.profile = value()?,
                "--leader" => settings.leader = Some(true),
                "--follower" => settings.leader = Some(false),
                "--stop" => settings.stop = true,
                unknown => {
                    return Err(format!("{unknown} is no option; see the file's head").into());
                }
            }
        }
        Ok(settings)
    }
}

fn main() -> ExitCode {
    if !std::env::args().any(|argument| argument == "--bench") {
        // Under `cargo test` nothing is started: the program may not have been built.
        println!("failover: measured by `cargo bench -p benches --bench failover`");
        return ExitCode::SUCCESS;
    }
    match Settings::from_arguments(std::env::args().skip(1)).and_then(|all| run(&all)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What one round came to.
struct Round {
    leader: bool,
    /// From the blow to an owner of every partition.
    took: Duration,
    /// Longest any one partition was seen without an owner.
    gap: Duration,
}

fn run(settings: &Settings) -> Result<(), Box<dyn Error>> {
    SERVER.build()?;
    let mut cluster = Cluster::start(
        SERVER,
        settings.nodes,
        settings.partitions,
        &settings.profile,
    )?;
    println!(
        "{} nodes, {} partitions, 3 copies, profile {}, {} rounds, {}",
        settings.nodes,
        settings.partitions,
        settings.profile,
        settings.rounds,
        if settings.stop { "SIGTERM" } else { "kill -9" }
    );
    let mut rounds: Vec<Round> = Vec::new();
    for number in 0..settings.rounds {
        if number > 0 && number.is_multiple_of(2 * usize::from(settings.nodes)) {
            // A node that has come back three times within two minutes is damped, and gets no roles.
            cluster.end();
            cluster = Cluster::start(
                SERVER,
                settings.nodes,
                settings.partitions,
                &settings.profile,
            )?;
        }
        cluster.settle()?;
        let leader = cluster.leader()?;
        let wants_leader = settings.leader.unwrap_or(number % 2 == 1);
        let victim = if wants_leader {
            leader
        } else {
            (leader + 1 + number % (usize::from(settings.nodes) - 1)) % usize::from(settings.nodes)
        };
        let round = strike(&mut cluster, victim, wants_leader, settings)?;
        println!(
            "{:>4}  node-{} {:<9} {:>7.0} ms  longest gap {:>6.0} ms",
            number + 1,
            victim + 1,
            if wants_leader { "leader" } else { "follower" },
            millis(round.took),
            millis(round.gap),
        );
        rounds.push(round);
        cluster.start_node(victim)?;
    }
    report("followers", rounds.iter().filter(|round| !round.leader));
    report(
        "consensus leaders",
        rounds.iter().filter(|round| round.leader),
    );
    Ok(())
}

fn strike(
    cluster: &mut Cluster,
    victim: usize,
    leader: bool,
    settings: &Settings,
) -> Result<Round, Box<dyn Error>> {
    let mut poll = Poll::new(cluster.survivors(victim), settings.partitions);
    let mut watched = if settings.stop {
        // The one that stops still owns what it has not handed over.
        Poll::new(cluster.all(), settings.partitions)
    } else {
        Poll::new(cluster.survivors(victim), settings.partitions)
    };
    let began = Instant::now();
    if settings.stop {
        cluster.terminate(victim)?;
    } else {
        cluster.kill(victim)?;
    }
    let mut gaps = Gaps::new(settings.partitions, began);
    loop {
        gaps.look(&watched.owned());
        if poll.is_whole() {
            break;
        }
        if began.elapsed() > Duration::from_secs(60) {
            return Err(format!("no owner within a minute: {}", poll.missing()).into());
        }
    }
    let took = began.elapsed();
    gaps.end();
    if settings.stop {
        cluster.wait_for_end(victim)?;
    }
    Ok(Round {
        leader,
        took,
        gap: gaps.longest(),
    })
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

fn report<'a>(name: &str, rounds: impl Iterator<Item = &'a Round>) {
    let (mut took, mut gaps): (Vec<_>, Vec<_>) =
        rounds.map(|round| (round.took, round.gap)).unzip();
    if took.is_empty() {
        return;
    }
    took.sort_unstable();
    gaps.sort_unstable();
    println!(
        "{name}: {} rounds; until all are owned: p50 {:.0} ms, p99 {:.0} ms, most {:.0} ms; longest \
         gap of a partition: p50 {:.0} ms, p99 {:.0} ms",
        took.len(),
        millis(quantile(&took, 50)),
        millis(quantile(&took, 99)),
        millis(quantile(&took, 100)),
        millis(quantile(&gaps, 50)),
        millis(quantile(&gaps, 99)),
    );
}

/// The smallest value that `percent` of all are not above.
fn quantile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted[rank.min(sorted.len()) - 1]
}
