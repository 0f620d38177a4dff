//! A cluster of a key-value service under load while its nodes are killed, paused, stopped, drained,
//! joined and wiped; at the end everything heals, and what the clients saw has to have been possible.

mod faults;
mod nodes;
mod owners;
mod settle;
mod verdict;

use std::fs::File;
use std::io::BufReader;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ck_client::{ClientError, ConfigError, Router, RouterConfig};
use ck_sim::history;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::access::Access;
use crate::answer::Answer;
use crate::client::{Client, Shared};
use crate::drive::{LoadError, Progress, Setting, Summary, run};
use crate::keys::Distribution;
use crate::measure::Mark;
use crate::plan::Plan;
use crate::plot::plot;
use crate::protocol::{Consistency, Protocol};
use crate::recorder::{Clock, Recorder, RecorderError};
use crate::route::{Partitions, Server, Spread, Way};
use faults::Faults;
use nodes::Node;
pub use verdict::{Sum, Verdict};

/// How long an operation may take.
const TIMEOUT: Duration = Duration::from_secs(2);

/// How long a question to a node may take.
const ASK: Duration = Duration::from_secs(5);

/// How long a cluster may take to be ready.
const READY_MAX: Duration = Duration::from_secs(90);

/// Most states that are looked at for each key: many clients that wait for one key at once leave much open.
const STATES_MAX: usize = 8_000_000;

/// Most attempts to read a key at the end.
const READS_MAX: usize = 100;

/// What is done to whom.
#[derive(Debug, Clone)]
pub struct Torture {
    /// The service's program; takes the flags of `ck serve`.
    pub program: PathBuf,
    /// Further arguments for every node.
    pub arguments: Vec<String>,
    /// Nodes at the beginning; one more joins.
    pub nodes: u16,
    /// Clients. At least 1.
    pub clients: usize,
    /// Operations a second, due whether earlier ones have ended or not; without it, as many as the
    /// clients get done one after another.
    pub rate: Option<f64>,
    /// Keys. At least 1.
    pub keys: u64,
    /// Bytes of a value.
    pub value_bytes: usize,
    /// One value in so many is empty, or on one key has 8 MiB; 0 is none.
    pub odd_values: u32,
    /// How long it lasts.
    pub length: Duration,
    /// The service's lease, which pauses outlast.
    pub lease: Duration,
    /// How long after healing all copies have to be alike.
    pub settle: Duration,
    /// Whether no node comes back more than once within two minutes. One that does is damped: it is given
    /// no new copies for two minutes.
    pub gentle: bool,
    /// What faults and operations are drawn from.
    pub seed: u64,
}

/// Why a run has no verdict.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TortureError {
    /// The program cannot be started.
    #[error("cannot start {program}")]
    Start {
        /// The program.
        program: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// No ports are free.
    #[error("no {count} neighbouring ports are free from {first} on; end what listens there")]
    Ports {
        /// How many are needed.
        count: u16,
        /// Where the search began.
        first: u16,
    },
    /// A file or directory cannot be written, read or removed.
    #[error("the files of a run cannot be written or read")]
    Files(#[source] std::io::Error),
    /// A process ended that nobody had ended.
    #[error("{node} ended by itself; its log says why")]
    Ended {
        /// The node.
        node: String,
    },
    /// A node without its disk could not be removed.
    #[error("{node} lost its disk and could not be removed from the cluster in time")]
    NotRemoved {
        /// The node.
        node: String,
    },
    /// Something could not be mended.
    #[error("not everything could be mended; what was done: {}", events.join(", "))]
    NotHealed {
        /// What was done.
        events: Vec<String>,
    },
    /// The cluster is not ready.
    #[error("not ready in time: nodes {nodes:?}, partitions without an owner {partitions:?}")]
    NotReady {
        /// Nodes that are not.
        nodes: Vec<String>,
        /// Partitions that nobody owns.
        partitions: Vec<String>,
    },
    /// A key could not be read at the end.
    #[error("key number {key} could not be read after healing, the last attempt ended as {last:?}")]
    NoRead {
        /// The key's number.
        key: u64,
        /// How the last attempt ended.
        last: Answer,
    },
    /// No router can be made.
    #[error(transparent)]
    Router(#[from] ConfigError),
    /// The load could not be put on.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The history is not whole.
    #[error(transparent)]
    Recorder(#[from] RecorderError),
    /// The history cannot be read back.
    #[error(transparent)]
    History(#[from] history::HistoryError),
}

impl Torture {
    fn plan(&self) -> Plan {
        Plan {
            protocol: Protocol::Kv(Consistency::Lease),
            clients: self.clients,
            keys: self.keys,
            key_prefix: "torture-".into(),
            odd_keys: true,
            distribution: Distribution::Uniform,
            mix: "get:45,put:30,cas:20,delete:5".parse().expect("a mix"),
            value_bytes: self.value_bytes,
            odd_values: self.odd_values,
            rate: self.rate,
            duration: self.length,
            warmup: Duration::ZERO,
            timeout: TIMEOUT,
            preload: true,
            seed: self.seed,
            recorded: true,
        }
    }

    /// Runs once, with all files in `directory`, and judges.
    ///
    /// # Errors
    /// [`TortureError`] when there is nothing to judge: the cluster did not start, a node ended by
    /// itself, or did not come right again.
    ///
    /// # Panics
    /// When one of its tasks did.
    pub async fn run(
        &self,
        directory: &Path,
        progress: impl Fn(Progress),
    ) -> Result<Verdict, TortureError> {
        let members = [self.nodes, self.nodes + 1];
        let (mut nodes, _claim) = nodes::nodes(directory, &self.program, members, &self.arguments)?;
        let up = usize::from(self.nodes);
        for node in &mut nodes[..up] {
            node.start()?;
        }
        settle::until_ready(&nodes[..up].iter().collect::<Vec<_>>(), READY_MAX).await?;
        let history = directory.join("history.jsonl");
        let recorder = Recorder::create(&history)?;
        let clock = Clock::default();
        let servers: Vec<_> = nodes[..up].iter().map(|node| node.http).collect();
        let setting = Setting {
            ways: self.ways(servers)?,
            recorder: Some(&recorder),
            clock,
            partitions: partitions(&nodes[0]).await,
        };
        let (end, ended) = watch::channel(false);
        let mut watching = JoinSet::new();
        for node in &nodes {
            let owners = owners::Owners::new(node.id.clone(), clock, recorder.told());
            watching.spawn(owners.watch(node.http, ended.clone()));
        }
        let mut faults = Faults::new(nodes, up, self);
        let tormented = self.torment(&mut faults, &setting, progress).await;
        // Whatever came of it, the history is written to its end.
        end.send_replace(true);
        while let Some(joined) = watching.join_next().await {
            joined.expect("watching does not panic");
        }
        drop(setting);
        recorder.finish()?;
        let (summary, settled) = tormented?;
        let file = File::open(&history).map_err(TortureError::Files)?;
        let limits = history::Limits {
            states: STATES_MAX,
            ..history::Limits::default()
        };
        let report = history::check(BufReader::new(file), limits)?;
        let marks = marks(&faults, summary.begin);
        let title = format!("seed {}, {} nodes", self.seed, self.nodes);
        let picture = plot(&title, &summary.measured, &marks);
        std::fs::write(directory.join("throughput.svg"), picture).map_err(TortureError::Files)?;
        Ok(Verdict::new(self, &summary, report, &marks, settled))
    }

    /// Half of the clients go to the primary of their key, half over any server.
    fn ways(&self, servers: Vec<SocketAddr>) -> Result<Vec<Way>, TortureError> {
        let seeds = servers.iter().map(ToString::to_string);
        let config = RouterConfig::new(seeds).with_timeout(TIMEOUT);
        let router = Router::new(config)?;
        let servers = servers.into_iter().map(Server::from).collect();
        let any = Spread::new(servers, Access::default());
        Ok(vec![Way::Any(any), Way::Client(router)])
    }

    /// Load and faults at once, then healing, then a look at everything.
    async fn torment(
        &self,
        faults: &mut Faults,
        setting: &Setting<'_>,
        progress: impl Fn(Progress),
    ) -> Result<(Summary, Settled), TortureError> {
        let until = Instant::now() + self.length;
        let load = async {
            run(self.plan(), setting, progress)
                .await
                .map_err(TortureError::from)
        };
        let (summary, ()) = tokio::try_join!(load, faults.run(until))?;
        let begin = Instant::now();
        faults.heal().await?;
        let running: Vec<&Node> = faults.running();
        settle::until_ready(&running, READY_MAX).await?;
        let healed = begin.elapsed();
        let (equal, unequal) = settle::until_equal(&running, self.settle).await;
        self.read_all(setting).await?;
        let settled = Settled {
            healed,
            equal,
            unequal,
        };
        Ok((summary, settled))
    }

    /// Reads every key once more, for what was lost to be seen.
    async fn read_all(&self, setting: &Setting<'_>) -> Result<(), TortureError> {
        let shared = Shared {
            plan: Arc::new(self.plan()),
            ways: setting.ways.clone(),
            clock: setting.clock,
            told: setting.recorder.map(Recorder::told),
            partitions: setting.partitions,
            run: 0,
            odd: Arc::default(),
        };
        let mut client = Client::new(shared, self.clients);
        for key in 0..self.keys {
            let mut attempts = 0;
            loop {
                attempts += 1;
                let done = client.read(key).await;
                client.recover(&done.answer).await;
                match done.answer {
                    Answer::Read { .. } | Answer::Absent => break,
                    last if attempts == READS_MAX => {
                        return Err(TortureError::NoRead { key, last });
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

/// How a cluster came right.
#[derive(Debug)]
struct Settled {
    healed: Duration,
    equal: Duration,
    unequal: Vec<String>,
}

async fn partitions(node: &Node) -> Option<Partitions> {
    let answer = node.client().cluster().await.ok()?;
    Partitions::told(&answer.hash_config)
}

fn marks(faults: &Faults, begin: Instant) -> Vec<Mark> {
    let events = faults.events.iter();
    events
        .map(|event| Mark {
            at: event.at.saturating_duration_since(begin),
            label: event.what.clone(),
        })
        .collect()
}

/// Whether a node refused with that code.
fn is_code(error: &ClientError, code: &str) -> bool {
    error.problem().is_some_and(|problem| problem.code == code)
}
