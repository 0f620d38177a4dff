//! A node that is about to stop: its primary roles go to copies that are in sync, all at once,
//! since nothing is copied.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::controller::Leader;
use crate::controller::intent::Intent;
use crate::state::{Move, TransferCommand};
use crate::{Command, MemberNumber, Party, State, Time, Trigger};

/// Members that may be given a role, with their weight and the roles they have.
struct Takers(BTreeMap<MemberNumber, (Party, u64, u64)>);

impl Takers {
    fn of(state: &State, stays: impl Fn(Party) -> bool) -> Self {
        let mut takers = BTreeMap::new();
        for session in state.sessions().filter(|session| !session.closing) {
            let party = Party {
                member: session.member,
                session: session.id,
            };
            if let Some(member) = state.member(session.member).filter(|_| stays(party)) {
                takers.insert(session.member, (party, u64::from(member.weight), 0));
            }
        }
        for (_, control) in state.partitions() {
            let holder = control.holder.map(|holder| holder.member);
            if let Some(taker) = holder.and_then(|member| takers.get_mut(&member)) {
                taker.2 += 1;
            }
        }
        Self(takers)
    }

    /// The one of these members with the fewest roles for its weight, which then has one more; the
    /// first of equals.
    fn take(&mut self, members: &[MemberNumber]) -> Option<Party> {
        let mut best: Option<(MemberNumber, u64, u64)> = None;
        for member in members {
            let Some((_, weight, roles)) = self.0.get(member) else {
                continue;
            };
            // a/v < b/w without division.
            if best.is_none_or(|(_, w, least)| roles * w < least * weight) {
                best = Some((*member, *weight, *roles));
            }
        }
        let (party, _, roles) = self.0.get_mut(&best?.0)?;
        *roles += 1;
        Some(*party)
    }
}

impl Leader {
    /// Opens a handoff for every role of a node that is about to stop.
    pub(super) fn hand_over_leaving(&mut self, now: Time) {
        let state = self.state.clone();
        let Some((office, _)) = self.in_office() else {
            return;
        };
        let leaving: Vec<_> = state
            .sessions()
            .filter(|session| office.desk.is_leaving(session.id))
            .map(|session| session.id)
            .collect();
        if leaving.is_empty() {
            return;
        }
        let mut takers = Takers::of(&state, |party| !leaving.contains(&party.session));
        let mut moves = Vec::new();
        for (partition, control) in state.partitions() {
            let held = control
                .holder
                .filter(|holder| leaving.contains(&holder.session));
            let (Some(holder), None) = (held, control.transfer) else {
                continue;
            };
            let row = state.row_members(partition);
            let in_sync: Vec<_> = row
                .into_iter()
                .filter(|member| *member != holder.member && control.is_in_sync(*member))
                .collect();
            if let Some(target) = takers.take(&in_sync) {
                moves.push(Move {
                    partition,
                    source: Party {
                        member: holder.member,
                        session: holder.session,
                    },
                    target,
                    handoff: true,
                    leaving: None,
                    reason: Trigger::Drain,
                    force: false,
                });
            }
        }
        let office = Some(office.id);
        for begun in moves {
            let step = TransferCommand::Open(begun);
            self.propose(
                Intent::Open(begun.partition),
                Command::Transfer { office, step },
                now,
            );
        }
    }
}
