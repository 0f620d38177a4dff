//! Following one server after the other: the table once, then what changes of it.

mod open;

use std::sync::Weak;
use std::time::Duration;

use ck_api::table::event;
use ck_api::{Heartbeat, Lifecycle, Problem, TableAnswer, TableDelta};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::Inner;
use super::table::{NoTable, RouteTable};
use crate::ClientError;
use crate::events::{Event, Events, Lost};

/// First pause before the next server is followed; the next ones double.
const PAUSE_MIN: Duration = Duration::from_millis(50);

/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// A stream that lasted as long begins the pauses anew.
const LASTED: Duration = Duration::from_secs(2);

/// Why a server is not followed any more.
#[derive(Debug, thiserror::Error)]
enum Left {
    #[error("it gave no answer: {reason}")]
    NoAnswer { reason: String },
    #[error("it answers {status}: {text}")]
    Status { status: u16, text: String },
    #[error("it has no /v1/watch")]
    NoWatch,
    #[error("the changes since are not kept any more")]
    Compacted,
    #[error("it answers {kind:?} instead of events")]
    NoEvents { kind: String },
    #[error("{0}")]
    Refused(#[from] ClientError),
    #[error("{0}")]
    Lost(#[from] Lost),
    #[error("its event {name:?} cannot be read: {reason}")]
    Malformed { name: String, reason: String },
    #[error("{0}")]
    NoTable(#[from] NoTable),
    #[error("a change, and no table is known")]
    Unknown,
    /// What was undone between the two is in none of its changes.
    #[error("a change from {}.{}, past {}.{} that another server has told of", .told.0, .told.1, .known.0, .known.1)]
    Skipped { told: (u64, u64), known: (u64, u64) },
    #[error("it gave up on this reader: {detail}")]
    Dropped { detail: String },
    #[error("it is at {}.{}, behind {}.{}", .at.0, .at.1, .newest.0, .newest.1)]
    Behind { at: (u64, u64), newest: (u64, u64) },
    #[error("the router is gone")]
    Over,
}

impl Left {
    /// Whether the same server has what is missing: the whole table.
    const fn wants_whole(&self) -> bool {
        matches!(
            self,
            Self::Compacted
                | Self::Unknown
                | Self::Skipped { .. }
                | Self::NoTable(NoTable::Gap { .. })
        )
    }
}

/// Whose turn it is.
struct Course {
    at: usize,
    failures: u32,
    /// Whether the whole table is asked for, though one is known.
    whole: bool,
}

/// Follows servers until the router is gone.
pub(super) async fn follow(router: Weak<Inner>) {
    let Some(inner) = router.upgrade() else {
        return;
    };
    // Nobody comes first, so that many routers spread over the servers.
    let mut course = Course {
        at: inner.pace.draw() as usize,
        failures: 0,
        whole: false,
    };
    // The first table is asked for by whoever keeps it; what follows resumes there.
    let _ = inner.refresh().await;
    drop(inner);
    loop {
        let Some(inner) = router.upgrade() else {
            return;
        };
        let servers = inner.known_servers();
        let server = servers[course.at % servers.len()].clone();
        let began = Instant::now();
        let opened = inner.open(&server, course.whole).await;
        if opened.is_ok() {
            inner.heard.told(&server, false);
        }
        drop(inner);
        let left = match opened {
            Ok((events, from)) => listen(&router, &server, events, from).await,
            Err(left) => left,
        };
        let Some(inner) = router.upgrade() else {
            return;
        };
        inner.heard.left(format!("{server}: {left}"));
        course.turn(&left, began.elapsed());
        let pause = inner.pace.jittered(course.pause());
        drop(inner);
        tokio::time::sleep(pause).await;
    }
}

impl Course {
    /// Who is next, after that.
    fn turn(&mut self, left: &Left, lasted: Duration) {
        if lasted >= LASTED {
            self.failures = 0;
        }
        self.failures = self.failures.saturating_add(1);
        // A whole table that leaves a gap is no better the next time.
        let stay = left.wants_whole() && !self.whole;
        self.whole = stay;
        if !stay {
            self.at = self.at.wrapping_add(1);
        }
    }

    fn pause(&self) -> Duration {
        let doubled = PAUSE_MIN.saturating_mul(1 << (self.failures.saturating_sub(1)).min(16));
        doubled.min(PAUSE_MAX)
    }
}

/// Takes in what a server tells from there on, until it is of no use any more.
async fn listen(router: &Weak<Inner>, server: &str, mut events: Events, from: (u64, u64)) -> Left {
    let mut stream = Stream {
        at: from,
        told: from,
        behind: None,
    };
    loop {
        // The router may be dropped meanwhile: nothing here keeps it.
        let event = match events.next().await {
            Ok(event) => event,
            Err(lost) => return lost.into(),
        };
        let Some(inner) = router.upgrade() else {
            return Left::Over;
        };
        if let Err(left) = stream.take(&inner, server, &event) {
            return left;
        }
    }
}

/// How far a server has come.
struct Stream {
    /// Incarnation and version it has named last. Heartbeats name the version alone.
    at: (u64, u64),
    /// The newest that the changes so far lead to.
    told: (u64, u64),
    /// What others have said that it has not come to, and since when it has not.
    behind: Option<(Instant, (u64, u64))>,
}

impl Stream {
    fn take(&mut self, inner: &Inner, server: &str, event: &Event) -> Result<(), Left> {
        match &*event.name {
            event::TABLE => {
                let table: TableAnswer = read(event)?;
                self.at = (table.incarnation, table.version);
                match RouteTable::whole(&table) {
                    Ok(table) => drop(inner.install(table)),
                    Err(NoTable::Empty) => {}
                    Err(refused) => return Err(refused.into()),
                }
            }
            event::DELTA => {
                let delta: TableDelta = read(event)?;
                inner.change(&delta, self.told)?;
                self.at = (delta.incarnation, delta.version);
            }
            event::HEARTBEAT => {
                let Heartbeat { version, .. } = read(event)?;
                self.at.1 = version;
                inner.advance(self.at);
            }
            event::LIFECYCLE => {
                let Lifecycle { version, .. } = read(event)?;
                self.at.1 = self.at.1.max(version);
            }
            event::DROPPED => {
                let problem: Problem = read(event)?;
                return Err(Left::Dropped {
                    detail: problem.detail,
                });
            }
            // Of a server that knows more than this router.
            _ => return Ok(()),
        }
        self.told = self.told.max(self.at);
        let age = inner.age();
        inner.heard.told(server, self.at == age && age != (0, 0));
        self.look(inner, age)
    }

    /// A server that is cut off from the others tells nothing new, for as long as one listens.
    fn look(&mut self, inner: &Inner, age: (u64, u64)) -> Result<(), Left> {
        let newest = inner.newest_named().max(age);
        if self.at >= newest {
            self.behind = None;
            return Ok(());
        }
        let (since, target) = match self.behind {
            Some((since, target)) if self.at < target => (since, target),
            _ => *self.behind.insert((Instant::now(), newest)),
        };
        if since.elapsed() < inner.config.silence {
            return Ok(());
        }
        // Whoever named it may have been wrong.
        inner.forget_named(age);
        Err(Left::Behind {
            at: self.at,
            newest: target,
        })
    }
}

fn read<T: DeserializeOwned>(event: &Event) -> Result<T, Left> {
    serde_json::from_slice(&event.data).map_err(|error| Left::Malformed {
        name: event.name.clone(),
        reason: error.to_string(),
    })
}

impl Inner {
    /// Takes a change in, when the table it begins at is the one that is known. `told` is what its server
    /// told of before.
    fn change(&self, delta: &TableDelta, told: (u64, u64)) -> Result<(), Left> {
        let writing = self.writing();
        let before = self.current.load();
        let before = before.as_ref().ok_or(Left::Unknown)?;
        if let Some(table) = before.changed(delta)? {
            let known = before.age();
            if known > told {
                return Err(Left::Skipped { told, known });
            }
            self.publish(&writing, table);
            self.counters.changes.add();
        }
        Ok(())
    }

    /// Nothing has changed up to there: the table is that one, too.
    fn advance(&self, at: (u64, u64)) {
        let writing = self.writing();
        let before = self.current.load();
        let before = before.as_ref().filter(|table| table.age().0 == at.0);
        if let Some(table) = before.and_then(|table| table.at(at.1)) {
            self.publish(&writing, table);
        }
    }
}
