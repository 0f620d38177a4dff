//! Runs a plan.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::task::JoinSet;

use crate::answer::Answer;
use crate::client::{Client, Shared};
use crate::measure::Measured;
use crate::pace::Pace;
use crate::plan::{Plan, PlanError};
use crate::recorder::{Clock, Recorder};
use crate::route::{Partitions, Way};

/// Most attempts to write a key before the run.
const PRELOAD_ATTEMPTS: usize = 50;

/// Between two tellings of how far it is.
const TOLD_EVERY: Duration = Duration::from_millis(200);

/// Why a run did not come to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The plan cannot be run.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A key could not be written before the run.
    #[error(
        "key number {key} could not be written in {attempts} attempts, the last ended as {last:?}; \
         look at the servers, or leave the keys as they are"
    )]
    Preload {
        /// The key's number.
        key: u64,
        /// How often it was tried.
        attempts: usize,
        /// How it ended.
        last: Answer,
    },
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Since its beginning, with the warm-up.
    pub elapsed: Duration,
    /// How long it takes in all.
    pub length: Duration,
    /// Operations that were served, of those that count.
    pub served: u64,
    /// And that were not.
    pub failed: u64,
}

/// What came of a run.
#[derive(Debug, Clone)]
pub struct Summary {
    /// What was measured.
    pub measured: Measured,
    /// At a rate: operations that were due and never sent, because all clients were waiting.
    pub left: u64,
    /// When the measurement began, for whoever has marks to place.
    pub begin: Instant,
    /// Acknowledged writes of empty values.
    pub empty_values: u64,
    /// Acknowledged writes of values of 8 MiB.
    pub large_values: u64,
}

/// Whom a run is for.
#[derive(Debug)]
pub struct Setting<'a> {
    /// How requests reach their server: one for each client in turn. At least one.
    pub ways: Vec<Way>,
    /// Where to write what was done.
    pub recorder: Option<&'a Recorder>,
    /// The clock of the history.
    pub clock: Clock,
    /// How keys are mapped to partitions, where it is known.
    pub partitions: Option<Partitions>,
}

/// Runs a plan on the current runtime, and tells now and then how far it is.
///
/// # Errors
/// [`LoadError`] when the plan cannot be run, or the keys cannot be written before.
///
/// # Panics
/// When a client did, or there is no way to the servers.
pub async fn run(
    plan: Plan,
    setting: &Setting<'_>,
    progress: impl Fn(Progress),
) -> Result<Summary, LoadError> {
    plan.validate()?;
    assert!(!setting.ways.is_empty(), "there is a way to the servers");
    let nonce = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let nonce = nonce.unwrap_or_default().as_nanos() & u128::from(u32::MAX);
    let shared = Shared {
        plan: Arc::new(plan),
        ways: setting.ways.clone(),
        clock: setting.clock,
        told: setting.recorder.map(Recorder::told),
        partitions: setting.partitions,
        run: u64::try_from(nonce).unwrap_or(0),
        odd: Arc::default(),
    };
    let odd = Arc::clone(&shared.odd);
    let plan = Arc::clone(&shared.plan);
    let clients: Vec<Client> = (0..plan.clients)
        .map(|number| Client::new(shared.clone(), number))
        .collect();
    let clients = if plan.preload {
        preload(clients, plan.keys).await?
    } else {
        clients
    };
    let start = Instant::now();
    let begin = start + plan.warmup;
    let end = begin + plan.duration;
    let measured = Arc::new(Mutex::new(Measured::new(begin, end)));
    let pace = plan
        .rate
        .map(|rate| Pace::new(start, rate, plan.warmup + plan.duration));
    if let Some(pace) = pace.clone() {
        std::thread::spawn(move || pace.count());
    }
    let mut running = JoinSet::new();
    for client in clients {
        running.spawn(drive(client, Arc::clone(&measured), pace.clone(), end));
    }
    let look = || {
        let measured = measured.lock().unwrap_or_else(PoisonError::into_inner);
        progress(Progress {
            elapsed: start.elapsed().min(end - start),
            length: end - start,
            served: measured.served(),
            failed: measured.failed(),
        });
    };
    wait(running, pace.clone(), end, look).await;
    let measured = measured.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(Summary {
        measured: measured.clone(),
        left: pace.map_or(0, |pace| pace.left()),
        begin,
        empty_values: odd.empty.load(Ordering::Relaxed),
        large_values: odd.large.load(Ordering::Relaxed),
    })
}

/// Waits for all clients, and looks now and then.
async fn wait(mut running: JoinSet<()>, pace: Option<Pace>, end: Instant, look: impl Fn()) {
    let mut ticks = tokio::time::interval(TOLD_EVERY);
    loop {
        tokio::select! {
            joined = running.join_next() => match joined {
                Some(joined) => joined.expect("clients do not panic"),
                None => break,
            },
            _ = ticks.tick() => {
                look();
                if Instant::now() >= end && let Some(pace) = &pace {
                    pace.close();
                }
            }
        }
    }
    look();
}

async fn drive(
    mut client: Client,
    measured: Arc<Mutex<Measured>>,
    pace: Option<Pace>,
    end: Instant,
) {
    loop {
        let due = match &pace {
            Some(pace) => match pace.next().await {
                Some(due) => Some(due),
                None => return,
            },
            None => None,
        };
        if Instant::now() >= end {
            return;
        }
        let done = client.step().await;
        {
            let mut measured = measured.lock().unwrap_or_else(PoisonError::into_inner);
            let since = due.unwrap_or(done.sent);
            measured.add(done.operation, since, done.ended, &done.answer);
        }
        client.recover(&done.answer).await;
    }
}

/// Writes every key once, divided among the clients.
async fn preload(clients: Vec<Client>, keys: u64) -> Result<Vec<Client>, LoadError> {
    let count = clients.len() as u64;
    let mut running = JoinSet::new();
    for (client, at) in clients.into_iter().zip(0..) {
        running.spawn(preload_some(client, (at..keys).step_by(step(count))));
    }
    let mut clients = Vec::new();
    while let Some(joined) = running.join_next().await {
        clients.push(joined.expect("clients do not panic")?);
    }
    Ok(clients)
}

fn step(count: u64) -> usize {
    usize::try_from(count.max(1)).unwrap_or(usize::MAX)
}

async fn preload_some(
    mut client: Client,
    keys: impl Iterator<Item = u64>,
) -> Result<Client, LoadError> {
    for key in keys {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let done = client.write(key).await;
            client.recover(&done.answer).await;
            match done.answer {
                Answer::Written { .. } => break,
                last if attempts == PRELOAD_ATTEMPTS => {
                    return Err(LoadError::Preload {
                        key,
                        attempts,
                        last,
                    });
                }
                _ => {}
            }
        }
    }
    Ok(client)
}
