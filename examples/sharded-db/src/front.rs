//! From a request to the partition's primary, wherever it is.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ck_http::{Code, Method, Problem};
use ck_node::{FencingToken, NotOwner, PartitionId};
use futures_util::stream::{self, StreamExt as _};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::file::{Answer, Statement};
use crate::peers::{PeerError, Received, Sent};
use crate::problems;
use crate::store::Store;

/// Between two tries, when nobody says when to come back.
const PAUSE: Duration = Duration::from_millis(20);

/// Longest pause between two tries, whatever is asked for.
const PAUSE_MAX: Duration = Duration::from_millis(200);

/// What is to be done on one partition.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Work {
    /// Whether it only looks.
    pub(crate) read: bool,
    /// One statement, or a transaction.
    pub(crate) statements: Vec<Statement>,
}

/// What one partition is asked, by the path that another node is asked at.
struct Task<'a> {
    what: &'static str,
    body: Bytes,
    /// The work, unless it is something that nodes ask one another.
    run: Option<&'a Work>,
}

/// How one try ended that gave no answer.
struct Missed {
    problem: Box<Problem>,
    /// Whether it certainly changed nothing and may succeed in a moment.
    later: bool,
}

impl Missed {
    fn of(problem: Box<Problem>) -> Self {
        let later = matches!(
            problem.known_code(),
            Some(
                Code::Moving
                    | Code::NotOwner
                    | Code::Unavailable
                    | Code::Overloaded
                    | Code::Stopping
                    | Code::NotFormed
            )
        );
        Self { problem, later }
    }
}

impl Store {
    /// Does `work` on a partition, here or by passing it on. With `fence` only here: the caller
    /// routes by itself, and is told where to go.
    pub(crate) async fn run(
        self: &Arc<Self>,
        partition: PartitionId,
        fence: Option<FencingToken>,
        work: &Work,
    ) -> Result<Vec<Answer>, Box<Problem>> {
        if fence.is_some() {
            return self.run_here(partition, fence, work.clone()).await;
        }
        let body = Bytes::from(serde_json::to_vec(work).unwrap_or_default());
        let task = Task {
            what: "run",
            body,
            run: Some(work),
        };
        let done = self.reach(partition, &task).await?;
        serde_json::from_slice(&done).map_err(|error| {
            problems::unknown(format!(
                "the answer of {partition} is not understood: {error}"
            ))
        })
    }

    /// Does `work` on a partition that is this node's.
    pub(crate) async fn run_here(
        self: &Arc<Self>,
        partition: PartitionId,
        fence: Option<FencingToken>,
        work: Work,
    ) -> Result<Vec<Answer>, Box<Problem>> {
        if !work.read {
            return self.write(partition, fence, work.statements).await;
        }
        let mut answers = Vec::with_capacity(work.statements.len());
        for statement in work.statements {
            answers.push(self.read(partition, fence, statement).await?);
        }
        Ok(answers)
    }

    /// Asks every partition, some at a time, in order of number.
    pub(crate) async fn ask_all(
        self: &Arc<Self>,
        what: &'static str,
        body: Vec<u8>,
    ) -> Result<Vec<(PartitionId, Result<Bytes, Box<Problem>>)>, Box<Problem>> {
        let body = Bytes::from(body);
        let asked = stream::iter(self.partitions()?).map(|partition| {
            let (store, body) = (Arc::clone(self), body.clone());
            async move { (partition, store.ask_one(partition, what, &body).await) }
        });
        Ok(asked.buffered(self.config.scatter_max).collect().await)
    }

    /// Asks one partition. What is asked may be asked twice.
    pub(crate) async fn ask_one(
        self: &Arc<Self>,
        partition: PartitionId,
        what: &'static str,
        body: &Bytes,
    ) -> Result<Bytes, Box<Problem>> {
        let task = Task {
            what,
            body: body.clone(),
            run: None,
        };
        self.reach(partition, &task).await
    }

    /// All partitions there are.
    pub(crate) fn partitions(&self) -> Result<Vec<PartitionId>, Box<Problem>> {
        let count = self.node()?.table().map_or(0, |table| table.partitions());
        if count == 0 {
            return Err(no_partitions());
        }
        Ok((0..count).map(PartitionId).collect())
    }

    /// The partition of a key.
    pub(crate) fn partition_of(&self, key: &[u8]) -> Result<PartitionId, Box<Problem>> {
        let found = self.node()?.partition_for_key(key);
        found
            .map(|partition| partition.id)
            .ok_or_else(no_partitions)
    }

    /// Where the primary answers, when it is another node.
    fn elsewhere(&self, partition: PartitionId) -> Result<Option<String>, Missed> {
        let node = self.node().map_err(Missed::of)?;
        let refused = match node.acquire(partition) {
            Ok(_) => return Ok(None),
            Err(refused) => refused,
        };
        if let NotOwner::Elsewhere {
            primary: Some(primary),
            ..
        } = &refused
            && let Some(address) = self.address(primary)
        {
            return Ok(Some(address));
        }
        Err(Missed::of(problems::not_owner(node, &refused)))
    }

    async fn try_once(
        self: &Arc<Self>,
        partition: PartitionId,
        task: &Task<'_>,
    ) -> Result<Bytes, Missed> {
        if let Some(address) = self.elsewhere(partition)? {
            return self.pass_on(partition, &address, task).await;
        }
        let Some(work) = task.run else {
            let done = self.order(partition, task.what, &task.body).await;
            return done.map_err(Missed::of);
        };
        let done = self.run_here(partition, None, work.clone()).await;
        let done = done.map_err(Missed::of)?;
        Ok(serde_json::to_vec(&done).unwrap_or_default().into())
    }

    async fn pass_on(
        &self,
        partition: PartitionId,
        address: &str,
        task: &Task<'_>,
    ) -> Result<Bytes, Missed> {
        let sent = Sent {
            method: Method::POST,
            target: format!("/sql-peer/{}/{}", partition.0, task.what),
            headers: vec![("content-type", "application/json".to_owned())],
            body: task.body.clone(),
        };
        // What SQLite may take, and a moment for the way.
        let time = self.config.limits.time + self.config.patience;
        let safe = task.run.is_none_or(|work| work.read);
        match self.peers.send(address, sent, time).await {
            Ok(received) if received.status.is_success() => Ok(received.body),
            Ok(received) => Err(refusal(address, &received)),
            Err(error) => {
                let not_sent = matches!(error, PeerError::NotSent { .. });
                let problem = if not_sent || safe {
                    let problem = Problem::new(Code::Unavailable, error.to_string());
                    Box::new(problem.with_retry_after_ms(100))
                } else {
                    problems::unknown(format!(
                        "{error}; what was asked for may have been carried out, look before \
                         repeating it"
                    ))
                };
                let later = not_sent || safe;
                Err(Missed { problem, later })
            }
        }
    }

    /// Tries until there is an answer, the time is over, or trying again might do harm.
    async fn reach(
        self: &Arc<Self>,
        partition: PartitionId,
        task: &Task<'_>,
    ) -> Result<Bytes, Box<Problem>> {
        let deadline = Instant::now() + self.config.patience;
        loop {
            let missed = match self.try_once(partition, task).await {
                Ok(done) => return Ok(done),
                Err(missed) => missed,
            };
            let after = missed.problem.retry_after_ms.map(Duration::from_millis);
            let pause = after.unwrap_or(PAUSE).clamp(PAUSE / 4, PAUSE_MAX);
            if !missed.later || Instant::now() + pause >= deadline {
                tracing::debug!(%partition, problem = %missed.problem, "a request is refused");
                return Err(missed.problem);
            }
            tokio::time::sleep(pause).await;
        }
    }
}

fn refusal(address: &str, received: &Received) -> Missed {
    match received.problem() {
        Some(problem) => Missed::of(problem),
        None => Missed {
            problem: problems::unknown(format!("{address} answers {}", received.status)),
            later: false,
        },
    }
}

fn no_partitions() -> Box<Problem> {
    let detail = "the partitions do not exist yet; create them first";
    Box::new(Problem::new(Code::NoPartitions, detail).with_retry_after_ms(200))
}
