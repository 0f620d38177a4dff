//! The schema: a list of statements, of which each file applies those it lacks, in order.

use std::time::Duration;

use ck_node::Ownership;
use rusqlite::Connection;

use super::policy::{Guard, Mode, STATEMENT_BYTES_MAX};
use super::read::{Failed, refusal};
use super::{Capture, Done, FileError, Limits, PartitionFile, Refused};

/// Time one change of the schema gets in one file: an index of a large table takes a while.
const TIME: Duration = Duration::from_secs(60);

/// Why a list of statements is no schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaRefused {
    /// SQLite refuses it, or it is no change of the schema.
    #[error(
        "{message}, in {statement:?}; use CREATE, ALTER or DROP, and no name that begins with ck_"
    )]
    Statement {
        /// The beginning of the statement.
        statement: String,
        /// What SQLite says.
        message: String,
    },
    /// A statement is longer than the limit.
    #[error("a statement of {bytes} bytes is too long; at most {STATEMENT_BYTES_MAX} are allowed")]
    Long {
        /// Its length.
        bytes: usize,
    },
    /// The statements would make a table, view, index or trigger whose name is reserved.
    #[error("{name:?} is a reserved name; use one that does not begin with ck_")]
    Reserved {
        /// The name.
        name: String,
    },
}

/// Applies `statements` to an empty database in memory: whether they make a schema at all.
pub(crate) fn try_out(statements: &[String]) -> Result<(), SchemaRefused> {
    let fails = |error: rusqlite::Error, statement: &str| SchemaRefused::Statement {
        statement: statement.chars().take(80).collect(),
        message: told(error),
    };
    let opened = Connection::open_in_memory().and_then(|mut connection| {
        let guard = Guard::install(&mut connection)?;
        Ok((connection, guard))
    });
    let (connection, guard) = opened.map_err(|error| fails(error, ""))?;
    for statement in statements {
        if statement.len() > STATEMENT_BYTES_MAX {
            return Err(SchemaRefused::Long {
                bytes: statement.len(),
            });
        }
        apply_one(&connection, &guard, statement).map_err(|error| fails(error, statement))?;
    }
    // A rename does not tell the authorizer the new name.
    let reserved: Option<String> = connection
        .query_row(
            "SELECT min(name) FROM sqlite_schema WHERE name LIKE 'ck!_%' ESCAPE '!'",
            [],
            |row| row.get(0),
        )
        .map_err(|error| fails(error, ""))?;
    reserved.map_or(Ok(()), |name| Err(SchemaRefused::Reserved { name }))
}

fn apply_one(
    connection: &Connection,
    guard: &std::sync::Arc<Guard>,
    statement: &str,
) -> rusqlite::Result<()> {
    let begins = |word: &str| {
        let head = statement.trim_start().as_bytes().get(..word.len());
        head.is_some_and(|head| head.eq_ignore_ascii_case(word.as_bytes()))
    };
    if !["create", "alter", "drop"].into_iter().any(begins) {
        return Err(rusqlite::Error::InvalidQuery);
    }
    let entered = guard.enter(Mode::Schema, TIME);
    let mut prepared = connection.prepare(statement)?;
    let mut rows = prepared.query([])?;
    while rows.next()?.is_some() {}
    drop(entered);
    Ok(())
}

fn told(error: rusqlite::Error) -> String {
    match error {
        rusqlite::Error::InvalidQuery => "this is no change of the schema".to_owned(),
        other => match refusal(&other, 0, &Limits::default()) {
            Refused::Sql { message, .. } | Refused::Denied { message, .. } => message,
            refused => refused.to_string(),
        },
    }
}

impl PartitionFile {
    /// How many statements of the schema the file has applied.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn schema_version(&self) -> Result<usize, FileError> {
        let writer = self.writer.lock();
        version(&writer.connection).map_err(FileError::sqlite(&self.path))
    }

    /// Applies what the file lacks of `statements`, as one transaction; `None` when it lacks
    /// nothing.
    ///
    /// # Errors
    /// [`Refused`], where rows that are there do not fit for instance; nothing was applied.
    pub fn apply_schema(
        &self,
        own: &Ownership,
        statements: &[String],
        capture: Capture,
    ) -> Result<Option<Done>, Refused> {
        if self.schema_lacks(statements) == 0 {
            return Ok(None);
        }
        let done = self.change(own, capture, |writer| {
            let has = version(&writer.connection).map_err(|error| self.schema_failed(0, error))?;
            for (at, statement) in statements.iter().enumerate().skip(has) {
                apply_one(&writer.connection, &writer.guard, statement)
                    .map_err(|error| self.schema_failed(at, error))?;
            }
            let count = i64::try_from(statements.len()).unwrap_or(i64::MAX);
            let noted = writer.connection.pragma_update(None, "user_version", count);
            noted.map_err(|error| self.schema_failed(statements.len(), error))
        })?;
        Ok(Some(done))
    }

    /// Whether the file would apply `statements`: applies what it lacks and takes it back.
    ///
    /// # Errors
    /// As [`PartitionFile::apply_schema`].
    pub fn try_schema(&self, statements: &[String]) -> Result<(), Refused> {
        let writer = self.writer.lock();
        let fails = |at, error| self.schema_failed(at, error);
        writer
            .connection
            .execute_batch("BEGIN IMMEDIATE")
            .map_err(|error| fails(0, error))?;
        let tried = (|| {
            let has = version(&writer.connection).map_err(|error| fails(0, error))?;
            for (at, statement) in statements.iter().enumerate().skip(has) {
                apply_one(&writer.connection, &writer.guard, statement)
                    .map_err(|error| fails(at, error))?;
            }
            Ok(())
        })();
        self.roll_back(&writer);
        tried
    }

    fn schema_lacks(&self, statements: &[String]) -> usize {
        let has = self.schema_version().unwrap_or(0);
        statements.len().saturating_sub(has)
    }

    fn schema_failed(&self, at: usize, error: rusqlite::Error) -> Refused {
        let failed = Failed::Sqlite {
            statement: at + 1,
            error,
        };
        let limits = Limits {
            time: TIME,
            ..Limits::default()
        };
        self.why(failed, &limits)
    }
}

fn version(connection: &Connection) -> rusqlite::Result<usize> {
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    Ok(usize::try_from(version).unwrap_or(0))
}
