//! One schema for all partitions, kept by the cluster.
//!
//! The list of statements is a replicated value that only grows. Its length is its version; each
//! file notes how many of them it has applied, and applies the rest before it serves.

use std::sync::Arc;

use ck_http::{Code, Problem};
use ck_node::{Handle, OperationError, PartitionId, Version};
use serde::{Deserialize, Serialize};

use crate::file::{Refused, try_out};
use crate::line::Role;
use crate::problems;
use crate::serving::not_owner;
use crate::store::Store;

/// The replicated value.
const KEY: &str = "sql/schema";

/// Changes at a time that may be tried against one another.
const TRIES_MAX: u32 = 8;

/// What the replicated value holds.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Kept {
    statements: Vec<String>,
}

/// A change of the schema.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SchemaChange {
    /// One statement.
    #[serde(default)]
    pub(crate) sql: Option<String>,
    /// Several, which are applied together.
    #[serde(default)]
    pub(crate) statements: Vec<String>,
    /// The version it is meant for; any when absent.
    #[serde(default)]
    pub(crate) expected: Option<usize>,
}

/// The schema, and where it is not applied yet.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SchemaAnswer {
    /// Statements so far.
    pub(crate) version: usize,
    /// The statements.
    pub(crate) statements: Vec<String>,
    /// Partitions that have not applied all of them, which they do before they serve.
    pub(crate) pending: Vec<Pending>,
}

/// A partition that is behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pending {
    /// The partition.
    pub(crate) partition: String,
    /// Why.
    pub(crate) detail: String,
}

/// Where the schema stands in one file.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Applied {
    pub(crate) version: usize,
    /// Why it has not applied the rest.
    pub(crate) misfit: Option<String>,
}

impl Store {
    /// The schema as this node knows it.
    pub(crate) fn schema_of(&self, node: &Handle) -> Result<Arc<Vec<String>>, Box<Problem>> {
        let Some((value, version)) = node.custom(KEY) else {
            return Ok(Arc::default());
        };
        let mut known = self.schema.lock();
        if known.0 != version {
            let kept: Kept = serde_json::from_slice(&value).map_err(|error| {
                let detail = format!("the custom value {KEY} is no schema: {error}");
                Problem::new(Code::Internal, detail)
            })?;
            *known = (version, Arc::new(kept.statements));
        }
        Ok(Arc::clone(&known.1))
    }

    /// Adds statements to the schema, if they make one and no partition that answers refuses them.
    /// Returns the version.
    pub(crate) async fn change_schema(
        self: &Arc<Self>,
        change: SchemaChange,
    ) -> Result<usize, Box<Problem>> {
        let node = self.node()?.clone();
        let mut added = change.statements;
        added.extend(change.sql);
        if added.is_empty() {
            let problem = Problem::new(Code::InvalidBody, "`sql` or `statements` is missing");
            return Err(Box::new(problem.with_field("sql")));
        }
        for _ in 0..TRIES_MAX {
            let version = node.custom(KEY).map_or(Version(0), |(_, version)| version);
            let mut statements = self.schema_of(&node)?.to_vec();
            if let Some(expected) = change.expected.filter(|one| *one != statements.len()) {
                let detail = format!(
                    "the schema is at version {}, not {expected}; look at it again",
                    statements.len()
                );
                return Err(Box::new(Problem::new(Code::PreconditionFailed, detail)));
            }
            statements.extend(added.iter().cloned());
            let tried = statements.clone();
            let tried = self.blocking(move |_| try_out(&tried)).await;
            tried.map_err(|refused| problems::schema(&refused))?;
            self.try_everywhere(&statements).await?;
            let length = statements.len();
            let kept = serde_json::to_vec(&Kept { statements }).unwrap_or_default();
            match node.set_custom(KEY, kept, Some(version)).await {
                Ok(version) => {
                    // What this node hands out next knows it.
                    node.applied_until(|state| state.version() >= version).await;
                    return Ok(length);
                }
                // Somebody was faster: on top of that, then.
                Err(OperationError::Rejected(rejection))
                    if rejection.code() == "custom-version" =>
                {
                    let newer = node.applied_until(|state| {
                        let now = state.custom(KEY).map_or(Version(0), |found| found.version);
                        now != version
                    });
                    let _ = tokio::time::timeout(self.config.patience, newer).await;
                }
                Err(error) => return Err(problems::operation(&error)),
            }
        }
        let detail = format!("{TRIES_MAX} other changes were faster; try again");
        Err(problems::overloaded(detail))
    }

    /// Whether the rows of every partition that answers fit a schema.
    async fn try_everywhere(self: &Arc<Self>, statements: &[String]) -> Result<(), Box<Problem>> {
        let body = serde_json::to_vec(statements).unwrap_or_default();
        for (partition, tried) in self.ask_all("try-schema", body).await? {
            match tried {
                Err(problem) if problem.code == "schema-misfit" => {
                    let detail = format!("{partition}: {}", problem.detail);
                    let title = "Rows do not fit the schema";
                    return Err(problems::ours("schema-misfit", 409, title, detail));
                }
                // It applies the schema before it serves again.
                _ => {}
            }
        }
        Ok(())
    }

    /// Tries a schema on the file of a partition that this node serves.
    pub(crate) async fn try_schema(
        self: &Arc<Self>,
        partition: PartitionId,
        statements: Vec<String>,
    ) -> Result<(), Box<Problem>> {
        let own = self.acquire(partition)?;
        let part = self.part(partition);
        let store = Arc::clone(self);
        let tried = crate::store::uncut(async move {
            let line = Arc::clone(&part.line).lock_owned().await;
            if !matches!(line.role, Role::Primary(token) if token == own.token()) {
                return Err(not_owner(&store, &own));
            }
            store
                .blocking(move |store| match store.file(partition) {
                    Ok(file) => Ok(file.try_schema(&statements)),
                    Err(error) => Err(problems::file(&error)),
                })
                .await
        });
        match tried.await?? {
            Ok(()) => Ok(()),
            Err(Refused::Sql { message, .. }) => {
                let title = "Rows do not fit the schema";
                Err(problems::ours("schema-misfit", 409, title, message))
            }
            Err(refused) => Err(self.refused(&refused)),
        }
    }

    /// Applies the schema, of that version at least, to a partition that this node serves.
    pub(crate) async fn apply_schema(
        self: &Arc<Self>,
        partition: PartitionId,
        version: usize,
    ) -> Result<Applied, Box<Problem>> {
        let own = self.acquire(partition)?;
        let node = self.node()?.clone();
        let heard = async {
            while self.schema_of(&node)?.len() < version {
                let known = node.custom(KEY).map(|(_, version)| version);
                let newer = node
                    .applied_until(|state| state.custom(KEY).map(|found| found.version) != known);
                newer.await;
            }
            Ok::<_, Box<Problem>>(())
        };
        let late = |_| problems::unknown("this node has not heard of the schema in time");
        tokio::time::timeout(self.config.patience, heard)
            .await
            .map_err(late)??;
        let part = self.part(partition);
        self.catch_up_schema(&part, own).await?;
        let (_, version) = self.standing(partition).await;
        let misfit = part.line.lock().await.misfit.clone();
        Ok(Applied {
            version,
            misfit: misfit.map(|misfit| misfit.message),
        })
    }

    /// Has every partition apply the schema, and says which have not.
    pub(crate) async fn spread_schema(
        self: &Arc<Self>,
        version: usize,
    ) -> Result<SchemaAnswer, Box<Problem>> {
        let mut pending = Vec::new();
        let body = serde_json::to_vec(&version).unwrap_or_default();
        for (partition, applied) in self.ask_all("apply-schema", body).await? {
            let applied = applied.and_then(|body| {
                serde_json::from_slice::<Applied>(&body)
                    .map_err(|error| problems::unknown(error.to_string()))
            });
            let detail = match applied {
                Ok(applied) if applied.version >= version => continue,
                Ok(applied) => applied.misfit.unwrap_or_else(|| "not yet".to_owned()),
                Err(problem) => problem.detail,
            };
            let partition = partition.to_string();
            pending.push(Pending { partition, detail });
        }
        let statements = self.schema_of(self.node()?)?.to_vec();
        Ok(SchemaAnswer {
            version: statements.len(),
            statements,
            pending,
        })
    }
}
