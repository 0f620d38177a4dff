//! A new incarnation: what a restore and a forced recovery begin a cluster's new log with.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::state::apply::Step;
use crate::state::{ChangeReason, Command, EndReason, Entry, Genesis, Proposal, Rejection, State};
use crate::{ClusterId, Incarnation, MemberNumber, Position, SessionId};

/// With what a new incarnation of a cluster begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewIncarnation {
    /// The cluster's identity from now on. Nodes and data of the one before never mix with it.
    pub cluster: ClusterId,
    /// Higher than any before.
    pub incarnation: Incarnation,
    /// Position it begins at, past every entry that is known. The log goes on behind it.
    pub position: Position,
    /// The wall clock, in milliseconds since 1970. For people; nothing depends on it.
    pub at_ms: u64,
    /// Who asked, at most 256 bytes.
    pub actor: String,
    /// Members that are taken out for good, their copies with them.
    pub gone: BTreeSet<MemberNumber>,
    /// Whether the others' stores are made anew, so that they know of no start before.
    pub new_stores: bool,
    /// Whether what the state says of copies is doubted: nobody is granted a partition for it, until it
    /// is said which copy counts.
    pub doubts_copies: bool,
}

impl State {
    /// The state with which a new incarnation begins: every session has ended, nothing is under way,
    /// and what each copy is worth is as it was. No epoch, version or number falls.
    ///
    /// No entry of the log does this: it is what a new log begins with, made where all processes of the
    /// cluster are known to have ended.
    ///
    /// # Errors
    /// [`Rejection`] when there is no cluster, when the incarnation or the position has been before,
    /// when a member that is to go is unknown, or when none would stay.
    pub fn begin_anew(&self, with: &NewIncarnation) -> Result<Self, Rejection> {
        self.check_anew(with)?;
        let Some(before) = self.formed() else {
            return Err(Rejection::NotFormed);
        };
        let genesis = Genesis {
            cluster: with.cluster,
            incarnation: with.incarnation,
            ..before.clone()
        };
        let command = Command::Genesis(genesis.clone());
        let entry = Entry {
            position: with.position,
            term: 0,
            proposal: Proposal::new(with.at_ms, with.actor.clone(), command),
        };
        let mut state = self.clone();
        let mut step = Step::new(&entry, state.version);
        state.applied = with.position;
        state.genesis = Some(Arc::new(genesis));
        state.incarnation = with.incarnation;
        state.end_all(&mut step);
        if with.new_stores {
            state.forget_homes();
        }
        if with.doubts_copies {
            state.doubt_all();
        }
        for number in &with.gone {
            let Some(node) = state.member(*number).map(|member| member.node.clone()) else {
                continue;
            };
            state.drop_copies(&mut step, *number, &node);
            Arc::make_mut(&mut state.members).remove(*number);
        }
        step.replan();
        step.summary = format!(
            "incarnation {} begins after {}; {} members stay, {} are gone for good",
            with.incarnation,
            self.incarnation,
            state.members.len(),
            with.gone.len()
        );
        state.version = step.version;
        state.planned_on = step.version;
        state.remember(&mut step);
        Ok(state)
    }

    fn check_anew(&self, with: &NewIncarnation) -> Result<(), Rejection> {
        for (field, got, newest) in [
            ("incarnation", with.incarnation.0, self.incarnation.0),
            ("position", with.position.0, self.applied.0),
        ] {
            if got <= newest {
                return Err(Rejection::Range {
                    field: field.to_string(),
                    got,
                    min: newest.saturating_add(1),
                    max: u64::MAX,
                });
            }
        }
        for number in &with.gone {
            self.member(*number).ok_or_else(|| self.absent(*number))?;
        }
        let mut staying = self
            .members()
            .filter(|one| !with.gone.contains(&one.number));
        match (staying.next(), self.members().next()) {
            (None, Some(first)) => Err(Rejection::LastMember {
                node: first.node.clone(),
            }),
            _ => Ok(()),
        }
    }

    /// Ends what belongs to processes: offices, sessions, plans and moves.
    fn end_all(&mut self, step: &mut Step<'_>) {
        self.office = None;
        self.rebalance = None;
        self.brake = None;
        let open: Vec<SessionId> = self.sessions.keys().copied().collect();
        let all: BTreeSet<MemberNumber> = self.members().map(|member| member.number).collect();
        self.end_sessions(step, &open, EndReason::Expired);
        self.fail_over(step, &all, ChangeReason::Failover);
        self.end_orphaned_moves(step);
        // A stop that was clean then says nothing of starts that this state does not know.
        let members = Arc::make_mut(&mut self.members);
        for number in all {
            if let Some(member) = members.member_mut(number) {
                member.stopped_cleanly = false;
                // Whoever stays is a member: a removal under way was of the life before.
                member.closing = false;
            }
        }
    }

    /// Leaves nobody who could be granted a partition by coming back.
    fn doubt_all(&mut self) {
        for control in Arc::make_mut(&mut self.partitions).iter_mut() {
            control.last_known = true;
            control.unproven.clone_from(&control.in_sync);
        }
    }

    fn forget_homes(&mut self) {
        let numbers: Vec<MemberNumber> = self.members().map(|member| member.number).collect();
        let members = Arc::make_mut(&mut self.members);
        for number in numbers {
            if let Some(member) = members.member_mut(number) {
                member.home = None;
            }
        }
    }
}
