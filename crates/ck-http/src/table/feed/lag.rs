//! How far the watchers of a list are behind it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Cursor, Feed, Item, What};

/// How far the last of all watchers is behind, in each measure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Lag {
    /// Versions of the table between what it was sent and the newest.
    pub(crate) versions: u64,
    /// Since when it could have been sent more.
    pub(crate) time: Duration,
}

/// Where every watcher stands, by its number.
#[derive(Debug, Default)]
pub(super) struct Standings(Mutex<(u64, BTreeMap<u64, Cursor>)>);

impl Standings {
    fn all(&self) -> MutexGuard<'_, (u64, BTreeMap<u64, Cursor>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of one watcher among them, until it is dropped.
pub(crate) struct Standing {
    number: u64,
    all: Arc<Standings>,
}

impl Standing {
    /// It has been sent what comes before `cursor`.
    pub(crate) fn moved(&self, cursor: Cursor) {
        self.all.all().1.insert(self.number, cursor);
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        self.all.all().1.remove(&self.number);
    }
}

impl Feed {
    /// Takes note of one more watcher.
    pub(crate) fn note(&self, cursor: Cursor) -> Standing {
        let mut all = self.standings.all();
        let number = all.0;
        all.0 += 1;
        all.1.insert(number, cursor);
        let all = Arc::clone(&self.standings);
        Standing { number, all }
    }

    /// How far watchers are behind; nothing where all of them have everything.
    pub(crate) fn lag(&self) -> Lag {
        let cursors: Vec<Cursor> = self.standings.all().1.values().copied().collect();
        let kept = self.kept();
        let now = kept.now.version;
        let mut lag = Lag::default();
        for cursor in cursors {
            let skip = cursor.next.saturating_sub(kept.first);
            let skip = usize::try_from(skip).unwrap_or(usize::MAX);
            let waits =
                |item: &&Item| !matches!(item.what, What::Lifecycle) && item.place > cursor.floor;
            let Some(oldest) = kept.items.iter().skip(skip).find(waits) else {
                continue;
            };
            lag.versions = lag.versions.max(now.saturating_sub(cursor.floor.version));
            lag.time = lag.time.max(oldest.told.max(cursor.began).elapsed());
        }
        lag
    }
}

#[cfg(test)]
mod tests {
    use ck_api::TableAnswer;

    use std::time::Instant;

    use super::super::Place;
    use super::*;

    fn at(version: u64) -> TableAnswer {
        TableAnswer {
            incarnation: 1,
            version,
            replication_factor: u32::try_from(version).unwrap(),
            ..TableAnswer::default()
        }
    }

    fn moves(feed: &Feed, standing: &Standing, cursor: &mut Cursor) {
        feed.take(cursor);
        standing.moved(*cursor);
    }

    #[test]
    fn the_last_of_all_watchers_is_told_of() {
        let feed = Feed::new(at(1), 8, 1 << 20);
        assert_eq!(feed.lag(), Lag::default(), "nobody watches");
        let (mut fast, _) = feed.begin(None).unwrap();
        let (slow, _) = feed.begin(None).unwrap();
        let standings = [feed.note(fast), feed.note(slow)];
        assert_eq!(feed.lag(), Lag::default(), "nothing has changed");
        feed.record(at(2));
        let told = Instant::now();
        feed.record(at(3));
        assert_eq!(feed.lag().versions, 2);
        assert!(feed.lag().time >= told.elapsed());
        moves(&feed, &standings[0], &mut fast);
        assert_eq!(feed.lag().versions, 2, "the other one is still behind");
        let [_, second] = standings;
        drop(second);
        assert_eq!(feed.lag(), Lag::default(), "it has gone");
        let from = Place {
            incarnation: 1,
            version: 2,
        };
        let (back, _) = feed.begin(Some(from)).unwrap();
        let came = Instant::now();
        let _standing = feed.note(back);
        assert_eq!(feed.lag().versions, 1, "it came back from where it was");
        assert!(feed.lag().time <= came.elapsed() + (came - back.began));
    }

    #[test]
    fn what_is_not_kept_any_more_counts_as_well() {
        let feed = Feed::new(at(1), 2, 1 << 20);
        let (cursor, _) = feed.begin(None).unwrap();
        let _standing = feed.note(cursor);
        for version in 2..=9 {
            feed.record(at(version));
        }
        assert_eq!(feed.lag().versions, 8);
    }
}
