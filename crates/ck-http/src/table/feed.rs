//! What changed, kept once for everybody: the newest changes as the bytes that are sent.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ck_api::table::event as name;
use ck_api::{Lifecycle, TableAnswer, TableDelta};
use tokio::sync::watch;

use super::event;
use lag::Standings;
pub(crate) use lag::{Lag, Standing};
pub(crate) use past::Past;
use past::advance;

mod lag;
mod past;

/// Events given out at a time, so that one reader does not hold the list for long.
const TAKEN_MAX: usize = 32;

/// Where a table stands among all there ever were. Ordered by age.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) incarnation: u64,
    pub(crate) version: u64,
}

impl Place {
    pub(crate) const fn of(table: &TableAnswer) -> Self {
        Self {
            incarnation: table.incarnation,
            version: table.version,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.incarnation, self.version)
    }
}

/// One event, and the change that it tells of.
struct Item {
    place: Place,
    what: What,
    event: Bytes,
    told: Instant,
}

enum What {
    /// The whole table, of a new incarnation.
    Table,
    /// What differs from the table at `since`. A reader that has one from in between, of another node
    /// that looked at another moment, is not told what was undone meanwhile.
    Delta {
        since: Place,
        delta: Arc<TableDelta>,
    },
    Lifecycle,
}

impl Item {
    /// Memory it takes, about: a change is kept as text and as data.
    const fn weight(&self) -> usize {
        match self.what {
            What::Delta { .. } => 2 * self.event.len(),
            _ => self.event.len(),
        }
    }

    const fn delta(&self) -> Option<&Arc<TableDelta>> {
        match &self.what {
            What::Delta { delta, .. } => Some(delta),
            What::Table | What::Lifecycle => None,
        }
    }
}

/// Where a reader of the list is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor {
    /// Number of the next event.
    next: u64,
    /// What the reader has; it is told nothing older.
    pub(crate) floor: Place,
    began: Instant,
    /// How long what it took last had been told before, or since the reader is there.
    pub(crate) delay: Duration,
}

impl Cursor {
    fn new(next: u64, floor: Place) -> Self {
        let (began, delay) = (Instant::now(), Duration::ZERO);
        Self {
            next,
            floor,
            began,
            delay,
        }
    }
}

/// What a reader finds.
pub(crate) enum Taken {
    /// The next events; never none.
    Events(Vec<Bytes>),
    /// Nothing new.
    Nothing,
    /// Events that it has not read are gone.
    Behind,
}

/// Why a table or a change of the past is not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It is not kept any more; the oldest that is.
    Compacted { oldest: Place },
    /// It has not come here yet; the newest that has.
    Ahead { newest: Place },
}

struct Kept {
    /// The table before the oldest change that is kept.
    base: Arc<TableAnswer>,
    now: Arc<TableAnswer>,
    /// `now` as an event, once somebody wanted it.
    whole: Option<Bytes>,
    /// Where the newest change that is told of leads to; `now` may be newer without differing.
    told: Place,
    items: VecDeque<Item>,
    /// Number of the oldest item.
    first: u64,
    weight: usize,
}

/// The list of changes of one node.
pub(crate) struct Feed {
    kept: Mutex<Kept>,
    events_max: usize,
    weight_max: usize,
    /// Number of the next event; raised with each.
    news: watch::Sender<u64>,
    /// Where the table stands; raised with each version, whether or not anything differs.
    place: watch::Sender<Place>,
    standings: Arc<Standings>,
}

impl Feed {
    /// A list that begins with this table, of so many events and about so many bytes at most.
    pub(crate) fn new(now: TableAnswer, events_max: usize, bytes_max: usize) -> Self {
        let place = Place::of(&now);
        Self {
            kept: Mutex::new(Kept {
                base: Arc::new(now.clone()),
                now: Arc::new(now),
                whole: None,
                told: place,
                items: VecDeque::new(),
                first: 0,
                weight: 0,
            }),
            events_max,
            weight_max: bytes_max,
            news: watch::Sender::new(0),
            place: watch::Sender::new(place),
            standings: Arc::default(),
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the table stands.
    pub(crate) fn place(&self) -> Place {
        *self.place.borrow()
    }

    /// Tells of each version.
    pub(crate) fn places(&self) -> watch::Receiver<Place> {
        self.place.subscribe()
    }

    /// Tells of each event.
    pub(crate) fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    /// Takes the newest table in. One that is no newer is left alone.
    pub(crate) fn record(&self, table: TableAnswer) {
        let place = Place::of(&table);
        let mut kept = self.kept();
        if place <= Place::of(&kept.now) {
            return;
        }
        let event = kept.change(&table);
        kept.now = Arc::new(table);
        kept.whole = None;
        if let Some(item) = event {
            kept.told = place;
            self.push(&mut kept, item);
        }
        drop(kept);
        self.place.send_replace(place);
    }

    /// Tells of something that happened, whose change has been recorded.
    pub(crate) fn tell(&self, happened: &Lifecycle) {
        let mut kept = self.kept();
        let place = Place {
            version: happened.version,
            ..Place::of(&kept.now)
        };
        let event = event(name::LIFECYCLE, None, happened);
        let (what, told) = (What::Lifecycle, Instant::now());
        self.push(
            &mut kept,
            Item {
                place,
                what,
                event,
                told,
            },
        );
    }

    fn push(&self, kept: &mut Kept, item: Item) {
        kept.weight += item.weight();
        kept.items.push_back(item);
        // The newest is kept whatever its size: without it everybody would be behind.
        while kept.items.len() > 1
            && (kept.items.len() > self.events_max || kept.weight > self.weight_max)
        {
            kept.forget();
        }
        self.news.send_replace(kept.end());
    }

    /// Where a new reader begins, and what it is sent first. `from` is what it has.
    pub(crate) fn begin(&self, from: Option<Place>) -> Result<(Cursor, Option<Bytes>), Refusal> {
        let mut kept = self.kept();
        let now = Place::of(&kept.now);
        let from = from.filter(|from| from.incarnation >= now.incarnation);
        let Some(from) = from else {
            let whole = kept.whole();
            return Ok((Cursor::new(kept.end(), now), Some(whole)));
        };
        if from.incarnation > now.incarnation {
            return Err(Refusal::Ahead { newest: now });
        }
        kept.is_kept(from)?;
        let newer = |item: &Item| item.place > from;
        let at = kept.items.iter().position(newer);
        let next = at.map_or(kept.end(), |at| kept.first + at as u64);
        Ok((Cursor::new(next, from), None))
    }

    /// The next events for a reader.
    pub(crate) fn take(&self, cursor: &mut Cursor) -> Taken {
        let mut kept = self.kept();
        let Some(skip) = cursor.next.checked_sub(kept.first) else {
            return Taken::Behind;
        };
        let mut skip = usize::try_from(skip).unwrap_or(usize::MAX);
        let (mut events, mut oldest) = (Vec::new(), None);
        while let Some(item) = kept.items.get(skip) {
            if events.len() >= TAKEN_MAX {
                break;
            }
            skip += 1;
            cursor.next += 1;
            let told_of = matches!(item.what, What::Lifecycle);
            if !told_of && item.place <= cursor.floor {
                continue;
            }
            oldest.get_or_insert(item.told);
            if matches!(item.what, What::Delta { since, .. } if since < cursor.floor) {
                cursor.floor = Place::of(&kept.now);
                events.push(kept.whole());
                continue;
            }
            cursor.floor = cursor.floor.max(item.place);
            events.push(item.event.clone());
        }
        if events.is_empty() {
            cursor.floor = cursor.floor.max(Place::of(&kept.now));
            return Taken::Nothing;
        }
        let began = cursor.began;
        cursor.delay = oldest.map_or(Duration::ZERO, |told| told.max(began).elapsed());
        Taken::Events(events)
    }

    /// The newest table that is kept and no newer than that place.
    pub(crate) fn at(&self, at: Place) -> Result<Past, Refusal> {
        let kept = self.kept();
        let newest = Place::of(&kept.now);
        if at > newest {
            return Err(Refusal::Ahead { newest });
        }
        kept.is_kept(at)?;
        if at >= kept.told {
            let place = if at == newest { newest } else { kept.told };
            return Ok(Past {
                from: Arc::clone(&kept.now),
                changes: Vec::new(),
                version: place.version,
            });
        }
        let until = kept.items.iter().filter(|item| item.place <= at);
        let changes: Vec<_> = until.filter_map(Item::delta).map(Arc::clone).collect();
        let last = changes.last().map(|delta| delta.version);
        Ok(Past {
            version: last.unwrap_or(kept.base.version),
            from: Arc::clone(&kept.base),
            changes,
        })
    }
}

impl Kept {
    /// Number of the next event.
    fn end(&self) -> u64 {
        self.first + self.items.len() as u64
    }

    /// What a new table changes, as an event; none when it is the next one and differs in its version alone.
    /// Where versions were skipped, a reader may have one at which something was what it is no more.
    fn change(&mut self, table: &TableAnswer) -> Option<Item> {
        let (place, told) = (Place::of(table), Instant::now());
        if table.incarnation != self.now.incarnation || table.rows.len() < self.now.rows.len() {
            // Another history: nothing of the former one leads here.
            self.first = self.end();
            self.items.clear();
            self.weight = 0;
            self.base = Arc::new(table.clone());
            let event = event(name::TABLE, Some(place), table);
            let what = What::Table;
            return Some(Item {
                place,
                what,
                event,
                told,
            });
        }
        let mut delta = TableDelta::between(&self.now, table);
        if delta.is_empty() && table.version == self.now.version + 1 {
            return None;
        }
        // From the last one that was told of: those in between differ in nothing.
        delta.from = self.told.version;
        let event = event(name::DELTA, Some(place), &delta);
        let since = Place::of(&self.now);
        let delta = Arc::new(delta);
        let what = What::Delta { since, delta };
        Some(Item {
            place,
            what,
            event,
            told,
        })
    }

    /// Lets the oldest item go; the base takes over what it changed.
    fn forget(&mut self) {
        let Some(item) = self.items.pop_front() else {
            return;
        };
        self.first += 1;
        self.weight -= item.weight();
        if let Some(delta) = item.delta() {
            advance(Arc::make_mut(&mut self.base), delta);
        }
    }

    fn whole(&mut self) -> Bytes {
        let now = Arc::clone(&self.now);
        let make = || event(name::TABLE, Some(Place::of(&now)), &*now);
        self.whole.get_or_insert_with(make).clone()
    }

    fn is_kept(&self, place: Place) -> Result<(), Refusal> {
        let oldest = Place::of(&self.base);
        if place < oldest {
            return Err(Refusal::Compacted { oldest });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
