//! Following the table of one server: `GET /watch` as it is.

use std::sync::atomic::Ordering;
use std::time::Duration;

use ck_api::table::event;
use ck_api::{Heartbeat, Lifecycle, Problem, TableAnswer, TableDelta};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::attempt::{Call, Failure, build, head, read, sort_out};
use crate::client::final_error;
use crate::encode::Query;
use crate::events::{Event, Events, Lost};
use crate::{Client, ClientError};

/// A server says something every four seconds, or is not there any more.
const SILENCE: Duration = Duration::from_secs(12);

/// What a server tells whoever follows its table.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum WatchEvent {
    /// The whole table.
    Table(TableAnswer),
    /// What changed of it.
    Delta(TableDelta),
    /// Something happened, for people.
    Lifecycle(Lifecycle),
    /// Nothing happened, and the server is there.
    Heartbeat(Heartbeat),
    /// An event that this version does not know.
    Other {
        /// Its name.
        name: String,
    },
}

/// The events of one server, made by [`Client::watch`]. Whoever wants more of them after an error asks
/// anew, from the version that is known.
pub struct Watch {
    server: String,
    events: Events,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { server, .. } = self;
        f.debug_struct("Watch")
            .field("server", server)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// What changes of the table from a version on: `31`, or `1.31` with its incarnation. The whole
    /// table first without one. The first server that answers is followed; each has its share of the
    /// client's time to begin.
    ///
    /// # Errors
    /// [`ClientError`]; among its problems are `compacted`, where the changes since are not kept any
    /// more: ask anew without a version; and `behind`, where that version has not come to the server.
    pub async fn watch(&self, from: Option<&str>) -> Result<Watch, ClientError> {
        let inner = &*self.inner;
        let call = Call::get(Query::default().with_some("from", from).on("/v1/watch"));
        let deadline = Instant::now() + inner.timeout;
        let count = inner.servers.len();
        let first = inner.preferred.load(Ordering::Relaxed);
        let mut tried = Vec::new();
        let mut last = None;
        for step in 0..count {
            let at = (first + step) % count;
            let server = &inner.servers[at];
            let share = u32::try_from(count - step).unwrap_or(u32::MAX);
            let time = deadline.saturating_duration_since(Instant::now()) / share;
            let begun = tokio::time::timeout(time, self.follow(server, &call)).await;
            let failure = match begun.unwrap_or(Err(Failure::TimedOut)) {
                Ok(watch) => {
                    inner.preferred.store(at, Ordering::Relaxed);
                    return Ok(watch);
                }
                Err(failure) => failure,
            };
            match failure {
                Failure::NotConnected(reason) => tried.push((server.clone(), reason)),
                // Another one may be as far, or have a place.
                Failure::Problem(problem) if problem.status != 503 => return Err((*problem).into()),
                failure => last = Some(final_error(failure, server, inner.timeout, false)),
            }
        }
        Err(last.unwrap_or(ClientError::Unreachable { tried }))
    }

    async fn follow(&self, server: &str, call: &Call) -> Result<Watch, Failure> {
        let inner = &*self.inner;
        let request = build(inner, server, call)?;
        let answer = head(inner, request).await?;
        if !answer.status().is_success() {
            // What is no problem is malformed, so there is always a failure.
            let answer = read(inner, server, answer).await?;
            let status = answer.status;
            let failure = sort_out(answer, call).err();
            return Err(failure.unwrap_or_else(|| Failure::Malformed(status.to_string())));
        }
        Ok(Watch {
            server: server.to_owned(),
            events: Events::new(answer.into_body(), inner.answer_bytes_max, SILENCE),
        })
    }
}

impl Watch {
    /// The server that is followed, as `host:port`.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The next event. A server that has nothing to tell says so every four seconds; one that is
    /// silent for twelve counts as gone. Nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// [`ClientError::Broken`] when the stream has ended, [`ClientError::TimedOut`] when the server is
    /// silent, a problem `too-slow` when it gave up on this reader, [`ClientError::Malformed`] when an
    /// event is none. Nothing comes after either.
    pub async fn next(&mut self) -> Result<WatchEvent, ClientError> {
        let server = || self.server.clone();
        let Event { name, data } = self.events.next().await.map_err(|lost| match lost {
            Lost::Silent(after) => ClientError::TimedOut {
                server: server(),
                after,
                change: false,
            },
            Lost::TooLarge { most } => ClientError::Malformed {
                server: server(),
                reason: format!(
                    "an event is longer than {most} bytes (`ClientConfig::answer_bytes_max`)"
                ),
            },
            Lost::Ended | Lost::Broken { .. } => ClientError::Broken {
                server: server(),
                reason: lost.to_string(),
                change: false,
            },
        })?;
        match name.as_str() {
            event::TABLE => self.read(&name, &data).map(WatchEvent::Table),
            event::DELTA => self.read(&name, &data).map(WatchEvent::Delta),
            event::LIFECYCLE => self.read(&name, &data).map(WatchEvent::Lifecycle),
            event::HEARTBEAT => self.read(&name, &data).map(WatchEvent::Heartbeat),
            event::DROPPED => {
                let problem: Problem = self.read(&name, &data)?;
                Err(problem.into())
            }
            _ => Ok(WatchEvent::Other { name }),
        }
    }

    fn read<T: DeserializeOwned>(&self, name: &str, data: &[u8]) -> Result<T, ClientError> {
        serde_json::from_slice(data).map_err(|error| ClientError::Malformed {
            server: self.server.clone(),
            reason: format!("event {name}: {error}"),
        })
    }
}
