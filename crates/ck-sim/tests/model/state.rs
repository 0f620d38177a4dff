//! What the model remembers, and the replicated table that a log prefix makes.

/// Ticks for which a node may act, counted from the send, and a leader waits, counted from the
/// arrival. The margins of ρ are taken off both sides already. A renewal arrives as it is sent: what
/// it takes only shortens the node's side. Answers take any time.
pub(crate) const LEASE: u8 = 3;

pub(crate) const NODES: usize = 3;

/// Node 0 leads first, node 1 owns first, and node 2 is there to take over from either.
pub(crate) const OWNER: usize = 1;

/// An accepted, committed entry. Sessions are named by their nodes: none registers again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Entry {
    Office { process: u8 },
    Expire { office: u8, node: u8 },
    Switch { office: u8, target: u8 },
    Grant { office: u8, acknowledged: u8 },
    Abort { office: u8 },
}

/// The replicated state after a prefix of the log.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    /// Position of the newest office entry.
    pub(crate) office: u8,
    pub(crate) open: [bool; NODES],
    pub(crate) holder: u8,
    pub(crate) epoch: u8,
    /// The switch that is open, by its position, and its target.
    pub(crate) switch: Option<(u8, u8)>,
}

impl Table {
    const fn first() -> Self {
        Self {
            office: 0,
            open: [true; NODES],
            holder: OWNER as u8,
            epoch: 1,
            switch: None,
        }
    }

    fn grant(&mut self, node: u8) {
        self.holder = node;
        self.epoch += 1;
        self.switch = None;
    }

    /// Takes the entry at a position; false when it is refused. `bound` is whether an
    /// acknowledgement counts for its own switch alone.
    pub(crate) fn apply(&mut self, position: u8, entry: Entry, bound: bool) -> bool {
        let decided_by = match entry {
            Entry::Office { .. } => self.office,
            Entry::Expire { office, .. }
            | Entry::Switch { office, .. }
            | Entry::Grant { office, .. }
            | Entry::Abort { office } => office,
        };
        if decided_by != self.office {
            return false;
        }
        match entry {
            Entry::Office { .. } => self.office = position,
            Entry::Expire { node, .. } => {
                if !self.open[usize::from(node)] {
                    return false;
                }
                self.open[usize::from(node)] = false;
                self.fail_over(node);
            }
            Entry::Switch { target, .. } => {
                let fits = target != self.holder
                    && self.open[usize::from(target)]
                    && self.open[usize::from(self.holder)];
                if !fits || self.switch.is_some() {
                    return false;
                }
                self.switch = Some((position, target));
            }
            Entry::Grant { acknowledged, .. } => match self.switch {
                Some((id, target)) if id == acknowledged || !bound => self.grant(target),
                _ => return false,
            },
            Entry::Abort { .. } => {
                if self.switch.is_none() {
                    return false;
                }
                self.grant(self.holder);
            }
        }
        true
    }

    fn fail_over(&mut self, lost: u8) {
        if self.holder == lost {
            let mut others = (1..NODES).map(|by| (usize::from(lost) + by) % NODES);
            let next = others.find(|node| self.open[*node]);
            if let Some(next) = next {
                self.grant(u8::try_from(next).unwrap());
            }
        } else if self.switch.is_some_and(|(_, target)| target == lost) {
            self.grant(self.holder);
        }
    }
}

/// A renewal at a leader: ticks since it was sent.
pub(crate) type Arrived = Option<u8>;

/// A leadership confirmation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Round {
    None,
    Begun,
    /// A majority has confirmed the term; the leader has not heard all of it yet.
    Given,
}

/// One process that leads, or believes to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Lead {
    pub(crate) node: u8,
    pub(crate) term: u8,
    pub(crate) process: u8,
    pub(crate) office: Option<u8>,
    /// Ticks before it may expire the first owner.
    pub(crate) waits: u8,
    /// The first owner's renewal that waits for a round, and the one the round under way covers.
    pub(crate) queued: Arrived,
    pub(crate) covered: Arrived,
    pub(crate) round: Round,
    pub(crate) condemned: bool,
    /// Its log's uncommitted tail.
    pub(crate) tail: Vec<Entry>,
}

impl Lead {
    pub(crate) const fn new(node: u8, term: u8, process: u8) -> Self {
        Self {
            node,
            term,
            process,
            office: None,
            waits: LEASE,
            queued: None,
            covered: None,
            round: Round::None,
            condemned: false,
            tail: Vec::new(),
        }
    }

    pub(crate) fn tick(&mut self) {
        self.waits = self.waits.saturating_sub(1);
        // An answer to one that is older than a lease would say nothing.
        self.queued = older(self.queued);
        self.covered = older(self.covered);
    }
}

/// A tick later; gone once it is of no use.
pub(crate) fn older(sent: Arrived) -> Arrived {
    sent.map(|sent| sent + 1).filter(|sent| *sent < LEASE)
}

/// Everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct World {
    /// The newest term a majority has voted in.
    pub(crate) term: u8,
    pub(crate) log: Vec<Entry>,
    /// How much of the log each node has applied.
    pub(crate) applied: [u8; NODES],
    /// Ticks left of the first owner's lease. Whoever comes after it acts from the moment it knows
    /// of its grant: the hardest case.
    pub(crate) lease: u8,
    /// The answer on its way: ticks since the renewal was sent.
    pub(crate) answer: Arrived,
    /// Leaders of terms 1 and 2; the first may not know of the second.
    pub(crate) leads: [Option<Lead>; 2],
    /// Switches that were acknowledged, by their positions; such a message is never too late.
    pub(crate) acknowledged: Vec<u8>,
    /// A write that was begun under an epoch and has not reached the resource.
    pub(crate) write: Option<u8>,
    /// The newest epoch the resource accepted, and whether it ever accepted an older one.
    pub(crate) resource: (u8, bool),
    pub(crate) restarts: u8,
}

impl World {
    pub(crate) fn first() -> Self {
        let mut lead = Lead::new(0, 1, 1);
        lead.office = Some(0);
        Self {
            term: 1,
            log: Vec::new(),
            applied: [0; NODES],
            lease: 0,
            answer: None,
            leads: [Some(lead), None],
            acknowledged: Vec::new(),
            write: None,
            resource: (0, false),
            restarts: 0,
        }
    }

    /// The table after a prefix of the log, whose entries were all accepted.
    pub(crate) fn table(&self, prefix: u8) -> Table {
        let mut table = Table::first();
        for (at, entry) in self.log[..usize::from(prefix)].iter().enumerate() {
            table.apply(u8::try_from(at).unwrap() + 1, *entry, false);
        }
        table
    }

    pub(crate) fn committed(&self) -> Table {
        self.table(u8::try_from(self.log.len()).unwrap())
    }

    pub(crate) fn seen_by(&self, node: usize) -> Table {
        self.table(self.applied[node])
    }

    /// The epoch under which a node may act. `stops` is whether an open switch shuts its gate.
    pub(crate) fn owns(&self, node: usize, stops: bool) -> Option<u8> {
        let table = self.seen_by(node);
        let holds = usize::from(table.holder) == node && table.open[node];
        let shut = stops && table.switch.is_some();
        let live = node != OWNER || self.lease > 0;
        (holds && !shut && live).then_some(table.epoch)
    }
}
