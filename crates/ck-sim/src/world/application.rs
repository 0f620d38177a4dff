//! The model application: copies of writes, the in-sync rule, proofs, and a resource that checks
//! tokens.

use ck_control::{AgentInput, Call, CallId, FencingToken, MemberNumber, Position, TransferId};
use ck_core::{Epoch, PartitionId};

use crate::clock::{MS, SECOND};
use crate::invariants::Observation;
use crate::world::place::Writes;
use crate::world::{Event, Message, World};

impl World {
    /// Begins a call of the handler.
    pub(super) fn call(&mut self, place: usize, id: CallId, partition: PartitionId, call: Call) {
        if self.guest.is_some() {
            return self.call_guest(place, id, partition, call);
        }
        let life = self.places[place].life;
        if let Some(process) = &mut self.places[place].process {
            process.application.calls.insert(id, (partition, call));
        }
        let troubled = self.healed.is_none();
        let succeeded = !(troubled && self.random.permille(30));
        let takes = match self.random.below(100) {
            0..3 if troubled => self.random.between(SECOND, 6 * SECOND),
            3..30 => self.random.between(20 * MS, 300 * MS),
            _ => self.random.between(MS / 10, 20 * MS),
        };
        let ends = |succeeded| Event::CallEnds {
            place,
            life,
            call: id,
            succeeded,
        };
        match call {
            Call::Prepare { source, .. } if succeeded => {
                self.after(2 * SECOND, ends(false));
                if let Some(from) = self.place_of(source) {
                    self.fetch(place, from, partition, id, None);
                }
            }
            Call::CatchUp { transfer, .. } if succeeded => {
                self.after(2 * SECOND, ends(false));
                self.follow(place, partition, id, transfer);
            }
            _ => self.after(takes, ends(succeeded)),
        }
    }

    pub(super) fn place_of(&self, member: MemberNumber) -> Option<usize> {
        self.places
            .iter()
            .position(|one| one.member == Some(member))
    }

    fn fetch(
        &mut self,
        place: usize,
        from: usize,
        partition: PartitionId,
        call: CallId,
        follow: Option<(Epoch, TransferId, Position)>,
    ) {
        let life = self.places[place].life;
        let message = Message::Fetch {
            partition,
            call,
            life,
            follow,
        };
        self.send(place, from, message);
    }

    /// Asks the primary for its copy and to be part of what it writes from here on.
    fn follow(&mut self, place: usize, partition: PartitionId, id: CallId, transfer: TransferId) {
        let Some(process) = &self.places[place].process else {
            return;
        };
        let state = process.agent.state();
        let Some(control) = state.partition(partition) else {
            return;
        };
        let follow = (control.epoch, transfer, state.applied());
        let holder = control.holder.and_then(|one| self.place_of(one.member));
        if let Some(primary) = holder {
            self.fetch(place, primary, partition, id, Some(follow));
        }
    }

    pub(super) fn cancel(&mut self, place: usize, call: CallId) {
        if self.guest.is_some() {
            return self.cancel_guest(place, call);
        }
        let (life, after) = (self.places[place].life, self.random.below(10 * MS));
        self.after(
            after,
            Event::CallEnds {
                place,
                life,
                call,
                succeeded: false,
            },
        );
    }

    pub(super) fn call_ends(&mut self, place: usize, life: u64, call: CallId, succeeded: bool) {
        let here = &mut self.places[place];
        if here.life != life {
            return;
        }
        let Some(process) = &mut here.process else {
            return;
        };
        let Some((partition, kind)) = process.application.calls.remove(&call) else {
            return;
        };
        if succeeded && self.guest.is_none() {
            match kind {
                Call::CleanUp => drop(here.copies.remove(&partition)),
                Call::BecomePrimary { token } => {
                    here.copies.entry(partition).or_default();
                    self.serving(place, token);
                }
                _ => drop(here.copies.entry(partition).or_default()),
            }
        }
        let now = self.clock(place);
        if let Some(process) = &mut self.places[place].process {
            let ended = AgentInput::CallEnded { call, succeeded };
            process.agent.handle(ended, now);
        }
        self.pump(place);
    }

    /// A node begins to serve: what was acknowledged has to be there.
    fn serving(&mut self, place: usize, token: FencingToken) {
        let partition = token.partition;
        let Some(copy) = self.places[place].copies.get(&partition) else {
            return;
        };
        let wanted = self.acknowledged.entry(partition).or_default();
        if self.lossy.get(&partition) == Some(&token.epoch) {
            // An operator has accepted that what is not here is lost.
            self.lossy.remove(&partition);
            wanted.keep_only(copy);
        }
        // A late end of an old call says nothing: that grant is over.
        let newest = self.state().partition(partition).map(|one| one.epoch);
        if newest != Some(token.epoch) {
            return;
        }
        let wanted = &self.acknowledged[&partition];
        let missing = self.places[place].copies[&partition].missing(wanted);
        self.see(&Observation::Serving { token, missing });
    }

    pub(super) fn application(&mut self, to: usize, from: usize, message: Message) {
        match message {
            Message::Fetch {
                partition,
                call,
                life,
                follow,
            } => {
                let writes = self.give(to, from, partition, follow);
                let message = Message::Copy {
                    partition,
                    call,
                    life,
                    writes,
                };
                self.send(to, from, message);
            }
            Message::Copy {
                partition,
                call,
                life,
                writes,
            } => self.copied(to, partition, call, life, writes),
            Message::Replicate { token, write } => self.replicate(to, from, token, write),
            Message::Replicated { token, write } => {
                if let Some(process) = &mut self.places[to].process {
                    let pending = &mut process.application.pending;
                    let mut pending = pending.iter_mut();
                    let found = pending.find(|one| one.write == write && one.token == token);
                    if let Some(one) = found {
                        one.have.insert(from);
                    }
                }
                self.settle_writes(to);
            }
            _ => {}
        }
    }

    fn give(
        &mut self,
        place: usize,
        to: usize,
        partition: PartitionId,
        follow: Option<(Epoch, TransferId, Position)>,
    ) -> Option<Writes> {
        let now = self.clock(place);
        let here = &mut self.places[place];
        let process = here.process.as_mut()?;
        if let Some((epoch, transfer, applied)) = follow {
            let token = process.agent.owns(partition, now)?;
            let state = process.agent.state();
            if token.epoch != epoch || state.applied() < applied {
                return None;
            }
            state.transfer(transfer)?;
            let joined = &mut process.application.joined;
            joined.insert(partition, (to, epoch, transfer));
        }
        here.copies.get(&partition).cloned()
    }

    fn copied(
        &mut self,
        place: usize,
        partition: PartitionId,
        call: CallId,
        life: u64,
        writes: Option<Writes>,
    ) {
        let here = &mut self.places[place];
        let running = here
            .process
            .as_ref()
            .is_some_and(|one| one.application.calls.contains_key(&call));
        if here.life != life || !running {
            return;
        }
        let succeeded = writes.is_some();
        if let Some(writes) = writes {
            here.copies.entry(partition).or_default().merge(&writes);
        }
        let takes = self.random.between(MS, 40 * MS);
        self.after(
            takes,
            Event::CallEnds {
                place,
                life,
                call,
                succeeded,
            },
        );
    }

    /// A copy takes a write, unless it knows of a newer grant.
    fn replicate(&mut self, place: usize, from: usize, token: FencingToken, write: usize) {
        let here = &mut self.places[place];
        let Some(process) = &here.process else {
            return;
        };
        let known = process.agent.state().partition(token.partition);
        // What comes after its stop would not be on its disk.
        if process.stopping || known.is_none_or(|control| control.epoch > token.epoch) {
            return;
        }
        let Some(copy) = here.copies.get_mut(&token.partition) else {
            return;
        };
        copy.add(write);
        self.send(place, from, Message::Replicated { token, write });
    }
}
