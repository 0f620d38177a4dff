//! One caller that watches the table.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use ck_api::table::event as name;
use ck_api::{Code, Heartbeat, Problem};
use tokio::sync::watch;

use super::feed::{Cursor, Standing, Taken};
use super::{Feed, event};
use crate::access::Replaced;
use crate::reply::Refused;
use crate::surface::Core;

/// Longest silence in a stream.
const HEARTBEAT: Duration = Duration::from_secs(4);

/// First bytes of a stream: a comment, and how long to wait before coming back.
const OPENING: Bytes = Bytes::from_static(b": the table and what changes of it\nretry: 1000\n\n");

/// A place among the watchers, given back when dropped.
pub(crate) struct Seat(Arc<Core>);

impl Seat {
    /// Takes one, unless as many are taken as may.
    pub(crate) fn take(core: &Arc<Core>) -> Result<Self, Refused> {
        let most = core.config.limits.watchers_max;
        let taken = core.counters.watchers.fetch_add(1, Ordering::Relaxed);
        let seat = Self(Arc::clone(core));
        if taken < most {
            return Ok(seat);
        }
        let detail = format!(
            "{most} callers watch the table of this node already; watch at another node, or ask \
             from time to time"
        );
        Err(Problem::new(Code::TooManyWatchers, detail)
            .with_retry_after_ms(1000)
            .into())
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.counters.watchers.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The stream of one caller.
pub(crate) struct Watcher {
    seat: Seat,
    feed: Arc<Feed>,
    cursor: Cursor,
    standing: Standing,
    /// Events that were taken and not sent yet.
    ready: VecDeque<Bytes>,
    news: watch::Receiver<u64>,
    closing: watch::Receiver<bool>,
    tokens: Replaced,
    heartbeat: Duration,
    ended: bool,
}

impl Watcher {
    /// A stream from `cursor` on, after `first`, until the tokens are replaced.
    pub(crate) fn new(
        (seat, tokens): (Seat, Replaced),
        feed: Arc<Feed>,
        (cursor, first): (Cursor, Option<Bytes>),
    ) -> Self {
        let core = &seat.0;
        // A connection at rest is closed: the stream is heard of three times before.
        let idle = core.config.limits.idle_timeout / 3;
        Self {
            heartbeat: HEARTBEAT.min(idle).max(Duration::from_millis(1)),
            closing: core.closing.subscribe(),
            news: feed.news(),
            ready: std::iter::once(OPENING).chain(first).collect(),
            ended: false,
            standing: feed.note(cursor),
            tokens,
            seat,
            feed,
            cursor,
        }
    }

    /// The next bytes to send; none at the end.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        loop {
            if self.tokens.is_so() {
                return None;
            }
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.ended || *self.closing.borrow() {
                return None;
            }
            // Whatever was taken before has been handed to the connection, which asks for more.
            self.standing.moved(self.cursor);
            match self.feed.take(&mut self.cursor) {
                Taken::Events(events) => {
                    self.seat.0.counters.watch_delayed(self.cursor.delay);
                    self.ready.extend(events);
                }
                Taken::Behind => return Some(self.dropped()),
                Taken::Nothing => {
                    self.standing.moved(self.cursor);
                    let is_quiet = tokio::select! {
                        biased;
                        () = closed(&mut self.closing) => return None,
                        () = self.tokens.wait() => return None,
                        news = self.news.changed() => {
                            if news.is_err() {
                                return None;
                            }
                            false
                        }
                        () = tokio::time::sleep(self.heartbeat) => true,
                    };
                    if is_quiet {
                        return Some(self.alive());
                    }
                }
            }
        }
    }

    fn alive(&self) -> Bytes {
        let place = self.cursor.floor;
        // A reader that has seen more elsewhere is not told that this node has it, too.
        let version = place.version.min(self.feed.place().version);
        event(name::HEARTBEAT, Some(place), &Heartbeat { version })
    }

    fn dropped(&mut self) -> Bytes {
        self.ended = true;
        self.seat
            .0
            .counters
            .watchers_dropped
            .fetch_add(1, Ordering::Relaxed);
        let detail = "more has changed than is kept for a reader that is behind; watch anew without \
                      `from`";
        let problem = Problem::new(Code::TooSlow, detail).with_retry_after_ms(0);
        event(name::DROPPED, None, &problem)
    }
}

/// Waits until everything is closed. A surface that is gone closes its streams as well.
async fn closed(closing: &mut watch::Receiver<bool>) {
    let _ = closing.wait_for(|closing| *closing).await;
}
