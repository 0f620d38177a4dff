//! What happens to one partition at this node, one thing after the other.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use ck_node::{FencingToken, MemberNumber, PartitionId, State, TransferId};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};

use crate::file::{Follower, Mark, Record, Taken};

/// One partition at this node.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) id: PartitionId,
    /// Held by whoever writes, hands over or copies in.
    pub(crate) line: Arc<tokio::sync::Mutex<Line>>,
    /// Number of the last transaction that every required copy has.
    pub(crate) settled: watch::Sender<u64>,
    /// Statements of the schema that the file has.
    pub(crate) schema: AtomicUsize,
    /// Requests that wait or run.
    pub(crate) places: Arc<Semaphore>,
}

/// What this node does with its file.
#[derive(Debug, Default)]
pub(crate) enum Role {
    /// Nothing.
    #[default]
    Idle,
    /// Takes the pages that another node writes.
    Following(Box<Follower>),
    /// Serves, since it was granted this.
    Primary(FencingToken),
}

/// A copy that is being made, or is in sync, elsewhere.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// The move it belongs to.
    pub(crate) transfer: TransferId,
    /// Where its node answers.
    pub(crate) address: String,
    /// Number of the last transaction it has on its disk.
    pub(crate) have: u64,
}

/// The state behind a partition's lock.
#[derive(Debug, Default)]
pub(crate) struct Line {
    pub(crate) role: Role,
    /// Where the file stands.
    pub(crate) mark: Mark,
    /// Copies without which no write is acknowledged.
    pub(crate) targets: BTreeMap<MemberNumber, Target>,
    pub(crate) snapshot: Option<Arc<Snapshot>>,
    log: Log,
    /// Whether the cluster knows that this partition was written to.
    pub(crate) born: bool,
    /// A schema that the rows do not fit.
    pub(crate) misfit: Option<Misfit>,
}

/// A schema that could not be applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Misfit {
    /// Statements of that schema.
    pub(crate) version: usize,
    /// Number of the last transaction then: it is tried again after the next.
    pub(crate) seq: u64,
    /// Why.
    pub(crate) message: String,
}

/// Transactions since a snapshot was asked for, as they are sent.
#[derive(Debug, Default)]
struct Log {
    /// Where the file stood before the first.
    base: Mark,
    records: VecDeque<(Mark, Bytes)>,
    bytes: usize,
}

/// A snapshot that is made, or was, for one move.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) transfer: TransferId,
    /// Tells it from another one of the same move.
    pub(crate) id: String,
    pub(crate) path: PathBuf,
    pub(crate) wanted: AtomicBool,
    pub(crate) state: Mutex<Making>,
}

/// How far a snapshot is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Making {
    UnderWay,
    Ready(Taken),
    Failed(String),
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Part {
    pub(crate) fn new(id: PartitionId, waiting_max: usize) -> Self {
        Self {
            id,
            line: Arc::default(),
            settled: watch::Sender::new(0),
            schema: AtomicUsize::new(0),
            places: Arc::new(Semaphore::new(waiting_max)),
        }
    }
}

impl Line {
    /// Whether the pages of transactions are wanted.
    pub(crate) fn is_logging(&self) -> bool {
        self.snapshot.is_some() || !self.targets.is_empty()
    }

    /// Keeps transactions from now on.
    pub(crate) fn begin_log(&mut self) {
        if !self.is_logging() {
            self.log = Log {
                base: self.mark,
                ..Log::default()
            };
        }
    }

    /// The file has moved on.
    pub(crate) fn wrote(&mut self, mark: Mark, record: Option<Record>, bytes_max: usize) {
        let wanted = self.is_logging() && mark != self.mark;
        self.mark = mark;
        if !wanted {
            return;
        }
        let length = record.as_ref().map_or(usize::MAX, Record::encoded_len);
        match record {
            Some(record) if self.log.bytes.saturating_add(length) <= bytes_max => {
                let mut bytes = Vec::new();
                record.encode(&mut bytes);
                self.log.bytes += bytes.len();
                self.log.records.push_back((mark, bytes.into()));
            }
            // Too much: whoever needs it begins anew.
            _ => {
                self.log = Log {
                    base: mark,
                    ..Log::default()
                };
            }
        }
    }

    /// Transactions after number `seq`, about `bytes_max` bytes of them but at least one; `None`
    /// when the log does not reach back so far.
    pub(crate) fn after(&self, seq: u64, bytes_max: usize) -> Option<Vec<Bytes>> {
        if seq < self.log.base.seq || seq > self.mark.seq {
            return None;
        }
        let mut bytes = 0;
        let news = self.log.records.iter().filter(|(mark, _)| mark.seq > seq);
        let news = news.take_while(|(_, one)| {
            let fits = bytes == 0 || bytes + one.len() <= bytes_max;
            bytes += one.len();
            fits
        });
        Some(news.map(|(_, one)| one.clone()).collect())
    }

    /// Bytes of the transactions after number `seq`.
    pub(crate) fn bytes_after(&self, seq: u64) -> usize {
        let news = self.log.records.iter().filter(|(mark, _)| mark.seq > seq);
        news.map(|(_, one)| one.len()).sum()
    }

    /// Whether a copy that stands at `mark` can go on from there: what it has is what this file had.
    pub(crate) fn leads_on_from(&self, mark: Mark) -> bool {
        if !self.is_logging() {
            return mark == self.mark;
        }
        mark == self.log.base || self.log.records.iter().any(|(one, _)| *one == mark)
    }

    /// Forgets copies and snapshots of moves that are over, and transactions that nobody needs.
    pub(crate) fn prune(&mut self, partition: PartitionId, state: &State) {
        let control = state.partition(partition);
        self.targets.retain(|member, target| {
            let moving = state
                .transfer(target.transfer)
                .is_some_and(|one| one.partition == partition && one.target.member == *member);
            moving || control.is_some_and(|control| control.is_in_sync(*member))
        });
        let over = |one: &Arc<Snapshot>| state.transfer(one.transfer).is_none();
        if self.snapshot.as_ref().is_some_and(over) {
            self.drop_snapshot();
        }
        self.trim();
    }

    pub(crate) fn drop_snapshot(&mut self) {
        if let Some(snapshot) = self.snapshot.take() {
            snapshot.wanted.store(false, Ordering::Relaxed);
        }
    }

    /// Drops what every copy has. As long as there is a snapshot its copy needs everything.
    pub(crate) fn trim(&mut self) {
        if !self.is_logging() {
            self.log = Log::default();
            return;
        }
        if self.snapshot.is_some() {
            return;
        }
        let least = self.targets.values().map(|target| target.have).min();
        while let Some((mark, bytes)) = self.log.records.front()
            && least.is_some_and(|least| mark.seq <= least)
        {
            self.log.base = *mark;
            self.log.bytes -= bytes.len();
            self.log.records.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ck_node::{Epoch, Incarnation};

    fn mark(epoch: u64, seq: u64) -> Mark {
        Mark {
            incarnation: Incarnation(1),
            epoch: Epoch(epoch),
            seq,
        }
    }

    fn record(seq: u64) -> Record {
        Record {
            mark: mark(1, seq),
            file_pages: 2,
            page_bytes: 512,
            pages: BTreeMap::from([(1, vec![0; 512])]),
        }
    }

    fn line() -> Line {
        let mut line = Line {
            mark: mark(1, 5),
            ..Line::default()
        };
        line.begin_log();
        let target = Target {
            transfer: TransferId(9),
            address: String::new(),
            have: 5,
        };
        line.targets.insert(MemberNumber(2), target);
        line
    }

    #[test]
    fn a_copy_goes_on_only_from_where_this_file_was() {
        let mut line = line();
        for seq in 6..=8 {
            line.wrote(mark(1, seq), Some(record(seq)), 1 << 20);
        }
        assert!((5..=8).all(|seq| line.leads_on_from(mark(1, seq))));
        for other in [mark(1, 4), mark(1, 9), mark(2, 7), mark(0, 5)] {
            assert!(!line.leads_on_from(other), "{other}");
        }
        assert_eq!(line.after(6, 1).unwrap().len(), 1);
        assert_eq!(line.after(6, 1 << 20).unwrap().len(), 2);
        assert_eq!(line.after(8, 1 << 20).unwrap().len(), 0);
        assert_eq!(line.after(4, 1 << 20), None);
        assert_eq!(line.after(9, 1 << 20), None);
    }

    #[test]
    fn what_every_copy_has_is_dropped_and_too_much_begins_anew() {
        let mut line = line();
        line.wrote(mark(1, 6), Some(record(6)), 1 << 20);
        line.wrote(mark(1, 7), Some(record(7)), 1 << 20);
        line.targets.get_mut(&MemberNumber(2)).unwrap().have = 6;
        line.trim();
        assert_eq!(line.after(5, 1), None);
        assert_eq!(line.after(6, 1 << 20).unwrap().len(), 1);
        line.wrote(mark(1, 8), Some(record(8)), 700);
        assert_eq!(line.after(6, 1 << 20), None);
        assert!(line.leads_on_from(mark(1, 8)));
        line.targets.clear();
        line.trim();
        assert!(!line.is_logging());
        line.wrote(mark(1, 9), None, 700);
        assert!(line.leads_on_from(mark(1, 9)) && !line.leads_on_from(mark(1, 8)));
    }
}
