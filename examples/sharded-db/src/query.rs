//! One statement on every partition, and one answer made of theirs.

mod merge;

use std::sync::Arc;

use bytes::Bytes;
use ck_http::{Code, Problem};
use ck_node::PartitionId;
use futures_util::stream::{self, StreamExt as _};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::file::{Answer, Statement};
use crate::front::Work;
use crate::problems;
use crate::schema::Pending;
use crate::store::Store;

pub(crate) use merge::Fold;

/// A scattered query.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Query {
    /// A statement that only looks.
    pub(crate) sql: String,
    #[serde(default)]
    pub(crate) params: Vec<Json>,
    /// Columns that are made one over all partitions; the others are what rows are grouped by.
    #[serde(default)]
    pub(crate) merge: Vec<Fold>,
    /// Columns to sort by, each with `asc` or `desc` behind it if you like.
    #[serde(default)]
    pub(crate) order_by: Vec<String>,
    /// Most rows, after all else.
    #[serde(default)]
    pub(crate) limit: Option<usize>,
    /// Whether an answer without some partitions is an answer.
    #[serde(default)]
    pub(crate) partial: bool,
}

/// Its answer.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct QueryAnswer {
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<Vec<Json>>,
    /// Partitions that were asked.
    pub(crate) partitions: usize,
    /// Those that gave nothing; only where an answer may be partial.
    pub(crate) missing: Vec<Pending>,
}

impl Store {
    /// Asks every partition, and puts their answers together in order of number.
    ///
    /// Each partition's part is as of one moment at its primary; together they are not one moment.
    pub(crate) async fn query(self: &Arc<Self>, query: Query) -> Result<QueryAnswer, Box<Problem>> {
        let order = merge::order(&query.order_by)?;
        let work = Work {
            read: true,
            statements: vec![Statement {
                sql: query.sql.clone(),
                params: query.params.clone(),
            }],
        };
        let partitions = self.partitions()?;
        let count = partitions.len();
        let asked = stream::iter(partitions).map(|partition| {
            let (store, work) = (Arc::clone(self), work.clone());
            async move { (partition, store.run(partition, None, &work).await) }
        });
        let mut asked = std::pin::pin!(asked.buffered(self.config.scatter_max));
        let mut gathered = Gathered::default();
        let mut missing = Vec::new();
        while let Some((partition, answer)) = asked.next().await {
            match answer {
                Ok(mut answers) => {
                    let answer = answers.pop().unwrap_or_default();
                    gathered.take(partition, answer)?;
                    self.check_size(&gathered)?;
                }
                // What is wrong with the statement is wrong with it everywhere.
                Err(problem) if query.partial && problem.status >= 500 => missing.push(Pending {
                    partition: partition.to_string(),
                    detail: problem.detail,
                }),
                Err(mut problem) => {
                    problem.detail = format!("{partition}: {}", problem.detail);
                    problem.value = Some(partition.to_string());
                    return Err(problem);
                }
            }
        }
        let columns = gathered.columns.unwrap_or_default();
        let rows = merge::fold(&columns, gathered.rows, &query.merge)?;
        let mut rows = merge::sort(&columns, rows, &order)?;
        rows.truncate(query.limit.unwrap_or(usize::MAX));
        Ok(QueryAnswer {
            columns,
            rows,
            partitions: count,
            missing,
        })
    }

    fn check_size(&self, gathered: &Gathered) -> Result<(), Box<Problem>> {
        let limits = self.config.scatter;
        if gathered.rows.len() <= limits.rows && gathered.bytes <= limits.bytes {
            return Ok(());
        }
        let detail = format!(
            "the answers of the partitions have more than {} rows or {} bytes together; use LIMIT, or \
             have SQL sum up and `merge` the sums",
            limits.rows, limits.bytes
        );
        Err(problems::ours(
            "answer-too-large",
            422,
            "The answer is too large",
            detail,
        ))
    }

    /// What another node asks of a partition that is this node's, beside running statements.
    pub(crate) async fn order(
        self: &Arc<Self>,
        partition: PartitionId,
        what: &str,
        body: &Bytes,
    ) -> Result<Bytes, Box<Problem>> {
        let wrong =
            |error: serde_json::Error| Box::new(Problem::new(Code::InvalidBody, error.to_string()));
        match what {
            "try-schema" => {
                let statements = serde_json::from_slice(body).map_err(wrong)?;
                self.try_schema(partition, statements).await?;
                Ok(Bytes::from_static(b"{}"))
            }
            "apply-schema" => {
                let version = serde_json::from_slice(body).map_err(wrong)?;
                let applied = self.apply_schema(partition, version).await?;
                Ok(serde_json::to_vec(&applied).map_err(wrong)?.into())
            }
            _ => {
                let detail = format!("nothing is known of {what:?}");
                Err(Box::new(Problem::new(Code::NotFound, detail)))
            }
        }
    }
}

/// What came together so far.
#[derive(Default)]
struct Gathered {
    columns: Option<Vec<String>>,
    rows: Vec<Vec<Json>>,
    bytes: usize,
}

impl Gathered {
    fn take(&mut self, partition: PartitionId, answer: Answer) -> Result<(), Box<Problem>> {
        let columns = self.columns.get_or_insert_with(|| answer.columns.clone());
        if *columns != answer.columns {
            let detail = format!(
                "{partition} answers with the columns {:?}, those before with {columns:?}: the schema \
                 is being changed, try again",
                answer.columns
            );
            return Err(Box::new(
                Problem::new(Code::Moving, detail).with_retry_after_ms(100),
            ));
        }
        let values = answer.rows.iter().flatten();
        self.bytes += values.map(merge::about_bytes).sum::<usize>();
        self.rows.extend(answer.rows);
        Ok(())
    }
}
