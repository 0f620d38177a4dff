//! Writes of the model application: asked, awaited, checked again, copied, acknowledged.

use std::collections::BTreeSet;

use ck_control::{AgentInput, Command, FencingToken, InSyncChange, MemberNumber, Release};
use ck_core::PartitionId;

use crate::clock::{Instant, MS, SECOND};
use crate::invariants::Observation;
use crate::world::place::Pending;
use crate::world::{Event, Message, World};

/// Most writes of one node that wait for copies.
const PENDING_MAX: usize = 32;

/// Time after which a copy that does not answer is gone on without.
const PATIENCE: Instant = SECOND;

impl World {
    /// A client's write begins: the node asks whether it owns some partition.
    pub(super) fn write(&mut self, place: usize, life: u64) {
        if self.places[place].life != life {
            return;
        }
        let again = self.random.between(60 * MS, 400 * MS);
        self.after(again, Event::Write { place, life });
        self.stop_if_handed_over(place);
        self.settle_writes(place);
        self.resend(place);
        let open = self
            .open
            .iter()
            .filter(|(_, owners)| owners.contains(&place));
        let open: Vec<PartitionId> = open.map(|(partition, _)| *partition).collect();
        if open.is_empty() {
            return;
        }
        let partition = *self.random.pick(&open);
        let now = self.clock(place);
        let process = self.places[place].process.as_ref();
        let Some(token) = process.and_then(|one| one.agent.owns(partition, now)) else {
            return;
        };
        if self.guest.is_some() {
            return self.request_guest(place, token);
        }
        // Something is awaited between the question and the effect.
        let awaited = match self.random.below(10) {
            0 => self.random.below(4 * SECOND),
            _ => self.random.below(15 * MS),
        };
        self.after(awaited, Event::Effect { place, life, token });
    }

    /// The effect itself: checked again, it gets a proof for as long as it takes.
    pub(super) fn effect(&mut self, place: usize, life: u64, token: FencingToken) {
        let now = self.clock(place);
        let Some(process) = self.places[place].process.as_ref() else {
            return;
        };
        if self.places[place].life != life || !process.agent.check(token, now) {
            return;
        }
        self.see(&Observation::Admitted { place, token });
        self.look_at_rivals(place, token);
        let takes = self.random.below(20 * MS);
        self.after(takes, Event::ProofEnds { place, life, token });
        let travels = match self.random.below(20) {
            0 => self.random.below(6 * SECOND),
            _ => self.random.below(20 * MS),
        };
        self.after(travels, Event::Resource { token });
        let write = self.writes;
        let since = self.now;
        let here = &mut self.places[place];
        let copy = here.copies.entry(token.partition).or_default();
        let Some(process) = &mut here.process else {
            return;
        };
        *process.application.proofs.entry(token).or_default() += 1;
        if process.application.pending.len() >= PENDING_MAX {
            return;
        }
        self.writes += 1;
        copy.add(write);
        process.application.pending.push_back(Pending {
            write,
            token,
            since,
            have: BTreeSet::from([place]),
        });
        let wanted = self.wanted(place, token);
        self.spread_write(place, &wanted, token, write);
        self.settle_writes(place);
    }

    fn spread_write(
        &mut self,
        place: usize,
        to: &BTreeSet<usize>,
        token: FencingToken,
        write: usize,
    ) {
        for to in to.range(..self.places.len()).filter(|to| **to != place) {
            self.send(place, *to, Message::Replicate { token, write });
        }
    }

    /// Sends again what was not answered.
    fn resend(&mut self, place: usize) {
        let Some(process) = &self.places[place].process else {
            return;
        };
        for one in process.application.pending.clone() {
            let wanted = self.wanted(place, one.token);
            let lacking = wanted.difference(&one.have).copied().collect();
            self.spread_write(place, &lacking, one.token, one.write);
        }
    }

    /// Whoever acts is compared with whoever else owns at this instant.
    fn look_at_rivals(&mut self, place: usize, token: FencingToken) {
        let mut owners = vec![(place, token)];
        for other in self.open.get(&token.partition).into_iter().flatten() {
            let process = self.places[*other].process.as_ref();
            let owns = process.and_then(|one| one.agent.owns(token.partition, self.clock(*other)));
            if let Some(theirs) = owns.filter(|_| *other != place) {
                owners.push((*other, theirs));
            }
        }
        let (partition, owners) = (token.partition, &owners);
        self.see(&Observation::Owned { partition, owners });
    }

    pub(super) fn proof_ends(&mut self, place: usize, life: u64, token: FencingToken) {
        let here = &mut self.places[place];
        let Some(process) = here.process.as_mut().filter(|_| here.life == life) else {
            return;
        };
        let application = &mut process.application;
        if let Some(proofs) = application.proofs.get_mut(&token) {
            *proofs -= 1;
            if *proofs == 0 {
                application.proofs.remove(&token);
            }
        }
        if application.shut.contains(&token) && !application.proofs.contains_key(&token) {
            self.drained(place, token);
        }
    }

    pub(super) fn shut(&mut self, place: usize, token: FencingToken) {
        let Some(process) = &mut self.places[place].process else {
            return;
        };
        if process.application.proofs.contains_key(&token) {
            process.application.shut.insert(token);
        } else {
            self.drained(place, token);
        }
    }

    fn drained(&mut self, place: usize, token: FencingToken) {
        let now = self.clock(place);
        if let Some(process) = &mut self.places[place].process {
            process.application.shut.remove(&token);
            process.agent.handle(AgentInput::Drained { token }, now);
        }
        self.pump(place);
    }

    pub(super) fn resource(&mut self, token: FencingToken) {
        if self.resource.admit(token).is_ok() {
            self.accepted += 1;
            self.see(&Observation::Accepted { token });
        }
    }

    /// Places that must have a write before it is acknowledged.
    fn wanted(&self, place: usize, token: FencingToken) -> BTreeSet<usize> {
        let Some(process) = &self.places[place].process else {
            return BTreeSet::new();
        };
        let control = process.agent.state().partition(token.partition);
        let in_sync = control.into_iter().flat_map(|control| &control.in_sync);
        let joined = process.application.joined.get(&token.partition);
        let joined = joined.filter(|one| one.1 == token.epoch).map(|one| one.0);
        // A member whose disk is gone never answers; it still has to be shrunk away.
        let places = in_sync.map(|member| {
            let nowhere = self.places.len() + usize::try_from(member.0).unwrap_or(0);
            self.place_of(*member).unwrap_or(nowhere)
        });
        places.chain(joined).collect()
    }

    /// Acknowledges what everybody has, and goes on without who does not answer.
    pub(super) fn settle_writes(&mut self, place: usize) {
        let now = self.now;
        let Some(process) = &mut self.places[place].process else {
            return;
        };
        let state = process.agent.state().clone();
        let application = &mut process.application;
        let present = |token: FencingToken| {
            let control = state.partition(token.partition);
            control.is_some_and(|control| control.epoch == token.epoch)
        };
        application.joined.retain(|_, (_, _, transfer)| {
            let mut open = state.transfers();
            open.any(|one| one.id == *transfer)
        });
        application.pending.retain(|one| present(one.token));
        let pending: Vec<Pending> = application.pending.iter().cloned().collect();
        for one in pending {
            let wanted = self.wanted(place, one.token);
            if wanted.is_subset(&one.have) {
                let partition = one.token.partition;
                let acknowledged = self.acknowledged.entry(partition).or_default();
                acknowledged.add(one.write);
                if let Some(process) = &mut self.places[place].process {
                    let pending = &mut process.application.pending;
                    pending.retain(|other| other.write != one.write);
                }
            } else if now > one.since + PATIENCE {
                self.shrink(place, &one, &wanted);
            }
        }
    }

    fn shrink(&mut self, place: usize, one: &Pending, wanted: &BTreeSet<usize>) {
        let Some(process) = &mut self.places[place].process else {
            return;
        };
        let Some(session) = process.agent.session() else {
            return;
        };
        // Asked again only after as long.
        let mut pending = process.application.pending.iter_mut();
        if let Some(mine) = pending.find(|other| other.write == one.write) {
            mine.since = self.now;
        }
        for gone in wanted.difference(&one.have) {
            let nowhere = gone.checked_sub(self.places.len());
            let member = match nowhere {
                Some(number) => Some(MemberNumber(number as u64)),
                None => self.places[*gone].member,
            };
            let Some(member) = member else {
                continue;
            };
            let command = Command::InSync {
                partition: one.token.partition,
                session,
                epoch: one.token.epoch,
                change: InSyncChange::Remove(member),
            };
            self.propose(place, command);
        }
    }

    /// Notes an acknowledgement, once.
    pub(super) fn observe_release(&mut self, place: usize, release: &Release) {
        let Some(process) = &mut self.places[place].process else {
            return;
        };
        if process.released.insert(release.switch) {
            let Release {
                partition, epoch, ..
            } = *release;
            self.see(&Observation::Released { partition, epoch });
        }
    }
}
