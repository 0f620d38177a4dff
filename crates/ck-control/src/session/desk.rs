//! The leader's side of all leases, for one office.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::time::Duration;

use crate::bugs::{Bug, Bugs};
use crate::{Answer, MemberNumber, Position, Renewal, SessionId, State, Time};

/// What one office remembers of one open session.
#[derive(Debug, Clone, Copy)]
struct Seat {
    /// When this office first saw its registration applied.
    registered: Time,
    /// Arrival of the newest renewal that was answered.
    answered: Option<Time>,
    /// When this office first answered it.
    first_answered: Option<Time>,
    /// The node's clock in the newest renewal.
    sent: Option<Time>,
    /// The newest position its node has applied, as it said.
    applied: Position,
    /// The grant its node had not applied, and since when that was seen.
    behind: Option<(Position, Time)>,
    /// Whether its node is about to stop, as it said.
    leaving: bool,
}

/// A renewal that waits for a confirmation.
#[derive(Debug, Clone, Copy)]
struct Queued {
    member: MemberNumber,
    sent: Time,
    arrived: Time,
}

/// Arrivals, condemned sessions and the confirmation under way of one office. Dropped whole with
/// the office: nothing of it outlives the (process, term) it belongs to.
#[derive(Debug, Clone)]
pub(crate) struct Desk {
    bugs: Bugs,
    /// When the office entry was applied.
    since: Time,
    /// When everybody was counted anew because a tick came late.
    recounted: Time,
    ticked: Time,
    seats: BTreeMap<SessionId, Seat>,
    condemned: BTreeSet<SessionId>,
    queued: BTreeMap<SessionId, Queued>,
    /// Renewals that had arrived before the round under way began.
    covered: BTreeMap<SessionId, Queued>,
    /// When the round under way began.
    round: Option<Time>,
    /// Newest grant to each session.
    grants: BTreeMap<SessionId, Position>,
    /// When the longer lease before the present one was first seen to be past.
    shortened: Option<(Position, Time)>,
}

impl Desk {
    pub(crate) fn new(now: Time, state: &State, bugs: Bugs) -> Self {
        let mut desk = Self {
            bugs,
            since: now,
            recounted: now,
            ticked: now,
            seats: BTreeMap::new(),
            condemned: BTreeSet::new(),
            queued: BTreeMap::new(),
            covered: BTreeMap::new(),
            round: None,
            grants: BTreeMap::new(),
            shortened: None,
        };
        desk.applied(state, now);
        desk
    }

    pub(crate) const fn since(&self) -> Time {
        self.since
    }

    /// Takes the state as it is now applied.
    pub(crate) fn applied(&mut self, state: &State, now: Time) {
        self.seats.retain(|id, _| state.session(*id).is_some());
        self.condemned.retain(|id| state.session(*id).is_some());
        for session in state.sessions() {
            self.seats.entry(session.id).or_insert(Seat {
                registered: now,
                answered: None,
                first_answered: None,
                sent: None,
                applied: Position(0),
                behind: None,
                leaving: false,
            });
        }
        self.grants.clear();
        for (_, control) in state.partitions() {
            if let Some(holder) = control.holder {
                let newest = self.grants.entry(holder.session).or_default();
                *newest = control.granted_at.max(*newest);
            }
        }
        let since = state.past_lease().map(|past| past.since);
        match (since, self.shortened) {
            (Some(since), Some((seen, _))) if since == seen => {}
            (Some(since), _) => self.shortened = Some((since, now)),
            (None, _) => self.shortened = None,
        }
    }

    /// Whether a session's node has said that it applied a position.
    pub(crate) fn has_applied(&self, session: SessionId, position: Position) -> bool {
        self.seats
            .get(&session)
            .is_some_and(|seat| seat.applied >= position)
    }

    /// When the newest renewal of a session that was answered had arrived.
    pub(crate) fn answered_at(&self, session: SessionId) -> Option<Time> {
        self.seats.get(&session)?.answered
    }

    /// Whether a session is about to stop, as its node said.
    pub(crate) fn is_leaving(&self, session: SessionId) -> bool {
        self.seats.get(&session).is_some_and(|seat| seat.leaving)
    }

    /// Whether a session that is about to stop holds a role that another could take.
    fn hands_over(&self, state: &State, session: SessionId) -> bool {
        let takes = |member: &MemberNumber| {
            let open = state
                .member(*member)
                .and_then(|member| state.session(member.session?));
            open.is_some_and(|open| {
                open.id != session && !open.closing && !self.is_leaving(open.id)
            })
        };
        self.is_leaving(session)
            && state.brake().is_none()
            && state.partitions().any(|(partition, control)| {
                // A copy that is not in sync yet is brought up to date, and then takes it.
                control.holder.is_some_and(|one| one.session == session)
                    && (control.in_sync.iter().any(takes)
                        || state.row_members(partition).iter().any(takes))
            })
    }

    /// How long a silent session is waited for: a shorter lease binds only when the longer has run
    /// out.
    pub(crate) fn waits_for(&self, state: &State, now: Time) -> Duration {
        let present = state.config().lease.waits_for();
        let past = state.past_lease().zip(self.shortened);
        let past = past
            .map(|(past, (_, seen))| (past.terms.waits_for(), seen))
            .filter(|(waits, seen)| now < seen.after(*waits))
            .map_or(Duration::ZERO, |(waits, _)| waits);
        present.max(past)
    }

    /// The longer lease of before, by the change that made it shorter, once it has run out for
    /// everybody: this office has waited it out itself since it first saw the change.
    pub(crate) fn past_lease_over(&self, state: &State, now: Time) -> Option<Position> {
        let past = state.past_lease()?;
        let (since, seen) = self.shortened?;
        let over = since == past.since && now >= seen.after(past.terms.waits_for());
        over.then_some(since)
    }

    /// When a session can be expired, unless another of its renewals is answered.
    fn deadline(&self, seat: &Seat, waits: Duration) -> Time {
        let answered = seat.answered.unwrap_or(Time::ZERO);
        if self.bugs.has(Bug::GrantBeforeExpiry) {
            return answered.max(seat.registered).after(waits / 3);
        }
        if self.bugs.has(Bug::LeaderSkipsWait) {
            return answered.after(waits);
        }
        let counted = self.since.max(self.recounted).max(seat.registered);
        counted.max(answered).after(waits)
    }

    /// A renewal arrived. Returns an answer that needs no confirmation.
    pub(crate) fn arrived(
        &mut self,
        renewal: &Renewal,
        state: &State,
        now: Time,
    ) -> Option<Answer> {
        let (session, process) = (renewal.session, renewal.process);
        let open = state.session(session);
        if open.is_some_and(|open| open.process != process && open.member == renewal.member) {
            // A copied data directory: the session is the process's that registered it, for good.
            return Some(Answer::Fenced { session, process });
        }
        if open.is_none() && session.0 <= state.applied().0 {
            if self.bugs.has(Bug::EndedSessionRevived) {
                return Some(Answer::Granted {
                    session,
                    process,
                    sent: renewal.sent,
                    terms: state.config().lease,
                    floor: Position(0),
                    handing_over: false,
                });
            }
            // Ended for good, in a log that only grows: true whoever leads.
            return Some(Answer::Fenced { session, process });
        }
        let open = open.filter(|open| open.member == renewal.member && !open.closing)?;
        let lease = state.config().lease.lease();
        let newest_grant = self.grants.get(&session).copied().unwrap_or_default();
        let seat = self.seats.get_mut(&session)?;
        if seat.sent.is_some_and(|last| renewal.sent <= last) {
            return None;
        }
        seat.sent = Some(renewal.sent);
        seat.applied = renewal.applied;
        seat.leaving = renewal.leaving;
        // An answer of this office must have had two leases to arrive: a cluster that was without
        // a leader for longer condemns nobody for it. Nor does an office that has itself answered
        // nobody for a lease, having slept or had no majority.
        if seat.answered.is_none_or(|at| now.since(at) > lease) {
            seat.first_answered = None;
            seat.behind = None;
        }
        let long_answered = seat
            .first_answered
            .is_some_and(|first| now.since(first) >= lease * 2);
        let mut cut = renewal.unanswered >= lease * 2 && long_answered;
        match seat.behind {
            Some((grant, since)) if renewal.applied < grant => {
                cut |= now.since(since) >= lease * 2;
            }
            _ => {
                seat.behind = (renewal.applied < newest_grant).then_some((newest_grant, now));
            }
        }
        if cut {
            self.condemned.insert(session);
        }
        if self.condemned.contains(&session) {
            return None;
        }
        self.queued.insert(
            session,
            Queued {
                member: open.member,
                sent: renewal.sent,
                arrived: now,
            },
        );
        None
    }

    /// Whether a confirmation should begin now; if so, everything that has arrived is covered.
    pub(crate) fn begin_round(&mut self, state: &State, now: Time) -> bool {
        let lost = self
            .round
            .is_some_and(|began| now.since(began) >= state.config().lease.renews_every());
        if lost {
            // Began before some of these arrived, so they wait for the next one like the others.
            let covered = core::mem::take(&mut self.covered);
            for (session, queued) in covered {
                self.queued.entry(session).or_insert(queued);
            }
            self.round = None;
        }
        if self.round.is_some() || self.queued.is_empty() {
            return false;
        }
        self.covered = core::mem::take(&mut self.queued);
        self.round = Some(now);
        true
    }

    /// The round under way was confirmed: what had arrived before it began is answered.
    pub(crate) fn confirmed(&mut self, state: &State, now: Time) -> Vec<(MemberNumber, Answer)> {
        self.round = None;
        let mut covered = core::mem::take(&mut self.covered);
        if self.bugs.has(Bug::ConfirmationBegunBefore) {
            covered.append(&mut self.queued);
        }
        let mut answers = Vec::new();
        for (id, queued) in covered {
            let Some(open) = state.session(id).filter(|open| !open.closing) else {
                continue;
            };
            if self.condemned.contains(&id) {
                continue;
            }
            let handing_over = self.hands_over(state, id);
            let Some(seat) = self.seats.get_mut(&id) else {
                continue;
            };
            seat.answered = seat.answered.max(Some(queued.arrived));
            seat.first_answered = seat.first_answered.or(Some(now));
            let answer = Answer::Granted {
                session: id,
                process: open.process,
                sent: queued.sent,
                terms: state.config().lease,
                floor: open.floor,
                handing_over,
            };
            answers.push((queued.member, answer));
        }
        answers
    }

    /// Time has passed: condemns the sessions whose lease has run out, and returns every session
    /// that is to be expired. After a late tick everybody is counted anew instead.
    pub(crate) fn tick(&mut self, state: &State, now: Time) -> Vec<SessionId> {
        let late = now.since(self.ticked) > state.config().lease.late_after();
        self.ticked = now;
        if late {
            self.recounted = now;
        }
        let waits = self.waits_for(state, now);
        for (id, seat) in &self.seats {
            if now >= self.deadline(seat, waits) {
                self.condemned.insert(*id);
            }
        }
        let due = |id: &&SessionId| {
            let seat = self.seats.get(*id);
            seat.is_some_and(|seat| now >= self.deadline(seat, waits))
        };
        self.condemned.iter().filter(due).copied().collect()
    }

    /// When the next session is due, or the round under way counts as lost.
    pub(crate) fn next_deadline(&self, state: &State, now: Time) -> Option<Time> {
        let waits = self.waits_for(state, now);
        let due = self.seats.values().map(|seat| self.deadline(seat, waits));
        let lost = self
            .round
            .map(|began| began.after(state.config().lease.renews_every()));
        due.filter(|at| *at > now).chain(lost).min()
    }
}
