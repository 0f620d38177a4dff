//! Why a file does not do what it is asked.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use ck_node::{Epoch, FencingToken, Incarnation, NotOwner, PartitionId};
use rusqlite::ErrorCode;

use super::policy::STATEMENT_BYTES_MAX;

/// A request that was refused. Nothing of it was applied.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// SQLite refuses the statement.
    #[error("statement {statement}: {message}")]
    Sql {
        /// Which of the request's statements, from 1.
        statement: usize,
        /// What SQLite says.
        message: String,
        /// Whether a constraint does not hold, as opposed to a statement that is wrong.
        constraint: bool,
    },
    /// The statement does what no client may.
    #[error(
        "statement {statement}: {message}; statements change and read rows of the schema's tables, \
         `POST /schema` changes the schema, and names that begin with ck_ are reserved"
    )]
    Denied {
        /// Which of the request's statements, from 1.
        statement: usize,
        /// What SQLite says.
        message: String,
    },
    /// A statement is longer than the limit.
    #[error("statement {statement} has {bytes} bytes; at most {STATEMENT_BYTES_MAX} are allowed")]
    StatementLong {
        /// Which of the request's statements, from 1.
        statement: usize,
        /// Its length.
        bytes: usize,
    },
    /// A statement without a word in it.
    #[error("statement {statement} is empty")]
    Empty {
        /// Which of the request's statements, from 1.
        statement: usize,
    },
    /// A parameter that SQLite has no type for.
    #[error(
        "statement {statement}: parameter {parameter} is {value}; use null, true, false, a 64-bit \
         integer, a number, text, or {{\"base64\":\"…\"}} for bytes"
    )]
    Parameter {
        /// Which of the request's statements, from 1.
        statement: usize,
        /// Which parameter, from 1.
        parameter: usize,
        /// The beginning of the value.
        value: String,
    },
    /// Parameters and places for them differ in number.
    #[error("statement {statement} has {need} places for parameters, and {have} were given")]
    Parameters {
        /// Which of the request's statements, from 1.
        statement: usize,
        /// Parameters given.
        have: usize,
        /// Places in the statement.
        need: usize,
    },
    /// A statement that changes something where only reading is allowed.
    #[error(
        "statement {statement} changes something; send it as `POST /sql/{{key}}` without `read`"
    )]
    NotRead {
        /// Which of the request's statements, from 1.
        statement: usize,
    },
    /// The answer would be larger than the limit.
    #[error(
        "the answer of statement {statement} has more than {rows} rows or {bytes} bytes; use LIMIT, \
         or ask for fewer columns"
    )]
    AnswerLarge {
        /// Which of the request's statements, from 1.
        statement: usize,
        /// Most rows.
        rows: usize,
        /// Most bytes.
        bytes: usize,
    },
    /// A statement took too long and was interrupted.
    #[error("statement {statement} was interrupted after {after:?}; make it do less at a time")]
    Slow {
        /// Which of the request's statements, from 1.
        statement: usize,
        /// The time the request was given.
        after: Duration,
    },
    /// The disk, or the file, has no room left.
    #[error("{partition} cannot grow: the disk is full; free some space and send it again")]
    Full {
        /// The partition.
        partition: PartitionId,
    },
    /// This node may not act on the partition.
    #[error(transparent)]
    NotOwner(#[from] NotOwner),
    /// The file has been written at another grant than the caller's.
    #[error(transparent)]
    Fenced(#[from] Fenced),
    /// SQLite failed in a way that concerns this request alone.
    #[error("{partition} cannot be read: {source}")]
    Read {
        /// The partition.
        partition: PartitionId,
        /// What SQLite says.
        source: rusqlite::Error,
    },
}

/// A file that has seen a later grant than the one it is shown. It is unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the file of {} has seen epoch {epoch} of incarnation {incarnation}, and the token is {got}; \
     look up who the primary is", got.partition
)]
pub struct Fenced {
    /// The token shown.
    pub got: FencingToken,
    /// The incarnation the file has seen.
    pub incarnation: Incarnation,
    /// The highest epoch the file has seen in it.
    pub epoch: Epoch,
}

/// A file that cannot be used at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// SQLite cannot open it, or finds it damaged.
    #[error("{}: {source}", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// The system refuses.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is another partition's, or of another format.
    #[error(
        "{} says that it is the file of partition {found} in format {format}, not that of {wanted} \
         in format 1; put the right file there",
        path.display()
    )]
    Other {
        /// The file.
        path: PathBuf,
        /// The partition it names.
        found: i64,
        /// Its format.
        format: i64,
        /// The partition it was opened for.
        wanted: PartitionId,
    },
    /// It has seen a later grant.
    #[error(transparent)]
    Fenced(#[from] Fenced),
    /// What was received is not what was sent.
    #[error("{}: {what} does not match its checksum; it is sent again", path.display())]
    Checksum {
        /// The file.
        path: PathBuf,
        /// What was damaged.
        what: &'static str,
    },
    /// Records that do not follow what is there.
    #[error("{}: record {got} does not follow {have}; the copy is made anew", path.display())]
    Gap {
        /// The file.
        path: PathBuf,
        /// Number of the last record there.
        have: u64,
        /// Number of the record that came.
        got: u64,
    },
}

impl FileError {
    pub(crate) fn sqlite(path: &std::path::Path) -> impl Fn(rusqlite::Error) -> Self {
        move |source| Self::Sqlite {
            path: path.to_owned(),
            source,
        }
    }

    pub(crate) fn io(path: &std::path::Path) -> impl Fn(io::Error) -> Self {
        move |source| Self::Io {
            path: path.to_owned(),
            source,
        }
    }

    /// Whether the disk is full, which loses nothing.
    pub(crate) fn is_full(&self) -> bool {
        match self {
            Self::Io { source, .. } => source.kind() == io::ErrorKind::StorageFull,
            Self::Sqlite { source, .. } => is_full(source),
            _ => false,
        }
    }
}

pub(crate) fn is_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DiskFull)
}

/// Whether what is on the disk may differ from what was written. After a failed sync nobody can
/// say, and asking again would be answered as if all were well.
pub(crate) fn is_fatal(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::SystemIoFailure
                | ErrorCode::DatabaseCorrupt
                | ErrorCode::NotADatabase
                | ErrorCode::FileLockingProtocolFailed
        )
    )
}

/// Ends the process: what was acknowledged is on the disk, and what the disk has of the rest is not
/// known. The next start reads what there is.
pub(crate) fn die(path: &std::path::Path, doing: &str, why: &dyn std::fmt::Display) -> ! {
    tracing::error!(file = %path.display(), "{doing} failed, so the process ends: {why}");
    std::process::exit(EXIT_STORE)
}

/// The exit code of a process whose disk failed.
pub(crate) const EXIT_STORE: i32 = 74;
