//! One partition under one grant: records that are under way, and who has them.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ck_node::{FencingToken, MemberNumber, SessionId, TransferId};
use tokio::sync::watch;

use super::follower::{Attachment, Follower, Lag};
use crate::kv::Replication;
use crate::planted::Bug;
use crate::record::{Effect, Record};
use crate::stamp::{Grant, Stamp};
use crate::store::TRACES_MAX;
use crate::wire::{Refused, Section};

/// Bytes that may be under way in one partition; one record may be larger.
const WINDOW_BYTES: usize = 16 << 20;

/// How far the records have come, for those who wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Everybody who has to have them has the records up to here.
    pub(crate) committed: u64,
    /// Every copy has the records up to here. In mode `async` that is later.
    pub(crate) stable: u64,
    /// From here on they are on fewer copies than `min_in_sync`, although on all that are in sync.
    pub(crate) thin: Option<u64>,
    /// Whether the partition is still served at this grant.
    pub(crate) open: bool,
}

/// What has to come about before a write gets its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// The record is where it has to be.
    Committed(u64),
    /// The record is everywhere, which makes room.
    Stable(u64),
}

impl Progress {
    /// Whether there is nothing left to wait for.
    pub(crate) const fn is_turn(&self, turn: Turn) -> bool {
        !self.open
            || match turn {
                Turn::Committed(seq) => self.committed >= seq,
                Turn::Stable(seq) => self.stable >= seq,
            }
    }
}

/// What a primary keeps of a partition it serves.
#[derive(Debug)]
pub(crate) struct Serving {
    pub(crate) grant: Grant,
    token: FencingToken,
    pub(crate) session: SessionId,
    replication: Replication,
    in_sync: Vec<MemberNumber>,
    min_in_sync: usize,
    me: MemberNumber,
    followers: BTreeMap<MemberNumber, Follower>,
    /// The latest attempt of each member that has attached: one that comes after a later one would
    /// count records as the copy's that it was never sent.
    attempts: BTreeMap<MemberNumber, Attachment>,
    /// The newest record that has a place.
    assigned: Stamp,
    /// The primary's own disk has the records up to here.
    local: u64,
    /// Every follower and the primary have the records up to here.
    stable: u64,
    /// Records that somebody lacks. The first follows `base`.
    window: VecDeque<Arc<Record>>,
    window_bytes: usize,
    base: Stamp,
    /// Records that are not answered yet, and the newest of each key.
    pending: VecDeque<(u64, Bytes)>,
    newest: HashMap<Bytes, u64>,
    progress: watch::Sender<Progress>,
}

impl Serving {
    /// Serves from `at` on, which every member of `in_sync` stands at.
    pub(crate) fn new(
        grant: Grant,
        token: FencingToken,
        session: SessionId,
        me: MemberNumber,
        at: Stamp,
        in_sync: &[MemberNumber],
        replication: Replication,
    ) -> Self {
        let others = in_sync.iter().filter(|member| **member != me);
        Self {
            grant,
            token,
            session,
            replication,
            in_sync: in_sync.to_vec(),
            min_in_sync: 1,
            me,
            followers: others.map(|one| (*one, Follower::at(at.seq))).collect(),
            attempts: BTreeMap::new(),
            assigned: at,
            local: at.seq,
            stable: at.seq,
            window: VecDeque::new(),
            window_bytes: 0,
            base: at,
            pending: VecDeque::new(),
            newest: HashMap::new(),
            progress: watch::Sender::new(Progress {
                committed: at.seq,
                stable: at.seq,
                thin: None,
                open: true,
            }),
        }
    }

    pub(crate) fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// The newest record of a key that is not answered yet.
    pub(crate) fn pending(&self, key: &[u8]) -> Option<u64> {
        self.newest.get(key).copied()
    }

    pub(crate) const fn newest_assigned(&self) -> u64 {
        self.assigned.seq
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.pending.is_empty()
    }

    /// Copies in sync, and how many there must be for a write to be taken.
    pub(crate) const fn in_sync(&self) -> (usize, usize) {
        (self.in_sync.len(), self.min_in_sync)
    }

    /// Members that are in sync, or attached and so may come to be at any moment; this one aside.
    pub(crate) fn members(&self) -> impl Iterator<Item = MemberNumber> {
        self.followers.keys().copied()
    }

    /// What a record of `bytes` has to wait for; `None` when there is room for it.
    pub(crate) fn full(&self, bytes: usize) -> Option<Turn> {
        // A record is answered no later than it is everywhere, so no fewer are kept than wait.
        let full = self.window.len() >= TRACES_MAX
            || (self.window_bytes + bytes > WINDOW_BYTES && !self.window.is_empty());
        full.then_some(Turn::Stable(self.stable + 1))
    }

    /// Gives a record its place. Returns the one it follows, itself, and what is everywhere.
    pub(crate) fn assign(&mut self, key: Bytes, effect: Effect) -> (Stamp, Arc<Record>, u64) {
        let after = self.assigned;
        let stamp = Stamp {
            grant: self.grant,
            seq: after.seq + 1,
        };
        self.assigned = stamp;
        self.pending.push_back((stamp.seq, key.clone()));
        self.newest.insert(key.clone(), stamp.seq);
        let record = Arc::new(Record { stamp, key, effect });
        self.window_bytes += record.weight();
        self.window.push_back(Arc::clone(&record));
        for follower in self.followers.values_mut() {
            follower.since.get_or_insert_with(Instant::now);
        }
        (after, record, self.stable)
    }

    pub(super) fn appended(&mut self, seq: u64) {
        self.local = self.local.max(seq);
        self.advance();
    }

    pub(super) fn acked(&mut self, member: MemberNumber, seq: u64) {
        let assigned = self.assigned.seq;
        if let Some(follower) = self.followers.get_mut(&member) {
            follower.acked = follower.acked.max(seq.min(assigned));
            follower.sent = follower.sent.max(follower.acked);
            follower.since = (follower.acked < assigned).then(Instant::now);
            self.advance();
        }
    }

    pub(super) fn take(
        &mut self,
        member: MemberNumber,
        bytes: usize,
        partition: u32,
    ) -> Option<Section> {
        let follower = self.followers.get_mut(&member).filter(|one| !one.held)?;
        if follower.sent >= self.assigned.seq {
            return None;
        }
        // What it has is at least what everybody has, so the window begins no later.
        let skip = usize::try_from(follower.sent.checked_sub(self.base.seq)?).ok()?;
        let after = match skip {
            0 => self.base,
            _ => self.window.get(skip - 1)?.stamp,
        };
        let mut weight = 0;
        let records: Vec<_> = self
            .window
            .iter()
            .skip(skip)
            .take_while(|record| {
                let first = weight == 0;
                weight += record.weight();
                first || weight <= bytes
            })
            .cloned()
            .collect();
        follower.sent += records.len() as u64;
        Some(Section {
            partition,
            grant: self.grant,
            after,
            records,
            stable: self.stable,
        })
    }

    pub(super) fn not_acked(&mut self, member: MemberNumber, why: Refused) -> bool {
        match why {
            // It has more than was known, or lost what it was sent.
            Refused::Gap { position } if self.is_ours(position) => {
                if let Some(follower) = self.followers.get_mut(&member)
                    && position.seq >= follower.acked
                {
                    follower.sent = position.seq;
                    self.acked(member, position.seq);
                    return false;
                }
                true
            }
            Refused::Busy => {
                self.rewind(member);
                false
            }
            _ => true,
        }
    }

    /// Whether a position is one of this line.
    fn is_ours(&self, position: Stamp) -> bool {
        if position == self.base {
            return true;
        }
        let at = position.seq.checked_sub(self.base.seq + 1);
        let record = at.and_then(|at| self.window.get(usize::try_from(at).ok()?));
        record.is_some_and(|record| record.stamp == position)
    }

    pub(super) fn rewind(&mut self, member: MemberNumber) {
        if let Some(follower) = self.followers.get_mut(&member) {
            follower.sent = follower.acked;
        }
    }

    pub(super) fn suspect(&mut self, member: MemberNumber) -> Option<Lag> {
        let follower = self.followers.get_mut(&member)?;
        if follower.suspected || follower.acked >= self.assigned.seq {
            return None;
        }
        follower.suspected = true;
        Some(Lag {
            member,
            token: self.token,
            grant: self.grant,
        })
    }

    /// Members that have lacked something for as long as `limit` without getting on.
    pub(super) fn stalled(&self, limit: Duration) -> Vec<MemberNumber> {
        let stalled = |one: &Follower| one.since.is_some_and(|since| since.elapsed() >= limit);
        let followers = self.followers.iter();
        followers
            .filter(|(_, one)| stalled(one))
            .map(|(member, _)| *member)
            .collect()
    }

    pub(super) fn trusted(&mut self, member: MemberNumber) {
        if let Some(follower) = self.followers.get_mut(&member) {
            follower.suspected = false;
        }
    }

    /// Takes in who is in sync by the cluster's word.
    pub(super) fn required(
        &mut self,
        in_sync: &[MemberNumber],
        gone: impl Fn(TransferId) -> bool,
        min_in_sync: u8,
    ) {
        self.min_in_sync = usize::from(min_in_sync);
        if self.in_sync != in_sync {
            self.in_sync = in_sync.to_vec();
        }
        self.followers.retain(|member, follower| {
            if in_sync.contains(member) {
                follower.attached = None;
                return true;
            }
            // A move that is under way may make it in sync at any moment; one that is over cannot.
            let attached = follower.attached;
            attached.is_some_and(|attached| !gone(attached.transfer))
        });
        for member in in_sync.iter().filter(|member| **member != self.me) {
            // Nobody comes in but by attaching here; should it be so all the same, it has nothing.
            self.followers.entry(*member).or_insert(Follower::at(0));
        }
        self.advance();
    }

    pub(super) fn attach(&mut self, member: MemberNumber, how: Attachment) -> Option<Stamp> {
        let latest = self.attempts.get(&member);
        if self.in_sync.contains(&member) || latest.is_some_and(|latest| *latest >= how) {
            return None;
        }
        let follower = Follower {
            attached: Some(how),
            held: true,
            ..Follower::at(self.assigned.seq)
        };
        self.attempts.insert(member, how);
        self.followers.insert(member, follower);
        Some(self.assigned)
    }

    /// The newest record that an attached member is not sent, since it was there before it attached.
    pub(crate) fn newest_before(&self, member: MemberNumber, how: Attachment) -> Option<u64> {
        let follower = self.followers.get(&member)?;
        (follower.attached == Some(how)).then_some(follower.acked)
    }

    pub(super) fn resume(&mut self, member: MemberNumber, how: Attachment) -> bool {
        match self.followers.get_mut(&member) {
            Some(follower) if follower.attached == Some(how) => {
                follower.held = false;
                true
            }
            _ => false,
        }
    }

    /// Says to all who wait that nothing more will be known here.
    pub(super) fn close(&mut self) {
        self.progress.send_modify(|progress| progress.open = false);
    }

    fn advance(&mut self) {
        let everywhere = self.followers.values().map(|one| one.acked).min();
        let everywhere = everywhere.unwrap_or(self.local).min(self.local);
        self.stable = self.stable.max(everywhere);
        while let Some(record) = self.window.front()
            && record.stamp.seq <= self.stable
        {
            self.base = record.stamp;
            self.window_bytes -= record.weight();
            self.window.pop_front();
        }
        let committed = match self.replication {
            Replication::Sync if !Bug::LostWrite.is_on() => self.stable,
            _ => self.local,
        };
        while let Some((seq, key)) = self.pending.front()
            && *seq <= committed
        {
            if self.newest.get(key) == Some(seq) {
                self.newest.remove(key);
            }
            self.pending.pop_front();
        }
        let few = self.in_sync.len() < self.min_in_sync;
        self.progress.send_if_modified(|progress| {
            let thin = few.then(|| progress.thin.unwrap_or(progress.committed + 1));
            let now = Progress {
                committed,
                stable: self.stable,
                thin,
                ..*progress
            };
            let changed = *progress != now;
            *progress = now;
            changed
        });
    }
}
