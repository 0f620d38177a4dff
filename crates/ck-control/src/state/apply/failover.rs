//! What happens to partitions when sessions end, and when a node that has everything comes back.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::bugs::{Bug, Bugs};
use crate::state::apply::Step;
use crate::state::apply::rows::{Edits, edited, fronted, numbers, row_of};
use crate::state::{ChangeReason, EndReason, EventKind, Holder, PartitionControl, Session, State};
use crate::{MemberNumber, Position, SessionId};

/// What a member with an open session carries.
struct Share {
    session: SessionId,
    closing: bool,
    weight: u64,
    primaries: u64,
}

/// Who could take a partition over, and how much each carries already.
struct Load(BTreeMap<MemberNumber, Share>);

impl Load {
    fn of(state: &State) -> Self {
        let mut shares: BTreeMap<_, _> = state
            .sessions()
            .map(|session: &Session| {
                let weight = state
                    .member(session.member)
                    .map_or(1, |member| member.weight);
                let share = Share {
                    session: session.id,
                    closing: session.closing,
                    weight: weight.into(),
                    primaries: 0,
                };
                (session.member, share)
            })
            .collect();
        for (_, control) in state.partitions() {
            let Some(holder) = control.holder else {
                continue;
            };
            if let Some(share) = shares.get_mut(&holder.member)
                && share.session == holder.session
            {
                share.primaries += 1;
            }
        }
        Self(shares)
    }

    /// The open session of a member.
    fn session(&self, member: MemberNumber) -> Option<SessionId> {
        self.0.get(&member).map(|share| share.session)
    }

    /// The in-sync member with an open, not closing session and the fewest primaries for its
    /// weight; ties go to the one that stands first in the row.
    fn successor(&self, row: &[MemberNumber], in_sync: &[MemberNumber]) -> Option<Holder> {
        let outside = in_sync.iter().filter(|member| !row.contains(member));
        let mut best: Option<(MemberNumber, &Share)> = None;
        for member in row
            .iter()
            .filter(|member| in_sync.contains(member))
            .chain(outside)
        {
            let Some(share) = self.0.get(member).filter(|share| !share.closing) else {
                continue;
            };
            // a/v < b/w without division: a × w < b × v. At most 2^24 × 2^32, so it fits.
            let fewer = best.is_none_or(|(_, least)| {
                share.primaries * least.weight < least.primaries * share.weight
            });
            if fewer {
                best = Some((*member, share));
            }
        }
        best.map(|(member, share)| Holder {
            member,
            session: share.session,
        })
    }

    fn count(&mut self, member: MemberNumber) {
        if let Some(share) = self.0.get_mut(&member) {
            share.primaries += 1;
        }
    }
}

/// Gives the primary role away: the one place where an epoch grows.
pub(super) fn grant(
    control: &mut PartitionControl,
    holder: Holder,
    position: Position,
    bugs: Bugs,
) {
    let again = control
        .holder
        .is_some_and(|old| old.member == holder.member);
    if !(again && bugs.has(Bug::EpochNotRaised)) {
        control.epoch = control.epoch.next();
    }
    control.holder = Some(holder);
    control.granted_at = position;
}

/// Takes lost members out of an in-sync set that keeps one with an open session; a set that keeps
/// none stays as it is and is only the last known one from now on.
///
/// Where the primary is lost too, one that is being removed keeps nothing: it takes no role over, and
/// takes its copy with it, while the lost ones may come back with everything. Nothing is acknowledged
/// until then. As a primary that still acts it keeps the set: it goes on without the lost ones.
fn shrink(control: &mut PartitionControl, lost: &BTreeSet<MemberNumber>, load: &Load) {
    if control.last_known || !control.in_sync.iter().any(|member| lost.contains(member)) {
        return;
    }
    let kept = |member: &MemberNumber| !lost.contains(member);
    let acts = control.holder.is_some_and(|holder| {
        kept(&holder.member) && load.session(holder.member) == Some(holder.session)
    });
    let keeps = |member: &MemberNumber| {
        let share = load.0.get(member).filter(|_| kept(member));
        share.is_some_and(|share| acts || !share.closing)
    };
    if control.in_sync.iter().any(keeps) {
        control.in_sync.retain(kept);
    } else {
        control.last_known = true;
    }
}

impl State {
    /// Ends sessions for good; their members own nothing until they register anew.
    pub(super) fn end_sessions(
        &mut self,
        step: &mut Step<'_>,
        sessions: &[SessionId],
        reason: EndReason,
    ) {
        let open = Arc::make_mut(&mut self.sessions);
        let members = Arc::make_mut(&mut self.members);
        for id in sessions {
            let Some(session) = open.remove(id) else {
                continue;
            };
            let Some(member) = members.member_mut(session.member) else {
                continue;
            };
            member.session = None;
            member.stopped_cleanly = reason == EndReason::Stopped;
            member.last_ended_at_ms = Some(step.at_ms());
            let (node, member) = (member.node.clone(), member.number);
            step.tell(EventKind::SessionEnded {
                node: node.clone(),
                member,
                session: *id,
                reason,
            });
            if matches!(reason, EndReason::Stopped | EndReason::Expired) {
                step.tell(EventKind::HealthChanged {
                    node,
                    healthy: false,
                    status: reason.name().to_string(),
                });
            }
        }
        step.publish();
        self.complete_raise(step, &[]);
    }

    /// Takes members whose sessions have ended out of the in-sync sets, and gives what they held
    /// to others, in order of partition number.
    pub(super) fn fail_over(
        &mut self,
        step: &mut Step<'_>,
        lost: &BTreeSet<MemberNumber>,
        reason: ChangeReason,
    ) {
        let held = |control: &PartitionControl| {
            control
                .holder
                .is_some_and(|holder| lost.contains(&holder.member))
        };
        let shrinks = |control: &PartitionControl| {
            !control.last_known && control.in_sync.iter().any(|member| lost.contains(member))
        };
        let touched = |control: &PartitionControl| held(control) || shrinks(control);
        let Some(table) = self
            .table
            .clone()
            .filter(|_| self.partitions.iter().any(touched))
        else {
            return;
        };
        let mut load = Load::of(self);
        let numbers = numbers(&self.members, &table);
        let mut edits = Edits::new();
        let partitions = Arc::make_mut(&mut self.partitions)
            .iter_mut()
            .zip(table.rows());
        for (control, row) in partitions {
            let known_lost = control.last_known;
            shrink(control, lost, &load);
            if !held(control) || known_lost {
                continue;
            }
            let old_primary = row.primary().cloned();
            let members = row_of(&numbers, row);
            let next = (!control.last_known)
                .then(|| load.successor(&members, &control.in_sync))
                .flatten();
            if let Some(next) = next {
                grant(control, next, step.position(), self.bugs);
                load.count(next.member);
                edits.insert(row.partition(), fronted(&members, next.member));
            }
            let new_primary = next.and_then(|next| self.members.member(next.member));
            step.tell(EventKind::PartitionChanged {
                partition: row.partition(),
                copy_from: Vec::new(),
                copy_to: Vec::new(),
                reason,
                old_primary,
                new_primary: new_primary.map(|member| member.node.clone()),
                epoch: control.epoch,
            });
        }
        step.publish();
        if !edits.is_empty() {
            self.table = Some(Arc::new(edited(&table, &self.members, &edits)));
            step.replan();
        }
    }
}
