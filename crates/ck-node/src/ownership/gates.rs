//! The gates of the partitions: written by the control loop, read by every effect.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use ck_control::{FencingToken, Incarnation, Time};
use ck_core::{Epoch, PartitionId};
use tokio::sync::Notify;

use crate::clock::Clock;

/// One partition: 16 bytes.
#[derive(Debug, Default)]
struct Gate {
    /// The epoch proofs may be given for; 0 while it is shut. Epochs begin at 1.
    epoch: AtomicU64,
    /// Proofs that were given and are not dropped yet.
    proofs: AtomicU64,
}

/// Why a gate does not let an effect through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closed {
    /// It is shut, or open for another epoch.
    Shut,
    /// The lease has run out.
    Lapsed,
}

/// What this process may act on at this instant.
pub(crate) struct Gates {
    clock: Arc<dyn Clock>,
    /// The reading at which the right to act ends; 0 without one.
    lease_ends: AtomicU64,
    /// How often the right to act has ended: what was admitted before is not admitted after.
    era: AtomicU64,
    incarnation: AtomicU64,
    gates: OnceLock<Box<[Gate]>>,
    /// Told when the last proof of a shut gate is dropped.
    pub(crate) drained: Notify,
}

impl Gates {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            clock,
            lease_ends: AtomicU64::new(0),
            era: AtomicU64::new(0),
            incarnation: AtomicU64::new(0),
            gates: OnceLock::new(),
            drained: Notify::new(),
        })
    }

    pub(crate) fn now(&self) -> Time {
        self.clock.now()
    }

    fn gate(&self, partition: PartitionId) -> Option<&Gate> {
        self.gates.get()?.get(partition.index())
    }

    /// Makes room for the partitions, of which a cluster has the same number for good.
    pub(crate) fn lay_out(&self, partitions: u32, incarnation: Incarnation) {
        self.incarnation.store(incarnation.0, Ordering::Release);
        let _ = self
            .gates
            .get_or_init(|| (0..partitions).map(|_| Gate::default()).collect());
    }

    /// Proofs of this token may be given from now on, while the lease lasts.
    pub(crate) fn open(&self, token: FencingToken) {
        if let Some(gate) = self.gate(token.partition) {
            gate.epoch.store(token.epoch.0, Ordering::SeqCst);
        }
    }

    /// No new proof from now on.
    pub(crate) fn shut(&self, partition: PartitionId) {
        if let Some(gate) = self.gate(partition) {
            gate.epoch.store(0, Ordering::SeqCst);
        }
    }

    /// Whether no proof is outstanding. Asked after the gate was shut.
    pub(crate) fn is_drained(&self, partition: PartitionId) -> bool {
        self.gate(partition)
            .is_none_or(|gate| gate.proofs.load(Ordering::SeqCst) == 0)
    }

    pub(crate) fn lease_end(&self) -> Time {
        Time(self.lease_ends.load(Ordering::SeqCst))
    }

    pub(crate) fn era(&self) -> u64 {
        self.era.load(Ordering::SeqCst)
    }

    pub(crate) fn set_lease_end(&self, ends: Time) {
        if ends == Time::ZERO {
            self.era.fetch_add(1, Ordering::SeqCst);
        }
        self.lease_ends.store(ends.0, Ordering::SeqCst);
    }

    /// Time left of the lease, zero when it has lapsed.
    pub(crate) fn lease_remaining(&self) -> std::time::Duration {
        // The end is loaded before the clock is read: the other way round, a pause between the
        // two would prolong the lease.
        let ends = Time(self.lease_ends.load(Ordering::SeqCst));
        ends.since(self.clock.now())
    }

    fn is_live(&self) -> bool {
        let ends = Time(self.lease_ends.load(Ordering::SeqCst));
        self.clock.now() < ends
    }

    /// The epoch this process may act at in a partition, at this instant.
    #[inline]
    pub(crate) fn owns(&self, partition: PartitionId) -> Option<Epoch> {
        let epoch = self.gate(partition)?.epoch.load(Ordering::SeqCst);
        (epoch != 0 && self.is_live()).then_some(Epoch(epoch))
    }

    pub(crate) fn token(&self, partition: PartitionId, epoch: Epoch) -> FencingToken {
        FencingToken {
            incarnation: Incarnation(self.incarnation.load(Ordering::Acquire)),
            partition,
            epoch,
        }
    }

    /// Nothing may be acted on any more.
    pub(crate) fn close(&self) {
        self.set_lease_end(Time::ZERO);
        for gate in self.gates.get().map_or(&[][..], |gates| gates) {
            gate.epoch.store(0, Ordering::SeqCst);
        }
    }

    /// Every token whose gate is open; empty when the lease has run out by the time all are read.
    pub(crate) fn all(&self) -> Vec<FencingToken> {
        let gates = self.gates.get().map_or(&[][..], |gates| gates);
        let epochs = gates
            .iter()
            .map(|gate| gate.epoch.load(Ordering::SeqCst))
            .zip(0..);
        let open: Vec<_> = epochs
            .filter(|(epoch, _)| *epoch != 0)
            .map(|(epoch, at)| self.token(PartitionId(at), Epoch(epoch)))
            .collect();
        if self.is_live() { open } else { Vec::new() }
    }

    /// Counts one more proof of `token`, if an effect may begin at this instant. Give it back with
    /// [`Gates::leave`].
    #[inline]
    pub(crate) fn enter(&self, token: FencingToken) -> Result<(), Closed> {
        let gate = self.gate(token.partition).ok_or(Closed::Shut)?;
        // Counted before the gate is looked at: whoever shuts it and then finds no proof knows
        // that none is on its way. Needs one order of all four accesses, hence SeqCst.
        gate.proofs.fetch_add(1, Ordering::SeqCst);
        let closed = if gate.epoch.load(Ordering::SeqCst) != token.epoch.0 {
            Closed::Shut
        } else if self.is_live() {
            return Ok(());
        } else {
            Closed::Lapsed
        };
        self.leave(token.partition);
        Err(closed)
    }

    /// Counts one more proof of `token` while another one of it is counted already, which was given
    /// in `era` under a lease that ends at `until`: as long as both last a gate that was shut since is
    /// no reason, since whoever shut it waits for the first proof.
    pub(crate) fn enter_again(
        &self,
        token: FencingToken,
        era: u64,
        until: Time,
    ) -> Result<(), Closed> {
        // Another era: the clock went back meanwhile, say, so that its reading means nothing.
        if self.era() != era || self.clock.now() >= until {
            return self.enter(token);
        }
        let gate = self.gate(token.partition).ok_or(Closed::Shut)?;
        gate.proofs.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    #[inline]
    pub(crate) fn leave(&self, partition: PartitionId) {
        if let Some(gate) = self.gate(partition)
            && gate.proofs.fetch_sub(1, Ordering::SeqCst) == 1
            && gate.epoch.load(Ordering::SeqCst) == 0
        {
            self.drained.notify_one();
        }
    }
}
