//! A place where a node runs: what its disk keeps, and the process that is running, if one is.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ck_control::{
    Agent, CallId, FencingToken, Generation, Leader, MemberNumber, Round, StopMark, StoreId,
    SwitchId, TransferId,
};
use ck_core::{Epoch, NodeId, PartitionId};

use crate::clock::{Clock, Instant};
use crate::log::Log;
use crate::world::Event;
use crate::world::guest::Hosted;

/// Writes a copy has, by their number.
#[derive(Debug, Clone, Default)]
pub(crate) struct Writes {
    have: Vec<u64>,
    /// Those of them that a crash does not take.
    disk: Vec<u64>,
}

impl Writes {
    pub(crate) fn add(&mut self, write: usize) {
        let word = write / 64;
        if self.have.len() <= word {
            self.have.resize(word + 1, 0);
        }
        self.have[word] |= 1 << (write % 64);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        if self.have.len() < other.have.len() {
            self.have.resize(other.have.len(), 0);
        }
        for (mine, theirs) in self.have.iter_mut().zip(&other.have) {
            *mine |= theirs;
        }
    }

    pub(crate) fn keep_only(&mut self, other: &Self) {
        for (at, mine) in self.have.iter_mut().enumerate() {
            *mine &= other.have.get(at).copied().unwrap_or_default();
        }
    }

    /// How many of `wanted` are not here.
    pub(crate) fn missing(&self, wanted: &Self) -> usize {
        let words = wanted.have.iter().enumerate();
        words
            .map(|(at, word)| {
                let mine = self.have.get(at).copied().unwrap_or_default();
                (word & !mine).count_ones() as usize
            })
            .sum()
    }

    /// Brings everything to the disk.
    pub(crate) fn sync(&mut self) {
        self.disk.clone_from(&self.have);
    }

    /// A crash: about half of what was not on the disk is gone.
    pub(crate) fn lose(&mut self, mask: u64) {
        for (at, word) in self.have.iter_mut().enumerate() {
            *word &= mask | self.disk.get(at).copied().unwrap_or_default();
        }
    }
}

/// A write that waits for copies.
#[derive(Debug, Clone)]
pub(crate) struct Pending {
    pub(crate) write: usize,
    pub(crate) token: FencingToken,
    pub(crate) since: Instant,
    /// Places that have it.
    pub(crate) have: BTreeSet<usize>,
}

/// What one process of the model application remembers.
#[derive(Debug, Default)]
pub(crate) struct Application {
    /// Calls that are running and what they are about.
    pub(crate) calls: BTreeMap<CallId, (PartitionId, ck_control::Call)>,
    /// Proofs that were given and not given back.
    pub(crate) proofs: BTreeMap<FencingToken, u32>,
    /// Gates that were shut and whose proofs are outstanding.
    pub(crate) shut: BTreeSet<FencingToken>,
    /// Copies that follow this primary's stream before they are in sync, by partition.
    pub(crate) joined: BTreeMap<PartitionId, (usize, Epoch, TransferId)>,
    pub(crate) pending: VecDeque<Pending>,
}

/// A process.
pub(crate) struct Process {
    pub(crate) agent: Agent,
    /// Absent until its member number is known.
    pub(crate) leader: Option<Leader>,
    pub(crate) nonce: u64,
    /// The term it believes to lead.
    pub(crate) leading: Option<u64>,
    /// Who it believes leads.
    pub(crate) knows: Option<usize>,
    pub(crate) commit: usize,
    pub(crate) applied: usize,
    /// While it leads: how much of its log each place has.
    pub(crate) matched: Vec<usize>,
    /// The confirmation under way and who has answered it.
    pub(crate) round: Option<(Round, BTreeSet<usize>)>,
    pub(crate) agent_wake: Instant,
    pub(crate) leader_wake: Instant,
    pub(crate) application: Application,
    /// The guest's handler, where one runs.
    pub(crate) hosted: Option<Hosted>,
    pub(crate) stopping: bool,
    /// When a stop that is not committed is given up, and the process ends with its mark alone.
    pub(crate) stops_by: Option<Instant>,
    /// Until when it hands its roles over before it stops.
    pub(crate) leaves_until: Option<Instant>,
    /// Acknowledgements sent, so that each is observed once.
    pub(crate) released: BTreeSet<SwitchId>,
}

/// A place.
pub(crate) struct Place {
    pub(crate) node: NodeId,
    pub(crate) store: StoreId,
    pub(crate) generation: Generation,
    pub(crate) member: Option<MemberNumber>,
    pub(crate) log: Log,
    pub(crate) clock: Clock,
    /// Whether its log still has a vote.
    pub(crate) votes: bool,
    /// Whether everything it acknowledges is on its disk.
    pub(crate) durable: bool,
    pub(crate) served: bool,
    /// The session that its disk says was stopped cleanly.
    pub(crate) stopped: Option<StopMark>,
    /// Whether an operator has asked for its removal.
    pub(crate) leaving: bool,
    pub(crate) removed: bool,
    pub(crate) started: bool,
    /// Entries that its disk has applied.
    pub(crate) kept: usize,
    pub(crate) copies: BTreeMap<PartitionId, Writes>,
    /// Grows with every start and every end of a process.
    pub(crate) life: u64,
    pub(crate) process: Option<Process>,
    pub(crate) paused: bool,
    /// Since when its clock stands still with it.
    pub(crate) frozen: Option<Instant>,
    /// When it stood still last.
    pub(crate) thawed: Instant,
    pub(crate) deferred: Vec<Event>,
    pub(crate) stuck: bool,
    /// Whether what it gets next is one snapshot instead of entries.
    pub(crate) skips: bool,
}

impl Place {
    /// What its clock reads.
    pub(crate) fn read(&self, now: Instant) -> ck_control::Time {
        self.clock.read(self.frozen.unwrap_or(now))
    }

    /// Its clock goes on, as if the time it stood still had not been.
    pub(crate) fn thaw(&mut self, now: Instant) {
        if let Some(since) = self.frozen.take() {
            self.clock.stood_still(since, now);
            self.thawed = now;
        }
    }

    /// Whether it takes part in anything at this instant.
    pub(crate) fn runs(&self) -> bool {
        self.process.is_some() && !self.paused
    }
}
