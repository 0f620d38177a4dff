//! The right to act on a partition, as values that cannot be made by hand.

mod gates;

use std::sync::Arc;
use std::time::Duration;

use ck_control::{FencingToken, Incarnation, SessionId, Time};
use ck_core::{NodeId, PartitionId, Version};

use gates::Closed;
pub(crate) use gates::Gates;

/// One grant of a partition's primary role to this process.
///
/// Made by [`Handle::acquire`](crate::Handle::acquire). Holding one proves nothing: ask
/// [`Ownership::check`] before each effect, and again after every await. Clones are the same grant.
#[derive(Clone)]
pub struct Ownership {
    gates: Arc<Gates>,
    token: FencingToken,
}

/// Proof that an effect on a partition may begin now.
///
/// Short-lived: while one is held, the partition is not handed over, so hold it for the effect and
/// no longer. A function that writes takes one, so that a write that nobody checked does not
/// compile:
///
/// ```
/// use ck_node::Proof;
/// fn write(proof: &Proof<'_>, key: &[u8], value: &[u8]) {
///     let fence = proof.token(); // stored beside the value; older ones are refused
///     # let _ = (fence, key, value);
/// }
/// ```
///
/// It cannot be made in another way:
///
/// ```compile_fail
/// let proof = ck_node::Proof { gates: todo!(), token: todo!() };
/// ```
#[must_use = "an effect needs the proof, and the partition is not handed over while it is held"]
pub struct Proof<'a> {
    gates: &'a Gates,
    token: FencingToken,
}

/// A proof that can be handed on: to a queue, or to a thread that writes.
///
/// From [`Ownership::hold`] until it is dropped the partition is not handed over, so an effect that
/// was admitted is finished and not refused halfway. The node's lease may run out meanwhile: ask
/// [`HeldProof::check`] right before the effect. Hold one no longer than the effect takes.
///
/// A grant that ends otherwise than by a handover (the lease runs out, or the node is granted the
/// partition anew at a later epoch) waits for nobody: there, as always, the resource's check of the
/// token decides.
#[must_use = "an effect needs the proof, and the partition is not handed over while it is held"]
pub struct HeldProof {
    gates: Arc<Gates>,
    token: FencingToken,
    /// In which era, and when the lease ends that it was given under.
    era: u64,
    until: Time,
}

/// Why this process may not act on a partition now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotOwner {
    /// There is no such partition, or there are none yet.
    #[error("{partition} does not exist; the cluster has {partitions} partitions")]
    Unknown {
        /// The partition.
        partition: PartitionId,
        /// Partitions there are.
        partitions: u32,
    },
    /// Another node is the primary, or none is.
    #[error("{partition} is served by {}; ask there", primary.as_ref().map_or("no node at present", NodeId::as_str))]
    Elsewhere {
        /// The partition.
        partition: PartitionId,
        /// The primary by the newest table known here.
        primary: Option<NodeId>,
    },
    /// This node is the primary by the table, but does not serve yet, or is giving the role up.
    #[error("{partition} is moving, or this node does not serve it yet; try again in a moment")]
    Moving {
        /// The partition.
        partition: PartitionId,
    },
    /// The grant has ended.
    #[error("the grant {token} has ended; acquire the partition anew")]
    Ended {
        /// What effects carried.
        token: FencingToken,
    },
    /// The node's right to act has run out: it has not been heard by a leader for a lease.
    #[error("this node's lease has run out, so {partition} may be another's by now")]
    LeaseLapsed {
        /// The partition.
        partition: PartitionId,
    },
    /// The cluster only gives routes.
    #[error(
        "the cluster's mode is advisory, which gives routes and no right to act; raise it to leased or fenced"
    )]
    Advisory,
}

impl NotOwner {
    /// Whether the same node may own the partition in a moment without anybody's doing.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Moving { .. } | Self::LeaseLapsed { .. })
    }
}

/// What this process may act on as primary, at one instant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owned {
    /// The cluster's incarnation.
    pub incarnation: Incarnation,
    /// The newest version of the table known here.
    pub version: Version,
    /// The open session, if there is one.
    pub session: Option<SessionId>,
    /// How long the right to act lasts unless it is renewed.
    pub lease_remaining: Duration,
    /// What it may act on, in order of partition; empty without a lease.
    pub tokens: Vec<FencingToken>,
}

impl Ownership {
    /// The grant of `partition` that is open now.
    pub(crate) fn open(gates: &Arc<Gates>, partition: PartitionId) -> Option<Self> {
        let epoch = gates.owns(partition)?;
        Some(Self {
            gates: Arc::clone(gates),
            token: gates.token(partition, epoch),
        })
    }

    /// What every effect carries: resources refuse an older one.
    #[must_use]
    pub const fn token(&self) -> FencingToken {
        self.token
    }

    /// The partition.
    #[must_use]
    pub const fn partition(&self) -> PartitionId {
        self.token.partition
    }

    /// Whether an effect may begin at this instant: one clock reading and a few atomic accesses,
    /// no lock.
    ///
    /// # Errors
    /// [`NotOwner::Ended`] when the grant is over, [`NotOwner::LeaseLapsed`] when the node's lease
    /// is.
    #[inline]
    pub fn check(&self) -> Result<Proof<'_>, NotOwner> {
        match self.gates.enter(self.token) {
            Ok(()) => Ok(Proof {
                gates: &self.gates,
                token: self.token,
            }),
            Err(Closed::Shut) => Err(NotOwner::Ended { token: self.token }),
            Err(Closed::Lapsed) => Err(NotOwner::LeaseLapsed {
                partition: self.token.partition,
            }),
        }
    }
}

impl Ownership {
    /// As [`Ownership::check`], with a proof that can be handed on.
    ///
    /// # Errors
    /// As [`Ownership::check`].
    pub fn hold(&self) -> Result<HeldProof, NotOwner> {
        // Before the check: a lease that ends between the two is no longer counted on.
        let (era, until) = (self.gates.era(), self.gates.lease_end());
        let proof = self.check()?;
        // Counted on by what is returned.
        std::mem::forget(proof);
        Ok(HeldProof {
            gates: Arc::clone(&self.gates),
            token: self.token,
            era,
            until,
        })
    }
}

impl HeldProof {
    /// What the effect carries.
    #[must_use]
    pub const fn token(&self) -> FencingToken {
        self.token
    }

    /// Whether the effect may begin at this instant: the lease under which it was admitted still
    /// lasts, or the grant is open under a later one.
    ///
    /// # Errors
    /// As [`Ownership::check`].
    pub fn check(&self) -> Result<Proof<'_>, NotOwner> {
        match self.gates.enter_again(self.token, self.era, self.until) {
            Ok(()) => Ok(Proof {
                gates: &self.gates,
                token: self.token,
            }),
            Err(Closed::Shut) => Err(NotOwner::Ended { token: self.token }),
            Err(Closed::Lapsed) => Err(NotOwner::LeaseLapsed {
                partition: self.token.partition,
            }),
        }
    }
}

impl Drop for HeldProof {
    fn drop(&mut self) {
        self.gates.leave(self.token.partition);
    }
}

impl std::fmt::Debug for HeldProof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("HeldProof").field(&self.token).finish()
    }
}

impl Proof<'_> {
    /// What the effect carries.
    #[must_use]
    pub const fn token(&self) -> FencingToken {
        self.token
    }

    /// The partition.
    #[must_use]
    pub const fn partition(&self) -> PartitionId {
        self.token.partition
    }
}

impl Drop for Proof<'_> {
    fn drop(&mut self) {
        self.gates.leave(self.token.partition);
    }
}

impl std::fmt::Debug for Ownership {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Ownership").field(&self.token).finish()
    }
}

impl std::fmt::Debug for Proof<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Proof").field(&self.token).finish()
    }
}

#[cfg(test)]
mod tests;
