//! Transactions.

use std::sync::atomic::Ordering;

use ck_node::{FencingToken, Ownership, Proof};

use super::error::{is_fatal, is_full};
use super::open::{LOG_PAGES_MAX, write_back_in_passing};
use super::policy::Mode;
use super::read::{Failed, refusal, run};
use super::{
    Answer, Fenced, Limits, Mark, PartitionFile, Record, Refused, Seen, Statement, Writer, die,
};

/// What a transaction came to. It is on the disk.
#[derive(Debug)]
pub struct Done {
    /// One answer a statement.
    pub answers: Vec<Answer>,
    /// Where the file stands.
    pub mark: Mark,
    /// The transaction's pages, if they were asked for and something was written.
    pub record: Option<Record>,
}

/// Whether the pages of a transaction are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capture {
    /// A copy is being made.
    Pages,
    /// Nobody needs them.
    Nothing,
}

impl PartitionFile {
    /// Runs statements as one transaction. `Ok` means that it is on the disk, `Err` that nothing of
    /// it was applied. Where neither can be said the process ends.
    ///
    /// # Errors
    /// [`Refused`]; all is rolled back.
    pub fn transact(
        &self,
        own: &Ownership,
        statements: &[Statement],
        limits: &Limits,
        capture: Capture,
    ) -> Result<Done, Refused> {
        let mut answers = Vec::with_capacity(statements.len());
        let mut done = self.change(own, capture, |writer| {
            let entered = writer.guard.enter(Mode::Write, limits.time);
            for (at, statement) in statements.iter().enumerate() {
                let answer = run(&writer.connection, at, statement, limits, false);
                answers.push(answer.map_err(|failed| self.why(failed, limits))?);
            }
            drop(entered);
            Ok(())
        })?;
        done.answers = answers;
        Ok(done)
    }

    /// Runs `change` as one transaction, under a proof from before its commit until it is on the
    /// disk.
    pub(super) fn change(
        &self,
        own: &Ownership,
        capture: Capture,
        change: impl FnOnce(&Writer) -> Result<(), Refused>,
    ) -> Result<Done, Refused> {
        let mut writer = self.writer.lock();
        // Nothing is begun that would be refused in the end.
        drop(own.check()?);
        self.begin(&writer)?;
        let ran = change(&writer);
        // Asked again: what the statements did took its time.
        let proof = ran.and_then(|()| Ok(own.check()?));
        let committed = proof.and_then(|proof| self.commit(&mut writer, &proof, capture));
        let record = committed.inspect_err(|_| self.roll_back(&writer))?;
        Ok(Done {
            answers: Vec::new(),
            mark: writer.mark,
            record,
        })
    }

    /// Notes a grant in the file, durably: every older token is refused from now on. Idempotent.
    ///
    /// # Errors
    /// [`Refused::Fenced`] when the file has seen a later one; [`Refused::Full`].
    pub fn raise(
        &self,
        token: FencingToken,
        capture: Capture,
    ) -> Result<(Mark, Option<Record>), Refused> {
        let mut writer = self.writer.lock();
        writer.fence.admit(token)?;
        if writer.fence == Seen::of(token) {
            return Ok((writer.mark, None));
        }
        self.begin(&writer)?;
        let raised = writer.connection.execute(
            "UPDATE ck_meta SET fence_incarnation = ?1, fence_epoch = ?2",
            [token.incarnation.0, token.epoch.0],
        );
        let raised = raised.map_err(|error| self.ours_failed(&error));
        let record = raised
            .and_then(|_| self.finish(&mut writer, token, capture))
            .inspect_err(|_| self.roll_back(&writer))?;
        writer.fence = Seen::of(token);
        Ok((writer.mark, record))
    }

    fn begin(&self, writer: &Writer) -> Result<(), Refused> {
        let begun = writer.connection.execute_batch("BEGIN IMMEDIATE");
        begun.map_err(|error| self.ours_failed(&error))
    }

    /// Commits what was begun. This is the write that the proof is for.
    fn commit(
        &self,
        writer: &mut Writer,
        proof: &Proof<'_>,
        capture: Capture,
    ) -> Result<Option<Record>, Refused> {
        let token = proof.token();
        let seen = writer.connection.query_row(
            "SELECT fence_incarnation, fence_epoch FROM ck_meta",
            [],
            |row| Ok((row.get::<_, u64>(0)?, row.get::<_, u64>(1)?)),
        );
        let (incarnation, epoch) = seen.map_err(|error| self.ours_failed(&error))?;
        if (incarnation, epoch) != (token.incarnation.0, token.epoch.0) {
            return Err(Refused::Fenced(Fenced {
                got: token,
                incarnation: ck_node::Incarnation(incarnation),
                epoch: ck_node::Epoch(epoch),
            }));
        }
        self.finish(writer, token, capture)
    }

    /// Numbers the transaction, commits it, and sees what it wrote.
    fn finish(
        &self,
        writer: &mut Writer,
        token: FencingToken,
        capture: Capture,
    ) -> Result<Option<Record>, Refused> {
        let mark = writer.mark.next(token);
        let numbered = writer.connection.execute(
            "UPDATE ck_meta SET incarnation = ?1, epoch = ?2, seq = ?3",
            [mark.incarnation.0, mark.epoch.0, mark.seq],
        );
        numbered.map_err(|error| self.ours_failed(&error))?;
        if let Err(error) = writer.connection.execute_batch("COMMIT") {
            // A constraint that was deferred, or a full disk: SQLite has written no commit.
            if is_full(&error) {
                return Err(self.full());
            }
            if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) {
                return Err(refusal(&error, 1, &Limits::default()));
            }
            die(&self.path, "a commit", &error);
        }
        writer.mark = mark;
        let frames = writer.frames.load(Ordering::SeqCst);
        let page_bytes = (capture == Capture::Pages).then_some(writer.page_bytes);
        let written = match writer.reached.advance(&writer.log, frames, page_bytes) {
            Ok(written) => written,
            Err(error) => die(&self.path, "reading back what was committed", &error),
        };
        if frames > LOG_PAGES_MAX
            && let Err(error) = write_back_in_passing(&writer.connection)
            && !is_full(&error)
        {
            die(&self.path, "writing the log back", &error);
        }
        Ok(written.map(|(file_pages, pages)| Record {
            mark,
            file_pages,
            page_bytes: writer.page_bytes,
            pages,
        }))
    }

    pub(super) fn roll_back(&self, writer: &Writer) {
        if !writer.connection.is_autocommit()
            && let Err(error) = writer.connection.execute_batch("ROLLBACK")
        {
            // Begun and not ended: the next transaction would be part of this one.
            die(&self.path, "a rollback", &error);
        }
    }

    /// What it means that a client's statement failed.
    pub(super) fn why(&self, failed: Failed, limits: &Limits) -> Refused {
        match failed {
            Failed::Refused(refused) => refused,
            Failed::Sqlite { error, .. } if is_full(&error) || is_fatal(&error) => {
                self.ours_failed(&error)
            }
            Failed::Sqlite { statement, error } => refusal(&error, statement, limits),
        }
    }

    /// What it means that a statement of ours failed, which has no reason of its own to.
    fn ours_failed(&self, error: &rusqlite::Error) -> Refused {
        if is_full(error) {
            return self.full();
        }
        die(&self.path, "writing", error);
    }

    const fn full(&self) -> Refused {
        Refused::Full {
            partition: self.partition,
        }
    }
}
