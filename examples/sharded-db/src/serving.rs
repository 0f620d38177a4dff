//! What a primary does for clients.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ck_http::{Code, Problem, admit};
use ck_node::{FencingToken, OperationError, Ownership, PartitionId, Rejection, Version};
use tokio::sync::OwnedMutexGuard;

use crate::file::{Answer, Capture, Done, Mark, Refused, Statement};
use crate::line::{Line, Misfit, Part, Role};
use crate::problems;
use crate::store::{Store, uncut};

/// Time a read waits for transactions that it saw and that are not settled yet.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(3);

/// Whether a partition was ever written to, as a replicated value: without its file it is not begun
/// anew then.
pub(crate) fn born_key(partition: PartitionId) -> String {
    format!("sql/born/{}", partition.0)
}

impl Store {
    /// Runs statements as one transaction. `Ok` means that it is durable here and on every copy that
    /// counts; an error says by its code whether nothing was applied.
    pub(crate) async fn write(
        self: &Arc<Self>,
        partition: PartitionId,
        fence: Option<FencingToken>,
        statements: Vec<Statement>,
    ) -> Result<Vec<Answer>, Box<Problem>> {
        let part = self.part(partition);
        let place = Arc::clone(&part.places).try_acquire_owned();
        let place = place.map_err(|_| {
            let most = self.config.waiting_max;
            problems::overloaded(format!("{most} requests wait for {partition} already"))
        })?;
        let store = Arc::clone(self);
        uncut(async move {
            let _place = place;
            let mut line = Arc::clone(&part.line).lock_owned().await;
            let own = admit(store.node()?, partition, fence)?;
            store.keep_up(&part, &mut line, &own).await?;
            store.be_born(partition, &mut line).await?;
            let limits = store.config.limits;
            let capture = capture(&line);
            let (owned, id) = (own.clone(), partition);
            let done = store
                .blocking(move |store| match store.file(id) {
                    Ok(file) => Ok(file.transact(&owned, &statements, &limits, capture)),
                    Err(error) => Err(problems::file(&error)),
                })
                .await?;
            let done = done.map_err(|refused| store.refused(&refused))?;
            let Done {
                answers,
                mark,
                record,
            } = done;
            line.wrote(mark, record, store.config.log_bytes_max);
            store.settle(&part, &mut line, own.token()).await?;
            Ok(answers)
        })
        .await?
    }

    /// Runs a statement that only looks. What it shows is settled, and this node was the primary
    /// after it was read.
    pub(crate) async fn read(
        self: &Arc<Self>,
        partition: PartitionId,
        fence: Option<FencingToken>,
        statement: Statement,
    ) -> Result<Answer, Box<Problem>> {
        let part = self.part(partition);
        let node = self.node()?;
        let own = admit(node, partition, fence)?;
        if self.schema_of(node)?.len() > part.schema.load(Ordering::Acquire) {
            self.catch_up_schema(&part, own.clone()).await?;
        }
        let limits = self.config.limits;
        let read = self
            .blocking(move |store| {
                let file = store
                    .file(partition)
                    .map_err(|error| problems::file(&error))?;
                Ok::<_, Box<Problem>>(file.read(&statement, &limits))
            })
            .await;
        let (answer, seq) = match read {
            Ok(Ok(read)) => read,
            // A file that was given away explains everything.
            Ok(Err(Refused::Read { .. })) | Err(_) if own.check().is_err() => {
                return Err(not_owner(self, &own));
            }
            Ok(Err(refused)) => return Err(self.refused(&refused)),
            Err(problem) => return Err(problem),
        };
        self.until_settled(&part, &own, seq).await?;
        // The question that a read under a lease ends with: whoever writes elsewhere by now began
        // after this.
        match own.check() {
            Ok(_) => Ok(answer),
            Err(_) => Err(not_owner(self, &own)),
        }
    }

    /// Waits until every copy that counts has transaction `seq`.
    async fn until_settled(
        self: &Arc<Self>,
        part: &Arc<Part>,
        own: &Ownership,
        seq: u64,
    ) -> Result<(), Box<Problem>> {
        if *part.settled.borrow() >= seq {
            return Ok(());
        }
        let mut settled = part.settled.subscribe();
        let (store, waiting, token) = (Arc::clone(self), Arc::clone(part), own.token());
        // Its writer is at it, or has given up: then this does it.
        let again = uncut(async move {
            let mut line = Arc::clone(&waiting.line).lock_owned().await;
            store.settle(&waiting, &mut line, token).await
        });
        let either = async {
            tokio::select! {
                done = settled.wait_for(|now| *now >= seq) => done.is_ok(),
                done = again => matches!(done, Ok(Ok(()))),
            }
        };
        match tokio::time::timeout(SETTLE_TIMEOUT, either).await {
            Ok(true) => Ok(()),
            _ => {
                let detail = "what was read is not on every copy yet; try again";
                let problem = Problem::new(Code::Moving, detail);
                Err(Box::new(problem.with_retry_after_ms(50)))
            }
        }
    }

    /// Applies what the file lacks of the schema.
    pub(crate) async fn catch_up_schema(
        self: &Arc<Self>,
        part: &Arc<Part>,
        own: Ownership,
    ) -> Result<(), Box<Problem>> {
        let (store, part) = (Arc::clone(self), Arc::clone(part));
        uncut(async move {
            let mut line = Arc::clone(&part.line).lock_owned().await;
            store.keep_up(&part, &mut line, &own).await
        })
        .await?
    }

    async fn keep_up(
        self: &Arc<Self>,
        part: &Arc<Part>,
        line: &mut OwnedMutexGuard<Line>,
        own: &Ownership,
    ) -> Result<(), Box<Problem>> {
        if !matches!(line.role, Role::Primary(token) if token == own.token()) {
            return Err(not_owner(self, own));
        }
        let wanted = self.schema_of(self.node()?)?;
        let known = line
            .misfit
            .as_ref()
            .is_some_and(|misfit| misfit.version == wanted.len() && misfit.seq == line.mark.seq);
        if wanted.len() <= part.schema.load(Ordering::Acquire) || known {
            return Ok(());
        }
        let (owned, list, capture, id) = (own.clone(), Arc::clone(&wanted), capture(line), part.id);
        let applied = self
            .blocking(move |store| match store.file(id) {
                Ok(file) => Ok(file.apply_schema(&owned, &list, capture)),
                Err(error) => Err(problems::file(&error)),
            })
            .await?;
        match applied {
            Ok(done) => {
                if let Some(done) = done {
                    line.wrote(done.mark, done.record, self.config.log_bytes_max);
                }
                line.misfit = None;
                part.schema.store(wanted.len(), Ordering::Release);
                self.settle(part, line, own.token()).await
            }
            Err(Refused::Sql { message, .. }) => {
                // Served as it is, so that the rows can be mended.
                tracing::warn!(partition = %part.id, version = wanted.len(), "the schema does not fit: {message}");
                line.misfit = Some(Misfit {
                    version: wanted.len(),
                    seq: line.mark.seq,
                    message,
                });
                Ok(())
            }
            Err(refused) => Err(self.refused(&refused)),
        }
    }

    /// Before a partition is written to for the first time the cluster learns that it has rows.
    async fn be_born(
        self: &Arc<Self>,
        partition: PartitionId,
        line: &mut Line,
    ) -> Result<(), Box<Problem>> {
        if line.born {
            return Ok(());
        }
        let node = self.node()?;
        let key = born_key(partition);
        if node.custom(&key).is_none() {
            match node.set_custom(key, b"1".to_vec(), Some(Version(0))).await {
                Ok(_) => {}
                // It was there, which this node had not heard of.
                Err(OperationError::Rejected(Rejection::CustomVersion { .. })) => {}
                // Nothing was written to the file.
                Err(error) => return Err(problems::operation(&error)),
            }
        }
        line.born = true;
        Ok(())
    }

    pub(crate) fn refused(&self, refused: &Refused) -> Box<Problem> {
        match self.node() {
            Ok(node) => problems::refused(node, refused),
            Err(problem) => problem,
        }
    }

    /// Where the file of a partition stands, for a test or an operator.
    pub(crate) async fn standing(&self, partition: PartitionId) -> (Mark, usize) {
        let part = self.part(partition);
        let line = part.line.lock().await;
        (line.mark, part.schema.load(Ordering::Acquire))
    }
}

pub(crate) fn capture(line: &Line) -> Capture {
    if line.is_logging() {
        Capture::Pages
    } else {
        Capture::Nothing
    }
}

/// Why this node may not go on with a grant.
pub(crate) fn not_owner(store: &Store, own: &Ownership) -> Box<Problem> {
    match (store.node(), own.check()) {
        (Ok(node), Err(refused)) => problems::not_owner(node, &refused),
        (Err(problem), _) => problem,
        // The grant holds, and its handler has not finished in this process.
        (Ok(_), Ok(_)) => {
            let detail = format!(
                "{} is not served yet; try again in a moment",
                own.partition()
            );
            Box::new(Problem::new(Code::Moving, detail).with_retry_after_ms(20))
        }
    }
}
