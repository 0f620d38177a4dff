//! A node joins while clients read and write: what they notice.

use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use benches::processes::{Cluster, Server};

use crate::{STORE, Settings, keys, millis, quantile};

/// Bytes each partition holds before the node joins.
const PARTITION_BYTES: usize = 1 << 20;

/// Clients, each with an equal share of the rate.
const CLIENTS: usize = 8;

/// How long it is measured without a join.
const BEFORE: Duration = Duration::from_secs(20);

/// Longest that the join may take.
const PATIENCE: Duration = Duration::from_secs(600);

/// What clients saw.
#[derive(Default)]
struct Seen {
    took: Vec<Duration>,
    failed: Vec<String>,
}

pub(crate) fn run(settings: &Settings) -> Result<(), Box<dyn Error>> {
    let mut cluster = Cluster::start(STORE, settings.nodes, settings.partitions, "lan")?;
    let count = fill(&cluster, settings)?;
    cluster.settle()?;
    println!(
        "{} nodes, {} partitions of {PARTITION_BYTES} bytes ({count} keys of {} bytes), {} requests a second",
        settings.nodes, settings.partitions, settings.value, settings.rate
    );
    let before = load(&cluster, settings, count, |_| {
        std::thread::sleep(BEFORE);
        Ok(())
    })?;
    let began = Instant::now();
    let during = load_with(&mut cluster, settings, count)?;
    let took = began.elapsed();
    let (before_p99, during_p99) = (
        report("before", before),
        report("while a node joins", during),
    );
    println!(
        "joined and at rest after {:.1} s; p99 {:+.0} % while it joins",
        took.as_secs_f64(),
        (during_p99 / before_p99 - 1.0) * 100.0
    );
    Ok(())
}

/// Writes until every partition holds its bytes; how many keys there are.
fn fill(cluster: &Cluster, settings: &Settings) -> Result<usize, Box<dyn Error>> {
    let count = settings.partitions as usize * PARTITION_BYTES / settings.value;
    let value = "x".repeat(settings.value);
    let share = count.div_ceil(CLIENTS);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (servers, value) = (cluster.all(), &value);
                let mut servers: Vec<_> = servers.into_iter().map(patient).collect();
                scope.spawn(move || -> Result<(), String> {
                    let at = client % servers.len();
                    for number in client * share..((client + 1) * share).min(count) {
                        let status = keys::put(&mut servers[at], &format!("key-{number}"), value);
                        if status != Some(204) {
                            return Err(format!("key-{number} is not written: {status:?}"));
                        }
                    }
                    Ok(())
                })
            })
            .collect();
        for writer in writers {
            writer.join().map_err(|_| "a writer panicked")??;
        }
        Ok(count)
    })
}

/// Starts a further node and waits until everything rests.
fn load_with(
    cluster: &mut Cluster,
    settings: &Settings,
    count: usize,
) -> Result<Seen, Box<dyn Error>> {
    let node = cluster.join()?;
    let name = format!("node-{}", node + 1);
    load(cluster, settings, count, |cluster| {
        let began = Instant::now();
        let mut server = cluster.server(0);
        loop {
            let stats = server.json("/v1/partitions/stats").unwrap_or_default();
            let has = stats["replicas_per_node"][&name].as_u64().unwrap_or(0) > 0;
            if has && stats["in_flight"] == 0 {
                break;
            }
            if began.elapsed() > PATIENCE {
                return Err(format!("{name} has no part after {PATIENCE:?}").into());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        cluster.settle()
    })
}

/// Reads and writes in turns at the rate, until `until` returns.
fn load(
    cluster: &Cluster,
    settings: &Settings,
    count: usize,
    until: impl FnOnce(&Cluster) -> Result<(), Box<dyn Error>>,
) -> Result<Seen, Box<dyn Error>> {
    let ended = AtomicBool::new(false);
    let every = Duration::from_secs(1) * u32::try_from(CLIENTS)? / settings.rate.max(1);
    let value = "y".repeat(settings.value);
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (servers, ended, value) = (cluster.all(), &ended, &value);
                scope.spawn(move || one_client(servers, client, count, every, value, ended))
            })
            .collect();
        let done = until(cluster);
        ended.store(true, Ordering::Relaxed);
        let mut seen = Seen::default();
        for client in clients {
            let one = client.join().map_err(|_| "a client panicked")?;
            seen.took.extend(one.took);
            seen.failed.extend(one.failed);
        }
        done.map(|()| seen)
    })
}

/// Latency counts from when a request was due, so that one that waits delays those behind it visibly.
fn one_client(
    servers: Vec<Server>,
    client: usize,
    count: usize,
    every: Duration,
    value: &str,
    ended: &AtomicBool,
) -> Seen {
    let mut servers: Vec<_> = servers.into_iter().map(patient).collect();
    let mut seen = Seen::default();
    let began = Instant::now();
    for number in 0_u32.. {
        let due = began + every * number + every * u32::try_from(client).unwrap_or(0) / 8;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        if ended.load(Ordering::Relaxed) {
            break;
        }
        // A stride that is prime to the count visits every key.
        let key = (number as usize * 7_919 + client * 104_729) % count;
        let server = client % servers.len();
        let path = format!("/kv/key-{key}");
        let status = if number.is_multiple_of(2) {
            keys::put(&mut servers[server], &format!("key-{key}"), value)
        } else {
            servers[server].get(&path, "").map(|(status, ..)| status)
        };
        seen.took.push(due.elapsed());
        if !matches!(status, Some(200 | 204)) {
            seen.failed.push(format!("{path}: {status:?}"));
        }
    }
    seen
}

/// A slow answer is slow, and not a failure.
fn patient(server: Server) -> Server {
    server.with_timeout(Duration::from_secs(10))
}

fn report(name: &str, mut seen: Seen) -> f64 {
    seen.took.sort_unstable();
    let p99 = millis(quantile(&seen.took, 99));
    println!(
        "{name}: {} requests, {} failed; p50 {:.1} ms, p99 {p99:.1} ms, most {:.1} ms{}",
        seen.took.len(),
        seen.failed.len(),
        millis(quantile(&seen.took, 50)),
        millis(quantile(&seen.took, 100)),
        seen.failed
            .first()
            .map(|one| format!("; first: {one}"))
            .unwrap_or_default(),
    );
    p99
}
