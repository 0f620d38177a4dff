//! A history, written as it happens.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Instant;

use ck_sim::history::{Line, Operation};

/// Most lines that wait to be written; whoever has more waits as well.
const WAITING_MAX: usize = 1 << 16;

/// The clock of all times in a history: nanoseconds since it was made.
#[derive(Debug, Clone, Copy)]
pub struct Clock(Instant);

impl Default for Clock {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Clock {
    /// Now.
    #[must_use]
    pub fn now(self) -> u64 {
        self.of(Instant::now())
    }

    /// An instant; 0 where it is before the clock's beginning.
    #[must_use]
    pub fn of(self, instant: Instant) -> u64 {
        let since = instant.saturating_duration_since(self.0);
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }
}

/// Why a history is not whole.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecorderError {
    /// The file cannot be made.
    #[error("the history {path} cannot be made")]
    Create {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A line could not be written; what comes after is not written either.
    #[error("the history {path} could not be written to its end; free space and run again")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

enum Entry {
    End,
    Operation(Operation),
    Line(Line),
}

/// Writes the lines of a history from a thread of its own.
#[derive(Debug)]
pub struct Recorder {
    path: PathBuf,
    lines: SyncSender<Entry>,
    thread: JoinHandle<std::io::Result<u64>>,
}

/// Whom a client tells what it did.
#[derive(Clone, Debug)]
pub(crate) struct Told(SyncSender<Entry>);

impl Recorder {
    /// Makes the file, emptied if it is there.
    ///
    /// # Errors
    /// [`RecorderError::Create`] when it cannot be made.
    pub fn create(path: &Path) -> Result<Self, RecorderError> {
        let created = File::create(path);
        let file = created.map_err(|source| RecorderError::Create {
            path: path.to_owned(),
            source,
        })?;
        let (lines, waiting) = sync_channel(WAITING_MAX);
        let thread = std::thread::spawn(move || write(&waiting, BufWriter::new(file)));
        let path = path.to_owned();
        Ok(Self {
            path,
            lines,
            thread,
        })
    }

    /// Adds what was seen.
    pub fn line(&self, line: Line) {
        // The thread is gone only after an error, which `finish` tells.
        let _ = self.lines.send(Entry::Line(line));
    }

    pub(crate) fn told(&self) -> Told {
        Told(self.lines.clone())
    }

    /// Writes what waits, and tells how many lines there are. Whoever records from now on is not heard.
    ///
    /// # Errors
    /// [`RecorderError::Write`] when a line could not be written.
    ///
    /// # Panics
    /// When the writing thread did.
    pub fn finish(self) -> Result<u64, RecorderError> {
        // As above.
        let _ = self.lines.send(Entry::End);
        let written = self.thread.join().expect("writing does not panic");
        written.map_err(|source| RecorderError::Write {
            path: self.path,
            source,
        })
    }
}

impl Told {
    pub(crate) fn operation(&self, operation: Operation) {
        // As above.
        let _ = self.0.send(Entry::Operation(operation));
    }

    pub(crate) fn line(&self, line: Line) {
        let _ = self.0.send(Entry::Line(line));
    }
}

fn write(waiting: &Receiver<Entry>, mut file: impl Write) -> std::io::Result<u64> {
    let mut count = 0;
    for entry in waiting {
        match entry {
            Entry::End => break,
            Entry::Operation(operation) => serde_json::to_writer(&mut file, &operation)?,
            Entry::Line(line) => serde_json::to_writer(&mut file, &line)?,
        }
        file.write_all(b"\n")?;
        count += 1;
    }
    file.flush()?;
    Ok(count)
}
