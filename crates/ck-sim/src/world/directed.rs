//! Interleavings that random runs meet too rarely, step by step.
//!
//! Each is harmless as long as its rule is kept; a test breaks the rule and sees the harm.

use ck_control::{Bugs, Command, Move, Party, Report, Stage, TransferCommand, Trigger};
use ck_core::PartitionId;

use crate::clock::{Instant, MS, SECOND};
use crate::invariants::Violation;
use crate::world::{Event, Fate, Message, Setting, World};

/// A script: what it does, and what it finds under a broken rule.
pub(crate) type Script = fn(Bugs) -> Option<Violation>;

/// As many voters, more partitions, no faults.
fn quiet(voters: usize, bugs: Bugs) -> World {
    let setting = Setting {
        seed: 1,
        voters,
        started: voters,
        places: voters,
        partitions: 7,
        freeze_allowance_ms: 0,
        repeated_permille: 0,
        bugs,
        trace: false,
    };
    let mut world = World::new(setting, Vec::new());
    world.run_until(3 * SECOND);
    world
}

/// A partition whose primary is not the leader's, its primary's place, and another place.
fn roles(world: &World) -> (PartitionId, usize, usize, usize) {
    let leader = world.leader().expect("somebody leads");
    let held = world.state().partitions().find_map(|(partition, control)| {
        let place = world.place_of(control.holder?.member)?;
        (place != leader).then_some((partition, place))
    });
    let (partition, owner) = held.expect("nodes share the partitions");
    let mut all = 0..world.places.len();
    let other = all.find(|place| *place != leader && *place != owner);
    (partition, owner, other.expect("a third node"), leader)
}

impl World {
    fn pass(&mut self, span: Instant) {
        self.run_until(self.now + span);
    }

    fn party(&self, place: usize) -> Party {
        let member = self.places[place].member.expect("a place that registered");
        let session = self.state().member(member).and_then(|one| one.session);
        Party {
            member,
            session: session.expect("a session that is open"),
        }
    }

    fn hand_over(&mut self, partition: PartitionId, from: usize, to: usize) {
        let step = TransferCommand::Open(Move {
            partition,
            source: self.party(from),
            target: self.party(to),
            handoff: true,
            leaving: None,
            reason: Trigger::Manual,
            force: false,
        });
        self.operator(Command::Transfer { office: None, step });
    }

    /// What was held back arrives, cut links or not.
    fn let_go(&mut self) {
        self.filter = None;
        for (from, to, message) in std::mem::take(&mut self.held) {
            self.after(MS, Event::Deliver { to, from, message });
        }
    }

    /// What a script ends with: everything has to come right.
    fn ended(mut self) -> Option<Violation> {
        self.heal();
        for _ in 0..120 {
            if self.violation.is_some() || self.unsettled().is_none() {
                return self.violation;
            }
            self.pass(SECOND / 2);
        }
        let what = self.unsettled()?;
        let (invariant, at) = ("converges", self.now);
        Some(Violation {
            invariant,
            at,
            what,
        })
    }
}

/// The acknowledgement of a switch is late: the move is aborted, the source is granted the role
/// anew, and a second switch is opened, of which the source, which applies nothing for a moment,
/// does not know yet. Then the acknowledgement arrives.
pub(crate) fn acknowledgement_of_an_earlier_switch(bugs: Bugs) -> Option<Violation> {
    let mut world = quiet(3, bugs);
    let (partition, owner, other, _) = roles(&world);
    world.filter = Some(Box::new(move |from, _, message| match message {
        Message::Renewal(renewal) if from == owner => {
            let released = |one: &Report| matches!(one, Report::Released(_));
            if renewal.reports.iter().any(released) {
                Fate::Waits
            } else {
                Fate::Passes
            }
        }
        _ => Fate::Passes,
    }));
    world.hand_over(partition, owner, other);
    while world.held.is_empty() && world.violation.is_none() {
        world.pass(MS);
    }
    let open = world.state().transfers().next().map(|one| one.id);
    let transfer = open.expect("its switch is open");
    let step = TransferCommand::Abort { transfer };
    world.operator(Command::Transfer { office: None, step });
    world.pass(SECOND);
    world.places[owner].stuck = true;
    world.hand_over(partition, owner, other);
    while world
        .state()
        .transfers()
        .all(|one| one.stage != Stage::Release)
    {
        world.pass(MS);
    }
    world.let_go();
    world.pass(SECOND);
    world.ended()
}

/// A leader decides an expiry that is not committed, restarts in its term, and answers the session
/// it had condemned; then the old entry commits, and the owner does not hear of it.
pub(crate) fn resumed_with_an_uncommitted_expiry(bugs: Bugs) -> Option<Violation> {
    let mut world = quiet(3, bugs);
    let (_, owner, _, leader) = roles(&world);
    world.filter = Some(Box::new(move |from, _, message| match message {
        Message::Append(_) if from == leader => Fate::IsLost,
        Message::Renewal(_) if from == owner => Fate::IsLost,
        _ => Fate::Passes,
    }));
    let decided = |world: &World| {
        let log = &world.places[leader].log;
        (world.committed.len()..log.len())
            .any(|at| matches!(log.entry(at).proposal.command, Command::Expire { .. }))
    };
    while !decided(&world) && world.violation.is_none() {
        world.pass(MS);
    }
    world.filter = Some(Box::new(move |from, _, message| match message {
        Message::Append(_) if from == leader => Fate::IsLost,
        _ => Fate::Passes,
    }));
    world.crash(leader);
    world.start(leader);
    if world.leading(leader).is_none() {
        world.lead(leader);
    }
    world.pass(SECOND);
    world.places[owner].stuck = true;
    world.filter = Some(Box::new(move |from, to, message| match message {
        Message::Append(_) if from == leader && to == owner => Fate::IsLost,
        _ => Fate::Passes,
    }));
    world.pass(SECOND);
    world.filter = None;
    world.ended()
}

/// A confirmation is under way when a majority turns to another leader, which it does not know;
/// then a renewal arrives, and only then the answers that complete the confirmation.
pub(crate) fn confirmation_begun_before_the_arrival(bugs: Bugs) -> Option<Violation> {
    let mut world = quiet(5, bugs);
    let (_, owner, _, leader) = roles(&world);
    let others: Vec<usize> = (0..5)
        .filter(|one| ![owner, leader].contains(one))
        .collect();
    // The hardest clocks: the owner's lease is long, the next leader's wait is short.
    let rho = i64::from(world.config.lease.rho_ppm);
    let now = world.now;
    world.places[owner].clock.drift(now, 1 - rho);
    world.places[others[0]].clock.drift(now, rho - 1);
    // A round that begins well before the owner's next renewal, and can still count after it.
    loop {
        world.filter = Some(Box::new(move |_, to, message| match message {
            Message::Confirmed { .. } if to == leader => Fate::Waits,
            _ => Fate::Passes,
        }));
        while world.held.len() < 4 && world.violation.is_none() {
            world.pass(MS);
        }
        let agent = world.places[owner]
            .process
            .as_ref()
            .map(|one| one.agent.next_deadline());
        let next = world.places[owner].clock.reaches(agent?);
        if (world.now + 250 * MS..world.now + 330 * MS).contains(&next) {
            break;
        }
        world.let_go();
        world.pass(7 * MS);
    }
    for other in &others {
        for here in [owner, leader] {
            world.network.cut(here, *other);
            world.network.cut(*other, here);
        }
    }
    world.campaign(others[0]);
    world.pass(350 * MS);
    world.let_go();
    world.pass(4 * SECOND);
    world.ended()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ck_control::Bug;

    #[track_caller]
    fn check(script: Script, bug: Bug) {
        assert_eq!(script(Bugs::default()), None);
        let violation = script(Bugs::planted(bug)).expect("the broken rule is noticed");
        assert_eq!(violation.invariant, "I3 no overlap", "{violation}");
    }

    #[test]
    fn an_acknowledgement_that_counts_for_a_later_switch_makes_two_owners() {
        check(acknowledgement_of_an_earlier_switch, Bug::AckNotBound);
    }

    #[test]
    fn leadership_resumed_without_an_office_entry_makes_two_owners() {
        check(
            resumed_with_an_uncommitted_expiry,
            Bug::ResumedWithoutOffice,
        );
    }

    #[test]
    fn a_confirmation_that_counts_for_a_later_renewal_makes_two_owners() {
        check(
            confirmation_begun_before_the_arrival,
            Bug::ConfirmationBegunBefore,
        );
    }

    #[test]
    fn a_quiet_world_has_an_owner_beside_the_leader() {
        let world = quiet(3, Bugs::default());
        let (partition, owner, other, leader) = roles(&world);
        assert!(
            world
                .state()
                .partition(partition)
                .is_some_and(|one| one.holder.is_some())
        );
        assert!(owner != leader && owner != other && other != leader);
    }
}
