//! From a request to the partition's primary, wherever it is.

use std::sync::Arc;

use bytes::Bytes;
use ck_http::{Code, Problem, Request, Response};
use ck_node::{FencingToken, PartitionId};
use ck_serve::{Errand, Errands, Missed, problem_of};
use futures_util::stream::{self, StreamExt as _};
use serde::{Deserialize, Serialize};

use crate::file::{Answer, Statement};
use crate::problems;
use crate::store::Store;

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
    store: &'a Arc<Store>,
    partition: PartitionId,
    what: &'static str,
    body: Bytes,
    /// The work, unless it is something that nodes ask one another.
    run: Option<&'a Work>,
}

impl Errand for Task<'_> {
    type Done = Bytes;

    fn partition(&self) -> Result<PartitionId, Box<Problem>> {
        Ok(self.partition)
    }

    async fn here(&self, partition: PartitionId) -> Result<Bytes, Missed> {
        let store = self.store;
        let node = store.node().map_err(Missed::of)?;
        if let Err(refused) = node.acquire(partition) {
            return Err(Missed::not_owner(node, &refused));
        }
        let Some(work) = self.run else {
            let done = store.order(partition, self.what, &self.body).await;
            return done.map_err(Missed::of);
        };
        let done = store.run_here(partition, None, work.clone()).await;
        let done = done.map_err(Missed::of)?;
        Ok(serde_json::to_vec(&done).unwrap_or_default().into())
    }

    fn request(&self, partition: PartitionId) -> Result<Request<Bytes>, Box<Problem>> {
        let target = format!("/sql-peer/{}/{}", partition.0, self.what);
        let request = Request::post(target).header("content-type", "application/json");
        let request = request.body(self.body.clone());
        Ok(request.expect("a number and a word make a path"))
    }

    fn answered(&self, answer: Response<Bytes>) -> Result<Bytes, Missed> {
        if answer.status().is_success() {
            return Ok(answer.into_body());
        }
        Err(match problem_of(&answer) {
            Some(problem) => Missed::of(problem),
            None => Missed::at_last(problems::unknown(format!(
                "the primary of {} answers {}",
                self.partition,
                answer.status()
            ))),
        })
    }

    fn is_safe(&self) -> bool {
        self.run.is_none_or(|work| work.read)
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
            store: self,
            partition,
            what: "run",
            body,
            run: Some(work),
        };
        let done = self.reach(&task).await?;
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
            store: self,
            partition,
            what,
            body: body.clone(),
            run: None,
        };
        self.reach(&task).await
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

    /// Tries until there is an answer, the time is over, or trying again might do harm.
    async fn reach(&self, task: &Task<'_>) -> Result<Bytes, Box<Problem>> {
        let mut errands = Errands::new(self.node()?, &self.courier, 0);
        errands.patience = self.config.patience;
        // What SQLite may take, and a moment for the way.
        errands.within = self.config.limits.time + self.config.patience;
        let done = errands.run(task).await;
        done.inspect_err(|problem| {
            tracing::debug!(partition = %task.partition, %problem, "a request is refused");
        })
    }
}

fn no_partitions() -> Box<Problem> {
    let detail = "the partitions do not exist yet; create them first";
    Box::new(Problem::new(Code::NoPartitions, detail).with_retry_after_ms(200))
}
