//! The one way to change the state.
//!
//! Every command first checks all it needs, then changes; a refused one leaves the state as it was.

mod anew;
mod custom;
mod ending;
mod failover;
mod fields;
mod form;
mod leave;
mod operate;
mod parts;
mod plan;
mod recover;
mod register;
mod rows;
mod transfer;

pub use anew::NewIncarnation;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use ck_core::Version;

use crate::state::history::{SUMMARY_BYTES_MAX, cut};
use crate::state::{
    Applied, COMMAND_VERSION, Command, Entry, Event, EventKind, Halt, HistoryEntry, Rejection,
    State,
};
use crate::{MemberNumber, Position};

/// One entry being applied: what it is, and what it does.
pub(super) struct Step<'a> {
    entry: &'a Entry,
    /// The version the state has if the entry changes what is published.
    version: Version,
    published: bool,
    replanned: bool,
    reshaped: bool,
    /// Not worth a place in the history.
    passing: bool,
    kinds: Vec<EventKind>,
    summary: String,
}

impl<'a> Step<'a> {
    fn new(entry: &'a Entry, version: Version) -> Self {
        Self {
            entry,
            version: version.next(),
            published: false,
            replanned: false,
            reshaped: false,
            passing: false,
            kinds: Vec::new(),
            summary: String::new(),
        }
    }

    const fn position(&self) -> Position {
        self.entry.position
    }

    fn actor(&self) -> &'a str {
        &self.entry.proposal.actor
    }

    const fn at_ms(&self) -> u64 {
        self.entry.proposal.at_ms
    }

    const fn version_of_command(&self) -> u16 {
        self.entry.proposal.version
    }

    /// What is published changes: a new version.
    const fn publish(&mut self) {
        self.published = true;
    }

    /// Something changes that plans depend on, and is published.
    const fn replan(&mut self) {
        self.published = true;
        self.replanned = true;
    }

    /// A weight, a domain, or what is asked of placements changes: a plan should follow.
    const fn reshape(&mut self) {
        self.replan();
        self.reshaped = true;
    }

    /// What is published changes, but only for a while: the history has no place for it.
    const fn publish_in_passing(&mut self) {
        self.published = true;
        self.passing = true;
    }

    fn tell(&mut self, kind: EventKind) {
        self.kinds.push(kind);
    }
}

impl State {
    /// Applies the next entry of the log.
    ///
    /// The inner result is part of the agreed outcome: events to tell in order, or the reason for
    /// which nothing changed but [`State::applied`]. Both are the same on every node.
    ///
    /// ```
    /// use ck_control::{Command, Entry, MemberNumber, Position, Proposal, Rejection, SessionId, State};
    /// let mut state = State::default();
    /// let command = Command::Stop { member: MemberNumber(1), session: SessionId(1) };
    /// let proposal = Proposal::new(0, "node-1".to_string(), command);
    /// let entry = Entry { position: Position(1), term: 1, proposal };
    /// assert_eq!(state.apply(&entry)?, Err(Rejection::NotFormed));
    /// # Ok::<(), ck_control::Halt>(())
    /// ```
    ///
    /// # Errors
    /// [`Halt`] when this build must not go past the entry: the state is unchanged, and the node
    /// has to stop.
    pub fn apply(&mut self, entry: &Entry) -> Result<Applied, Halt> {
        let Entry {
            position, proposal, ..
        } = entry;
        if proposal.version > COMMAND_VERSION {
            return Err(Halt::UnknownVersion {
                position: *position,
                got: proposal.version,
                known: COMMAND_VERSION,
            });
        }
        if *position <= self.applied {
            return Err(Halt::Repeated {
                position: *position,
                applied: self.applied,
            });
        }
        self.applied = *position;
        Ok(self.step(entry))
    }

    fn step(&mut self, entry: &Entry) -> Applied {
        if entry.proposal.version == 0 {
            return Err(Rejection::CommandVersion { got: 0 });
        }
        fields::text("actor", &entry.proposal.actor, 0, 256)?;
        let mut step = Step::new(entry, self.version);
        self.dispatch(&mut step)?;
        self.commands_seen = self.commands_seen.max(entry.proposal.version);
        if step.published {
            self.version = step.version;
        }
        if step.replanned {
            self.planned_on = step.version;
        }
        if step.reshaped && self.table.is_some() {
            self.reshaped = Some(step.version);
        }
        if !step.kinds.is_empty() || (step.published && !step.passing) {
            self.remember(&mut step);
        }
        let (version, position, at_ms) = (self.version, step.position(), step.at_ms());
        let events = step.kinds.into_iter();
        Ok(events
            .map(|kind| Event {
                version,
                at_ms,
                position,
                kind,
            })
            .collect())
    }

    fn dispatch(&mut self, step: &mut Step<'_>) -> Result<(), Rejection> {
        let command = &step.entry.proposal.command;
        match (command, self.formed()) {
            (Command::Genesis(genesis), None) => return self.form(step, genesis),
            (_, None) => return Err(Rejection::NotFormed),
            (Command::Genesis(_), Some(formed)) => {
                return Err(Rejection::AlreadyFormed {
                    name: formed.name.clone(),
                });
            }
            (_, Some(_)) => {}
        }
        match command {
            Command::Genesis(_) => Ok(()),
            Command::Office {
                member,
                nonce,
                term,
            } => self.take_office(step, *member, *nonce, *term),
            Command::Register(registration) => self.register(step, registration),
            Command::Update { node, change } => self.update(step, node, change),
            Command::Stop { member, session } => self.stop(step, *member, *session),
            Command::Expire { office, sessions } => self.expire(step, *office, sessions),
            Command::Close { node } => self.close(step, node),
            Command::Remove { node, office } => self.remove(step, node, *office),
            Command::CreatePartitions { table, strategy } => {
                self.create_partitions(step, table, strategy.as_deref())
            }
            Command::SetCustom {
                key,
                value,
                expected,
            } => self.set_custom(step, key, value, *expected),
            Command::DeleteCustom { key, expected } => self.delete_custom(step, key, *expected),
            Command::Configure { change } => self.configure(step, change),
            command => self.dispatch_move(step, command),
        }
    }

    fn dispatch_move(&mut self, step: &mut Step<'_>, command: &Command) -> Result<(), Rejection> {
        match command {
            Command::Transfer { office, step: next } => self.transfer_step(step, *office, next),
            Command::Rebalance { step: next } => self.rebalance_step(step, next),
            Command::InSync {
                partition,
                session,
                epoch,
                change,
            } => self.change_in_sync(step, *partition, *session, *epoch, *change),
            Command::Promote {
                partition,
                member,
                accept_loss,
            } => self.promote(step, *partition, *member, *accept_loss),
            Command::Brake { office, lost } => self.set_brake(step, *office, *lost),
            Command::SetMode { mode } => {
                self.set_mode(step, *mode);
                Ok(())
            }
            Command::ModeApplied { since, sessions } => self.mode_applied(step, *since, sessions),
            Command::SetLease { terms } => self.set_lease(step, *terms),
            Command::LeaseSettled { office, since } => self.lease_settled(step, *office, *since),
            other => unreachable!("{} is dispatched before", other.name()),
        }
    }

    fn remember(&mut self, step: &mut Step<'_>) {
        let max = self.config.history_max as usize;
        if max == 0 && self.history.is_empty() {
            return;
        }
        let history = Arc::make_mut(&mut self.history);
        history.push_back(Arc::new(HistoryEntry {
            position: step.position(),
            version: self.version,
            at_ms: step.at_ms(),
            actor: step.entry.proposal.actor.clone(),
            kind: step.entry.proposal.command.name().to_string(),
            summary: cut(core::mem::take(&mut step.summary), SUMMARY_BYTES_MAX),
        }));
        while history.len() > max {
            history.pop_front();
        }
    }

    /// The name of a member, or its number when it is gone.
    fn shown(&self, number: MemberNumber) -> String {
        let member = self.member(number);
        member.map_or_else(
            || format!("member {number}"),
            |member| member.node.to_string(),
        )
    }
}
