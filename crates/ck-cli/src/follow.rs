//! Following the table for as long as it takes: from server to server, each from where the one before
//! was left.

use std::time::Duration;

use ck_api::{Code, TableDelta};
use ck_client::{Client, ClientError, Watch, WatchEvent};
use tokio::time::Instant;

/// First pause before the servers are asked again; the next ones double.
const PAUSE_MIN: Duration = Duration::from_millis(100);

/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// The events, in order, with what breaks them off as errors in between.
pub(crate) struct Follower {
    client: Client,
    /// What was given, until something is known.
    from: Option<String>,
    /// Incarnation and version that are known.
    place: Option<(u64, u64)>,
    watch: Option<Watch>,
    pause: Duration,
    again_at: Instant,
}

impl Follower {
    /// Follows from a version on, or from the whole table.
    pub(crate) fn new(client: Client, from: Option<String>) -> Self {
        Self {
            client,
            from,
            place: None,
            watch: None,
            pause: PAUSE_MIN,
            again_at: Instant::now(),
        }
    }

    /// The server that is followed now.
    pub(crate) fn server(&self) -> Option<&str> {
        self.watch.as_ref().map(Watch::server)
    }

    /// The next event. After an error it begins anew, from what is known, when it is called again and
    /// a pause is over. May be dropped while it waits.
    pub(crate) async fn next(&mut self) -> Result<WatchEvent, ClientError> {
        loop {
            let event = self.one().await.inspect_err(|_| self.broke_off())?;
            let place = match &event {
                WatchEvent::Table(table) => (table.incarnation, table.version),
                WatchEvent::Delta(delta) if !self.fits(delta) => {
                    // What is missing is in the whole table.
                    (self.place, self.from) = (None, None);
                    self.broke_off();
                    continue;
                }
                WatchEvent::Delta(delta) => (delta.incarnation, delta.version),
                _ => return Ok(event),
            };
            // The whole table of a server that is behind the one before tells what is over.
            if self.place.is_none_or(|known| known <= place) {
                self.place = Some(place);
                self.pause = PAUSE_MIN;
                return Ok(event);
            }
        }
    }

    async fn one(&mut self) -> Result<WatchEvent, ClientError> {
        if let Some(watch) = &mut self.watch {
            return watch.next().await;
        }
        tokio::time::sleep_until(self.again_at).await;
        let known = self
            .place
            .map(|(incarnation, version)| format!("{incarnation}.{version}"));
        let from = known.as_deref().or(self.from.as_deref());
        let watch = match self.client.watch(from).await {
            Err(error) if self.place.is_some() && is_compacted(&error) => {
                self.client.watch(None).await
            }
            watch => watch,
        };
        self.watch.insert(watch?).next().await
    }

    /// Whether nothing lies between what is known and a change.
    fn fits(&self, delta: &TableDelta) -> bool {
        self.place.is_none_or(|(incarnation, version)| {
            delta.incarnation == incarnation && delta.from <= version
        })
    }

    fn broke_off(&mut self) {
        self.watch = None;
        self.again_at = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
    }
}

fn is_compacted(error: &ClientError) -> bool {
    let code = error.problem().and_then(ck_api::Problem::known_code);
    code == Some(Code::Compacted)
}
