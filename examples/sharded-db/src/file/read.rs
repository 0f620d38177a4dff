//! Statements and their answers.

use std::time::Duration;

use rusqlite::{Connection, ErrorCode, params_from_iter};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::error::is_fatal;
use super::policy::{Mode, STATEMENT_BYTES_MAX};
use super::{PartitionFile, READERS_MAX, Refused, value};

/// One statement with its parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// The text, with `?` or `?1` where parameters go.
    pub sql: String,
    /// The parameters, in order.
    #[serde(default)]
    pub params: Vec<Json>,
}

/// What a statement gave.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The names of the columns.
    pub columns: Vec<String>,
    /// The rows.
    pub rows: Vec<Vec<Json>>,
    /// Rows that were inserted, updated or deleted.
    pub changes: u64,
}

/// How much one request may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Most rows of an answer. Default 10,000.
    pub rows: usize,
    /// Most bytes of an answer, about. Default 4 MiB.
    pub bytes: usize,
    /// Time its statements get together. Default 5 s.
    pub time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            rows: 10_000,
            bytes: 4 << 20,
            time: Duration::from_secs(5),
        }
    }
}

impl PartitionFile {
    /// Runs one statement that changes nothing. Also gives the number of the last transaction that
    /// it saw.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn read(&self, statement: &Statement, limits: &Limits) -> Result<(Answer, u64), Refused> {
        let failed = |source| Refused::Read {
            partition: self.partition,
            source,
        };
        let kept = self.readers.lock().pop();
        let reader = match kept {
            Some(reader) => reader,
            None => self.open_reader().map_err(failed)?,
        };
        let answer = (|| {
            let seen = reader.connection.unchecked_transaction().map_err(failed)?;
            let seq = seen
                .query_row("SELECT seq FROM ck_meta", [], |row| row.get(0))
                .map_err(failed)?;
            let entered = reader.guard.enter(Mode::Read, limits.time);
            let answer = run(&reader.connection, 0, statement, limits, true);
            drop(entered);
            match answer {
                Ok(answer) => Ok((answer, seq)),
                Err(Failed::Refused(refused)) => Err(refused),
                Err(Failed::Sqlite { error, .. }) if is_fatal(&error) => Err(failed(error)),
                Err(Failed::Sqlite { statement, error }) => Err(refusal(&error, statement, limits)),
            }
        })();
        let mut readers = self.readers.lock();
        if readers.len() < READERS_MAX {
            readers.push(reader);
        }
        answer
    }
}

/// Why a statement gave nothing.
#[derive(Debug)]
pub(super) enum Failed {
    /// We refuse it.
    Refused(Refused),
    /// SQLite refuses it, or fails.
    Sqlite {
        /// Which of the request's statements, from 1.
        statement: usize,
        /// What it says.
        error: rusqlite::Error,
    },
}

impl From<Refused> for Failed {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

/// Runs statement number `at` on a connection whose guard has been set.
pub(super) fn run(
    connection: &Connection,
    at: usize,
    statement: &Statement,
    limits: &Limits,
    only_reads: bool,
) -> Result<Answer, Failed> {
    let number = at + 1;
    if statement.sql.len() > STATEMENT_BYTES_MAX {
        let bytes = statement.sql.len();
        return Err(Refused::StatementLong {
            statement: number,
            bytes,
        }
        .into());
    }
    let refused = |error| Failed::Sqlite {
        statement: number,
        error,
    };
    let mut prepared = connection.prepare(&statement.sql).map_err(refused)?;
    if prepared.expanded_sql().is_none_or(|sql| sql.is_empty()) {
        return Err(Refused::Empty { statement: number }.into());
    }
    if only_reads && !prepared.readonly() {
        return Err(Refused::NotRead { statement: number }.into());
    }
    let (have, need) = (statement.params.len(), prepared.parameter_count());
    if have != need {
        return Err(Refused::Parameters {
            statement: number,
            have,
            need,
        }
        .into());
    }
    let given = statement.params.iter().enumerate();
    let params = given
        .map(|(at, value)| value::from_json(number, at, value))
        .collect::<Result<Vec<_>, _>>()?;
    let reads = prepared.readonly();
    let mut answer = Answer {
        columns: prepared.column_names().map(str::to_owned).collect(),
        ..Answer::default()
    };
    let (width, mut bytes) = (answer.columns.len(), 0);
    let mut rows = prepared.query(params_from_iter(params)).map_err(refused)?;
    while let Some(row) = rows.next().map_err(refused)? {
        let mut values = Vec::with_capacity(width);
        for column in 0..width {
            let (value, length) = value::to_json(row.get_ref(column).map_err(refused)?);
            bytes += length + 1;
            values.push(value);
        }
        answer.rows.push(values);
        if answer.rows.len() > limits.rows || bytes > limits.bytes {
            return Err(Refused::AnswerLarge {
                statement: number,
                rows: limits.rows,
                bytes: limits.bytes,
            }
            .into());
        }
    }
    drop(rows);
    if !reads {
        answer.changes = connection.changes();
    }
    Ok(answer)
}

/// What SQLite's refusal of one statement means.
pub(super) fn refusal(error: &rusqlite::Error, statement: usize, limits: &Limits) -> Refused {
    let message = match error {
        rusqlite::Error::SqliteFailure(_, Some(message)) => message.clone(),
        rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
        rusqlite::Error::MultipleStatement => {
            "there is more than one statement in the text; send a list of statements".to_owned()
        }
        other => other.to_string(),
    };
    match error.sqlite_error_code() {
        Some(ErrorCode::AuthorizationForStatementDenied) => Refused::Denied { statement, message },
        // SQLite has no code of its own for a function.
        _ if message.starts_with("not authorized to use function") => {
            Refused::Denied { statement, message }
        }
        Some(ErrorCode::OperationInterrupted) => Refused::Slow {
            statement,
            after: limits.time,
        },
        code => Refused::Sql {
            statement,
            message,
            constraint: code == Some(ErrorCode::ConstraintViolation),
        },
    }
}
