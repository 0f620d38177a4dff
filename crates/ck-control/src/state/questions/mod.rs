//! What operators ask of the replicated state, answered with reasons.
//!
//! Read off the state alone: the same question to the same state has the same answer on every node.
//! What only a process knows, such as who votes, is added by whoever asks.

mod explain;
mod stop;
#[cfg(test)]
mod tests;
mod why_not;
mod words;

pub use explain::{CopyView, Explained, Finding, MoveView, PlanView, WaitsFor};
pub use stop::{MayStop, StopHazard};
pub use why_not::Obstacle;

use ck_core::NodeId;

use crate::MemberNumber;
use crate::state::{Member, State};

impl State {
    /// The name of a member; `None` when it is gone.
    fn name_of(&self, member: MemberNumber) -> Option<NodeId> {
        self.member(member).map(|found| found.node.clone())
    }

    /// Whether a member's session is open and its removal has not begun.
    fn is_usable(&self, member: &Member) -> bool {
        !member.closing
            && member
                .session
                .and_then(|session| self.session(session))
                .is_some_and(|session| !session.closing)
    }

    /// Copies on their way to a member, and from it.
    fn copying(&self, member: MemberNumber) -> (u32, u32) {
        let copies = self.transfers().filter(|one| one.copies());
        copies.fold((0, 0), |(to, from), one| {
            (
                to + u32::from(one.target.member == member),
                from + u32::from(one.source.member == member),
            )
        })
    }
}
