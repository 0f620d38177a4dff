//! The leader's side: who is expired, what is moved next, and which confirmation covers which
//! renewal.
//!
//! Everything a new leader needs is in the state; what is kept here is timers, counted from the
//! office, and the memory of proposals that are on their way.

mod brake;
mod intent;
mod io;
mod leaving;
mod moves;
mod open;
mod pace;
mod plan;

pub use io::{LeaderInput, LeaderOutput, Round};
pub use pace::Pace;

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::bugs::{Bug, Bugs};
use crate::session::Desk;
use crate::{Command, MemberNumber, Nonce, Office, OfficeId, Renewal, SessionId, State, Time};
use brake::Losses;
use intent::{Intent, Intents};
use moves::Timers;

/// What one process may decide while it leads, in one term.
#[derive(Debug, Clone)]
struct Tenure {
    term: u64,
    /// Absent until this process's own office entry of this term is applied.
    office: Option<InOffice>,
    intents: Intents,
}

/// All that one office remembers; dropped whole.
#[derive(Debug, Clone)]
struct InOffice {
    id: OfficeId,
    desk: Desk,
    timers: Timers,
    losses: Losses,
}

/// One process that may lead. Every process has one, leading or not.
///
/// Call order: [`handle`](Self::handle) with each input as it happens, then
/// [`poll_output`](Self::poll_output) until it is empty, then wait for the next input or
/// [`next_deadline`](Self::next_deadline). Proposals need not succeed and may be lost: what the
/// applied state does not show is proposed again.
#[derive(Debug, Clone)]
pub struct Leader {
    member: MemberNumber,
    nonce: Nonce,
    pace: Pace,
    bugs: Bugs,
    state: State,
    tenure: Option<Tenure>,
    /// The newest office this process has left; what it remembered is gone, so it is never entered
    /// again, though no other has come after it.
    left: OfficeId,
    rounds: Round,
    tick_at: Time,
    outputs: VecDeque<LeaderOutput>,
}

impl Leader {
    /// A process that has just started. `nonce` is drawn anew at every start.
    #[must_use]
    pub fn new(member: MemberNumber, nonce: Nonce, pace: Pace, bugs: Bugs) -> Self {
        Self {
            member,
            nonce,
            pace,
            bugs,
            state: State::default(),
            tenure: None,
            left: OfficeId::default(),
            rounds: Round(0),
            tick_at: Time::ZERO,
            outputs: VecDeque::new(),
        }
    }

    /// Takes one input. `now` never goes back.
    pub fn handle(&mut self, input: LeaderInput, now: Time) {
        match input {
            LeaderInput::Leads { term } => self.leads(term, now),
            LeaderInput::Follows => self.leave_office(),
            LeaderInput::Applied(state) => self.applied(state, now),
            LeaderInput::Renewal(renewal) => self.renewal(&renewal, now),
            LeaderInput::Confirmed { round, term } => self.confirmed(round, term, now),
            LeaderInput::Tick => self.tick(now),
        }
        self.begin_round(now);
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<LeaderOutput> {
        self.outputs.pop_front()
    }

    /// When a tick is due; `None` while this process does not lead.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        self.tenure.as_ref().map(|_| self.tick_at)
    }

    /// The office this process holds and has applied.
    #[must_use]
    pub fn office(&self) -> Option<OfficeId> {
        Some(self.tenure.as_ref()?.office.as_ref()?.id)
    }

    /// When the newest renewal of an open session that was answered by this office had arrived: the last
    /// sign of life of its node. `None` before the first, and while this process holds no office.
    #[must_use]
    pub fn answered_at(&self, session: SessionId) -> Option<Time> {
        self.tenure
            .as_ref()?
            .office
            .as_ref()?
            .desk
            .answered_at(session)
    }

    fn leads(&mut self, term: u64, now: Time) {
        if self.tenure.as_ref().is_some_and(|one| one.term == term) {
            return;
        }
        self.leave_office();
        self.tenure = Some(Tenure {
            term,
            office: None,
            intents: Intents::default(),
        });
        self.tick_at = now;
        self.enter_office(now);
    }

    /// Drops all that belongs to the present (process, term).
    fn leave_office(&mut self) {
        self.left = self.left.max(self.office().unwrap_or_default());
        self.tenure = None;
    }

    /// Proposes this process's own office entry, or takes the office once it is applied.
    fn enter_office(&mut self, now: Time) {
        let (member, nonce, bugs) = (self.member, self.nonce, self.bugs);
        let left = self.left;
        let Some(tenure) = self.tenure.as_mut().filter(|one| one.office.is_none()) else {
            return;
        };
        let term = tenure.term;
        let mine = |office: &&Office| {
            let same = office.nonce == nonce || bugs.has(Bug::ResumedWithoutOffice);
            office.member == member && office.term == term && same && office.id > left
        };
        if let Some(office) = self.state.office().filter(mine) {
            tenure.office = Some(InOffice {
                id: office.id,
                desk: Desk::new(now, &self.state, bugs),
                timers: Timers::new(now, &self.state),
                losses: Losses::default(),
            });
            return;
        }
        let retry = self.state.config().lease.renews_every();
        if self.state.formed().is_some() && tenure.intents.due(Intent::Office, now, retry) {
            self.outputs
                .push_back(LeaderOutput::Propose(Command::Office {
                    member,
                    nonce,
                    term,
                }));
        }
    }

    fn applied(&mut self, state: State, now: Time) {
        if state.applied() <= self.state.applied() {
            return;
        }
        let before = core::mem::replace(&mut self.state, state);
        let changed = before.version() != self.state.version();
        let last = self.state.office().map(|last| last.id);
        if let Some(tenure) = &mut self.tenure
            && tenure
                .office
                .as_ref()
                .is_some_and(|one| Some(one.id) != last)
        {
            // Whatever this office remembers is past. Where the core still leads it enters anew.
            tenure.office = None;
        }
        self.enter_office(now);
        let state = &self.state;
        let Some(tenure) = &mut self.tenure else {
            return;
        };
        let Some(office) = &mut tenure.office else {
            return;
        };
        if changed {
            office.desk.applied(state, now);
            office.timers.applied(&before, state, now, &self.pace);
            office.losses.applied(&before, state, now, &self.pace);
            self.steer(now);
        }
    }

    fn renewal(&mut self, renewal: &Renewal, now: Time) {
        let Some(office) = self.in_office() else {
            return;
        };
        let state = office.1;
        if let Some(answer) = office.0.desk.arrived(renewal, state, now) {
            let to = renewal.member;
            self.outputs.push_back(LeaderOutput::Answer { to, answer });
            return;
        }
        self.reports(renewal, now);
        if renewal.leaving && self.state.brake().is_none() {
            self.hand_over_leaving(now);
        }
    }

    fn in_office(&mut self) -> Option<(&mut InOffice, &State)> {
        let office = self.tenure.as_mut()?.office.as_mut()?;
        Some((office, &self.state))
    }

    fn begin_round(&mut self, now: Time) {
        let Some(tenure) = &mut self.tenure else {
            return;
        };
        let Some(office) = &mut tenure.office else {
            return;
        };
        if office.desk.begin_round(&self.state, now) {
            self.rounds = Round(self.rounds.0 + 1);
            self.outputs.push_back(LeaderOutput::Confirm {
                round: self.rounds,
                term: tenure.term,
            });
        }
    }

    fn confirmed(&mut self, round: Round, term: u64, now: Time) {
        if round != self.rounds || self.tenure.as_ref().is_none_or(|one| one.term != term) {
            return;
        }
        let Some((office, state)) = self.in_office() else {
            return;
        };
        let answers = office.desk.confirmed(state, now);
        let answers = answers.into_iter();
        self.outputs
            .extend(answers.map(|(to, answer)| LeaderOutput::Answer { to, answer }));
    }

    fn tick(&mut self, now: Time) {
        self.enter_office(now);
        let Some((office, state)) = self.in_office() else {
            self.tick_at = now.after(self.state.config().lease.renews_every());
            return;
        };
        let expired = office.desk.tick(state, now);
        let settled = office.desk.past_lease_over(state, now);
        self.expire(expired, now);
        if let (Some(since), Some(office)) = (settled, self.office()) {
            let command = Command::LeaseSettled { office, since };
            self.propose(Intent::Lease(since), command, now);
        }
        self.steer(now);
        let every = self.state.config().lease.late_after() / 2;
        let due = self
            .in_office()
            .and_then(|(office, state)| office.desk.next_deadline(state, now));
        let at = now.after(every);
        self.tick_at = due.map_or(at, |due| due.clamp(now.after(every / 16), at));
    }

    /// Ends what has run out, all of a tick in one entry; what is being removed goes for good.
    fn expire(&mut self, expired: Vec<SessionId>, now: Time) {
        let mut sessions = expired;
        let closing: Vec<_> = self.state.members().filter(|one| one.closing).collect();
        let mut removals = Vec::new();
        for member in closing {
            let due = match member.session {
                Some(session) => sessions.contains(&session),
                None => true,
            };
            sessions.retain(|one| member.session != Some(*one));
            if due {
                removals.push(member.node.clone());
            }
        }
        if let Some(office) = self.office() {
            if !sessions.is_empty() {
                let newest = sessions.iter().copied().max().unwrap_or_default();
                self.propose(
                    Intent::Expire(newest, sessions.len()),
                    Command::Expire { office, sessions },
                    now,
                );
            }
            for node in removals {
                let command = Command::Remove {
                    node: node.clone(),
                    office: Some(office),
                };
                self.propose(Intent::Remove(node), command, now);
            }
        }
    }

    /// Proposes, unless the same was proposed a moment ago and may be on its way.
    fn propose(&mut self, intent: Intent, command: Command, now: Time) -> bool {
        let retry = self.state.config().lease.renews_every();
        let Some(tenure) = &mut self.tenure else {
            return false;
        };
        let due = tenure.intents.due(intent, now, retry);
        if due {
            self.outputs.push_back(LeaderOutput::Propose(command));
        }
        due
    }
}
