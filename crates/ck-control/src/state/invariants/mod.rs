//! What is true of every state, and of every step from one to the next.

mod members;
mod partitions;
mod step;
#[cfg(test)]
mod tests;

use alloc::string::String;

use ck_core::{Epoch, NodeId, PartitionId};
use serde::{Deserialize, Serialize};

use crate::state::State;
use crate::{ConfigError, MemberNumber, SessionId, TransferId};

/// A rule that a state breaks: a defect, never a user's mistake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum InvariantError {
    /// The configuration does not pass its check.
    #[error("the configuration is invalid: {0}")]
    Config(#[source] ConfigError),
    /// Before genesis there is nothing.
    #[error("{what} exists before genesis")]
    BeforeGenesis {
        /// What exists.
        what: String,
    },
    /// A position, version or number refers past what has happened.
    #[error("{what} {got} is past {limit}, the newest there is")]
    Ahead {
        /// What refers there.
        what: String,
        /// Where.
        got: u64,
        /// The newest.
        limit: u64,
    },
    /// A member has a number that was never given.
    #[error("{node:?} has member number {member}, which was never given")]
    NumberNotGiven {
        /// The node.
        node: NodeId,
        /// The number.
        member: MemberNumber,
    },
    /// A member's name, store or address is another's too.
    #[error("member {member} and {other} have the same {what}")]
    Shared {
        /// The one.
        member: MemberNumber,
        /// The other.
        other: MemberNumber,
        /// What they share.
        what: String,
    },
    /// A member's field has a value no member may have.
    #[error("member {member}: {field} has a value that no member may have")]
    MemberField {
        /// The member.
        member: MemberNumber,
        /// The field.
        field: String,
    },
    /// A session and its member disagree.
    #[error("session {session} and member {member} disagree about {what}")]
    SessionMember {
        /// The session.
        session: SessionId,
        /// The member.
        member: MemberNumber,
        /// What they disagree about.
        what: String,
    },
    /// Table, control and configuration have different partition counts.
    #[error("{table} rows, {control} controls and {config} configured partitions do not agree")]
    PartitionCount {
        /// Rows of the table; 0 without one.
        table: u64,
        /// Partitions that are controlled.
        control: u64,
        /// The configured number.
        config: u64,
    },
    /// A row names a node that is no member.
    #[error("{partition}: the row names {node:?}, which is no member")]
    RowNode {
        /// The partition.
        partition: PartitionId,
        /// The node.
        node: NodeId,
    },
    /// An epoch without a grant, or a grant without an epoch.
    #[error("{partition}: epoch {epoch} and the position of its grant do not agree")]
    Grant {
        /// The partition.
        partition: PartitionId,
        /// Its epoch.
        epoch: Epoch,
    },
    /// A holder that is no member, or whose session is another's.
    #[error("{partition}: holder {member} with session {session} cannot be")]
    Holder {
        /// The partition.
        partition: PartitionId,
        /// The holder.
        member: MemberNumber,
        /// Its session.
        session: SessionId,
    },
    /// A holder that does not stand first in the row.
    #[error("{partition}: holder {member} does not stand first in the row")]
    HolderNotFirst {
        /// The partition.
        partition: PartitionId,
        /// The holder.
        member: MemberNumber,
    },
    /// A holder with an open session that does not have everything.
    #[error("{partition}: holder {member} may act but is not in sync")]
    HolderOutOfSync {
        /// The partition.
        partition: PartitionId,
        /// The holder.
        member: MemberNumber,
    },
    /// An in-sync or unproven set that is out of order, or names somebody without a copy.
    #[error("{partition}: the {set} set is out of order or member {member} cannot be in it")]
    InSync {
        /// The partition.
        partition: PartitionId,
        /// `in-sync` or `unproven`.
        set: String,
        /// The member.
        member: MemberNumber,
    },
    /// A set marked as last known that is empty or alive, or doubts about one that is not.
    #[error("{partition}: the in-sync set cannot be a last known one: {why}")]
    LastKnown {
        /// The partition.
        partition: PartitionId,
        /// Why not.
        why: String,
    },
    /// A planned move that does not fit its partition, its parties or its stage.
    #[error("transfer {transfer}: {what} does not fit")]
    Transfer {
        /// The move.
        transfer: TransferId,
        /// What does not fit.
        what: String,
    },
    /// Something under way that cannot be.
    #[error("{what} under way does not fit")]
    Pending {
        /// What: a rebalance, a raise of the mode.
        what: String,
    },
    /// The bytes counted are not the bytes there are.
    #[error("custom values have {actual} bytes, {counted} are counted")]
    CustomBytes {
        /// As counted.
        counted: u64,
        /// As they are.
        actual: u64,
    },
    /// History out of order, or longer than configured.
    #[error("history is out of order or longer than {max} at entry {at}")]
    History {
        /// Index of the entry.
        at: u64,
        /// Entries that are kept.
        max: u64,
    },
    /// Something that only grows fell.
    #[error("{what} fell from {before} to {after}")]
    Fell {
        /// What fell.
        what: String,
        /// Its value before.
        before: u64,
        /// Its value after.
        after: u64,
    },
    /// Something that never changes did.
    #[error("{what} changed, which it never does")]
    Changed {
        /// What changed.
        what: String,
    },
    /// Two grants at one epoch.
    #[error("{partition}: granted twice at epoch {epoch}")]
    GrantedTwice {
        /// The partition.
        partition: PartitionId,
        /// The epoch.
        epoch: Epoch,
    },
    /// A member number or session that had been, came back.
    #[error("{what} {number} was used before and came back")]
    Reborn {
        /// `member` or `session`.
        what: String,
        /// Its number.
        number: u64,
    },
    /// What is published changed without a new version.
    #[error("{what} changed without a new version")]
    Unversioned {
        /// What changed.
        what: String,
    },
}

impl State {
    /// Checks what is true of every state.
    ///
    /// # Errors
    /// [`InvariantError`] names the first rule that is broken, and where.
    pub fn check_invariants(&self) -> Result<(), InvariantError> {
        self.config().check().map_err(InvariantError::Config)?;
        self.check_formed()?;
        self.check_positions()?;
        self.check_members()?;
        self.check_sessions()?;
        self.check_partitions()?;
        self.check_transfers()?;
        self.check_pending()?;
        self.check_customs()?;
        self.check_history()
    }

    fn check_formed(&self) -> Result<(), InvariantError> {
        if self.genesis.is_some() {
            return Ok(());
        }
        let mut empty = Self {
            applied: self.applied,
            ..Self::default()
        };
        let parts = [
            (self.members != empty.members, "a member"),
            (self.table.is_some(), "a table"),
            (self.office.is_some(), "an office"),
        ];
        if let Some((_, what)) = parts.iter().find(|(exists, _)| *exists) {
            return Err(InvariantError::BeforeGenesis {
                what: (*what).into(),
            });
        }
        empty.config.clone_from(&self.config);
        if *self != empty {
            return Err(InvariantError::BeforeGenesis {
                what: "something".into(),
            });
        }
        Ok(())
    }

    fn check_positions(&self) -> Result<(), InvariantError> {
        let (applied, version) = (self.applied.0, self.version.0);
        let office = self.office.map_or(0, |office| office.id.0);
        ahead("the office", office, applied)?;
        ahead("the placement version", self.planned_on.0, version)?;
        let reshaped = self.reshaped.unwrap_or_default();
        ahead("the change that asks for a plan", reshaped.0, version)
    }

    fn check_pending(&self) -> Result<(), InvariantError> {
        let rebalance = self.rebalance().is_some_and(|one| {
            one.target.partitions() != self.config.partitions || one.done > one.total
        });
        let raise = self.raise().is_some_and(|one| {
            one.mode <= self.config.mode
                || one
                    .waiting
                    .iter()
                    .any(|session| self.session(*session).is_none())
        });
        for (wrong, what) in [(rebalance, "a rebalance"), (raise, "a raise of the mode")] {
            if wrong {
                return Err(InvariantError::Pending { what: what.into() });
            }
        }
        let since = [
            self.rebalance().map(|one| one.since),
            self.raise().map(|one| one.since),
            self.brake().map(|one| one.since),
            self.past_lease().map(|one| one.since),
        ];
        let newest = since.into_iter().flatten().max().unwrap_or_default();
        ahead("something under way", newest.0, self.applied.0)?;
        let base = self.rebalance().map_or(0, |one| one.base.0);
        ahead("the version of a plan", base, self.version.0)
    }

    fn check_customs(&self) -> Result<(), InvariantError> {
        let mut actual = 0;
        for (key, custom) in self.customs() {
            actual += (key.len() + custom.value.len()) as u64;
            ahead("a custom value's version", custom.version.0, self.version.0)?;
        }
        if actual == self.custom_bytes {
            return Ok(());
        }
        Err(InvariantError::CustomBytes {
            counted: self.custom_bytes,
            actual,
        })
    }

    fn check_history(&self) -> Result<(), InvariantError> {
        let max = u64::from(self.config.history_max);
        let mut newest = 0;
        for (at, entry) in self.history().enumerate() {
            let at = at as u64;
            if entry.position.0 <= newest || at >= max {
                return Err(InvariantError::History { at, max });
            }
            newest = entry.position.0;
        }
        ahead("history", newest, self.applied.0)
    }
}

fn ahead(what: &str, got: u64, limit: u64) -> Result<(), InvariantError> {
    if got <= limit {
        Ok(())
    } else {
        Err(InvariantError::Ahead {
            what: what.into(),
            got,
            limit,
        })
    }
}
