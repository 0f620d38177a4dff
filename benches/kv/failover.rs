//! From kill -9 of a primary to the first acknowledged write of each of its keys.

use std::error::Error;
use std::time::{Duration, Instant};

use benches::processes::{Cluster, Server};

use crate::{STORE, Settings, keys, millis, quantile};

/// Keys watched in a round, each in a partition of its own.
const KEYS: usize = 32;

/// Longest that a key is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn run(settings: &Settings) -> Result<(), Box<dyn Error>> {
    let start = || Cluster::start(STORE, settings.nodes, settings.partitions, "lan");
    let mut cluster = start()?;
    let nodes = usize::from(settings.nodes);
    println!(
        "{} nodes, {} partitions, 3 copies, {} rounds of kill -9",
        settings.nodes, settings.partitions, settings.rounds
    );
    let (mut followers, mut leaders) = (Vec::new(), Vec::new());
    for number in 0..settings.rounds {
        if number > 0 && number.is_multiple_of(2 * nodes) {
            // A node that has come back three times within two minutes is damped, and gets no roles.
            cluster.end();
            cluster = start()?;
        }
        cluster.settle()?;
        let leader = cluster.leader()?;
        let wants_leader = settings.leader.unwrap_or(number % 2 == 1);
        let victim = if wants_leader {
            leader
        } else {
            (leader + 1 + number % (nodes - 1)) % nodes
        };
        let took = strike(&mut cluster, victim)?;
        let worst = took.iter().max().copied().unwrap_or_default();
        println!(
            "{:>4}  node-{} {:<9} {} keys, the last after {:>6.0} ms",
            number + 1,
            victim + 1,
            if wants_leader { "leader" } else { "follower" },
            took.len(),
            millis(worst),
        );
        if wants_leader {
            leaders.extend(took);
        } else {
            followers.extend(took);
        }
        cluster.start_node(victim)?;
    }
    report("primaries that follow", followers);
    report("primaries that lead the log", leaders);
    Ok(())
}

/// Kills a node; how long each of its keys took to be writable again.
fn strike(cluster: &mut Cluster, victim: usize) -> Result<Vec<Duration>, Box<dyn Error>> {
    let name = format!("node-{}", victim + 1);
    let asked = usize::from(victim == 0);
    let watched = keys::of_primary(&mut cluster.server(asked), &name, KEYS);
    if watched.is_empty() {
        return Err(format!("{name} is the primary of no key").into());
    }
    let mut all = cluster.all();
    for key in &watched {
        let status = keys::put(&mut all[asked], key, "before");
        if status != Some(204) {
            return Err(format!("{key} is not written before the blow: {status:?}").into());
        }
    }
    let survivors: Vec<(String, u16)> = cluster
        .survivors(victim)
        .iter()
        .map(|server| (server.name.clone(), server.port))
        .collect();
    let began = Instant::now();
    cluster.kill(victim)?;
    let took: Vec<Option<Duration>> = std::thread::scope(|scope| {
        let waiting: Vec<_> = watched
            .iter()
            .enumerate()
            .map(|(at, key)| {
                let survivors = &survivors;
                scope.spawn(move || writable(survivors, at, key, began))
            })
            .collect();
        waiting
            .into_iter()
            .map(|one| one.join().ok().flatten())
            .collect()
    });
    let missing = took.iter().filter(|one| one.is_none()).count();
    if missing > 0 {
        return Err(format!("{missing} keys are not writable after {PATIENCE:?}").into());
    }
    Ok(took.into_iter().flatten().collect())
}

/// Writes a key until that is acknowledged, asking the survivors for the way.
fn writable(survivors: &[(String, u16)], at: usize, key: &str, began: Instant) -> Option<Duration> {
    let mut servers: Vec<_> = survivors
        .iter()
        .map(|(name, port)| Server::new(name, *port))
        .collect();
    let count = servers.len();
    for attempt in at.. {
        if began.elapsed() > PATIENCE {
            break;
        }
        let asked = attempt % count;
        let to = keys::route(&mut servers, asked, key).unwrap_or(asked);
        if keys::put(&mut servers[to], key, "after") == Some(204) {
            return Some(began.elapsed());
        }
        // Between two attempts, not to wait for anything: the answer was no.
        std::thread::sleep(Duration::from_millis(10));
    }
    None
}

fn report(name: &str, mut took: Vec<Duration>) {
    if took.is_empty() {
        return;
    }
    took.sort_unstable();
    println!(
        "{name}: {} keys writable again after p50 {:.0} ms, p99 {:.0} ms, most {:.0} ms",
        took.len(),
        millis(quantile(&took, 50)),
        millis(quantile(&took, 99)),
        millis(quantile(&took, 100)),
    );
}
