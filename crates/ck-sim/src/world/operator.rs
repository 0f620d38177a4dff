//! What operators ask for while things go wrong.

use ck_control::{
    Command, LeaderInput, MemberChange, Move, Party, Transfer, TransferCommand, Trigger,
};

use crate::clock::MS;
use crate::world::place::Place;
use crate::world::{Event, World};

impl World {
    pub(super) fn operator(&mut self, command: Command) {
        if let Some(leader) = self.leader() {
            self.append(leader, "operator".to_string(), command);
        }
    }

    pub(super) fn change(&mut self, place: usize, edit: impl FnOnce(&mut MemberChange)) {
        let node = self.places[place].node.clone();
        let mut change = MemberChange::default();
        edit(&mut change);
        self.operator(Command::Update { node, change });
    }

    pub(super) fn remove(&mut self, place: usize) {
        // As many stay as there are copies.
        let stays = |one: &&Place| one.started && !one.leaving && !one.removed;
        let staying = self.places.iter().filter(stays);
        let copies = usize::from(self.config.replication_factor);
        if staying.count() > copies && !self.places[place].votes {
            self.places[place].leaving = true;
            let node = self.places[place].node.clone();
            self.operator(Command::Close { node });
        }
    }

    pub(super) fn join(&mut self) {
        for place in 0..self.places.len() {
            if !self.places[place].started {
                let at = self.random.below(200 * MS);
                self.after(at, Event::Start { place });
            }
        }
    }

    pub(super) fn change_leader(&mut self) {
        if self.random.permille(300) {
            self.flicker();
            return;
        }
        let others: Vec<usize> = (0..self.places.len())
            .filter(|place| self.places[*place].votes && self.leading(*place).is_none())
            .collect();
        if !others.is_empty() {
            let place = *self.random.pick(&others);
            self.campaign(place);
        }
    }

    /// A leader is told that it does not lead, and then that it does, in one term.
    fn flicker(&mut self) {
        let Some(place) = self.leader() else {
            return;
        };
        let now = self.clock(place);
        let process = self.places[place].process.as_mut();
        if let Some(process) = process
            && let (Some(leader), Some(term)) = (&mut process.leader, process.leading)
        {
            leader.handle(LeaderInput::Follows, now);
            leader.handle(LeaderInput::Leads { term }, now);
            process.leader_wake = u64::MAX;
        }
        self.pump(place);
    }

    pub(super) fn replan(&mut self) {
        if let Some(leader) = self.leader()
            && self.state().rebalance().is_none()
        {
            self.plan(leader, Trigger::Manual);
        }
    }

    pub(super) fn abort_all(&mut self) {
        let again = self.random.permille(500);
        let open: Vec<Transfer> = self.state().transfers().cloned().collect();
        for moved in open {
            let transfer = moved.id;
            let (office, step) = (None, TransferCommand::Abort { transfer });
            self.operator(Command::Transfer { office, step });
            if again {
                let step = TransferCommand::Open(Move {
                    partition: moved.partition,
                    source: moved.source,
                    target: moved.target,
                    handoff: moved.handoff,
                    leaving: moved.leaving,
                    reason: Trigger::Manual,
                    force: moved.force,
                });
                self.operator(Command::Transfer { office, step });
            }
        }
    }

    /// Moves some primary role to another copy that is in sync, whatever its holder says.
    pub(super) fn force(&mut self, place: usize) {
        let member = self.places[place].member;
        let state = self.state().clone();
        let party = |member| {
            let session = state.member(member)?.session?;
            Some(Party { member, session })
        };
        let moves = state.partitions().filter_map(|(partition, control)| {
            let holder = control.holder.filter(|_| control.transfer.is_none())?;
            let mut others = control.in_sync.iter().filter(|one| **one != holder.member);
            let target = others.find_map(|one| party(*one))?;
            Some(Move {
                partition,
                source: party(holder.member)?,
                target,
                handoff: true,
                leaving: None,
                reason: Trigger::Manual,
                force: true,
            })
        });
        let moves: Vec<Move> = moves.collect();
        if !moves.is_empty() {
            let own = moves.iter().find(|one| Some(one.source.member) == member);
            let chosen = *own.unwrap_or_else(|| self.random.pick(&moves));
            let (office, step) = (None, TransferCommand::Open(chosen));
            self.operator(Command::Transfer { office, step });
        }
    }
}
