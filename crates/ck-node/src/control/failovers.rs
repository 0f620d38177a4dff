//! How long failovers take. Nothing is decided by it.

use std::collections::{BTreeMap, BTreeSet};

use ck_control::{
    Answer, FencingToken, Holder, Leader, MemberNumber, OfficeId, SessionId, State, Time,
};
use ck_core::{Epoch, PartitionId};

use crate::durations::FailoverFigures;

/// What is remembered of failovers under way. Each map has at most an entry a partition.
#[derive(Debug)]
pub(super) struct Failovers {
    member: MemberNumber,
    figures: FailoverFigures,
    /// When a renewal of this node was answered last.
    heard: Option<Time>,
    /// The office held, and when its predecessor gave its last sign of life.
    office: Option<(OfficeId, Time)>,
    /// Partitions whose primary was lost and that nobody has taken over yet, and since when.
    vacant: BTreeMap<PartitionId, Time>,
    /// Granted to this node, which does not act on them yet, and since when.
    beginning: BTreeMap<PartitionId, (Epoch, Time)>,
}

impl Failovers {
    /// Nothing is known yet to that member.
    pub(super) fn of(member: MemberNumber) -> Self {
        Self {
            member,
            figures: FailoverFigures::default(),
            heard: None,
            office: None,
            vacant: BTreeMap::new(),
            beginning: BTreeMap::new(),
        }
    }

    /// The leader of now has answered.
    pub(super) fn heard(&mut self, answer: &Answer, now: Time) {
        if matches!(answer, Answer::Granted { .. }) {
            self.heard = Some(now);
        }
    }

    /// The office this node holds. Told before an answer to a renewal that the office gave itself.
    pub(super) fn holds(&mut self, office: Option<OfficeId>, now: Time) {
        if self.office.map(|(held, _)| held) != office {
            self.office = office.map(|office| (office, self.heard.unwrap_or(now)));
        }
    }

    /// A state is about to take the place of the one before. Returns the figures, if they are others
    /// now.
    pub(super) fn applied(
        &mut self,
        (before, state): (&State, &State),
        leader: &Leader,
        now: Time,
    ) -> Option<FailoverFigures> {
        // One that another has followed by now saw nothing of this.
        let present = state.office().map(|office| office.id);
        let office = self.office.filter(|(held, _)| Some(*held) == present);
        let lost: BTreeSet<SessionId> = before
            .sessions()
            .filter(|session| state.session(session.id).is_none())
            .filter(|session| is_lost(state, session.member))
            .map(|session| session.id)
            .collect();
        if !lost.is_empty() {
            let held = |holder: &Holder| lost.contains(&holder.session);
            for (partition, control) in before.partitions() {
                if let Some(holder) = control.holder.filter(held) {
                    let since = office.map(|(_, before)| {
                        let answered = leader.answered_at(holder.session);
                        answered.unwrap_or(before)
                    });
                    self.vacant.insert(partition, since.unwrap_or(now));
                }
            }
        }
        let figures = self.figures;
        self.vacant.retain(|partition, since| {
            let Some((by, epoch)) = granted(state, *partition) else {
                return true;
            };
            if office.is_some() {
                self.figures.granted.add(now.since(*since));
            }
            if by == self.member {
                self.beginning.insert(*partition, (epoch, now));
            }
            false
        });
        (figures != self.figures).then_some(self.figures)
    }

    /// This node may act on a partition. Returns the figures, if they are others now.
    pub(super) fn opened(&mut self, token: FencingToken, now: Time) -> Option<FailoverFigures> {
        let (epoch, since) = self.beginning.remove(&token.partition)?;
        if epoch != token.epoch {
            return None;
        }
        self.figures.begun.add(now.since(since));
        Some(self.figures)
    }
}

/// Who was granted a partition, in a session that is open, and at which epoch.
fn granted(state: &State, partition: PartitionId) -> Option<(MemberNumber, Epoch)> {
    let control = state.partition(partition)?;
    let holder = control.holder?;
    let open = state.session(holder.session);
    open.map(|_| (holder.member, control.epoch))
}

/// Whether a member whose session has ended is lost: it neither said so, nor is back, nor removed.
fn is_lost(state: &State, member: MemberNumber) -> bool {
    let member = state.member(member);
    member.is_some_and(|member| member.session.is_none() && !member.stopped_cleanly)
}
