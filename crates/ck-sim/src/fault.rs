//! What goes wrong, to whom, and when; drawn from a seed.

use std::fmt;

use ck_control::Stage;

use crate::clock::{Instant, MS, SECOND};
use crate::random::Random;

/// What goes wrong, or what an operator asks for meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Act {
    /// The process dies at once and starts again when the fault ends.
    Crash,
    /// As a crash, and back within milliseconds: a leader may resume its term.
    Bounce,
    /// The process dies and its disk is gone.
    DiskLoss,
    /// The process stands still; its clock goes on.
    Pause,
    /// The whole machine stands still, its clock too, within the freeze allowance.
    Freeze,
    /// The node's clock goes on at another rate within ρ.
    Drift,
    /// Nothing reaches the node and nothing leaves it.
    Isolate,
    /// Nothing reaches the node.
    Deaf,
    /// Nothing leaves the node.
    Mute,
    /// The node reaches two others that do not reach the rest.
    Bridge,
    /// The node is cut off and mended again and again.
    Flap,
    /// Every message of the node takes long.
    Slow,
    /// The node applies nothing.
    StuckApply,
    /// The wall clock jumps.
    WallClock,
    /// All links lose messages.
    Lose,
    /// Every message on every link takes long.
    Delay,
    /// Messages come twice, the second time late.
    Double,
    /// Messages overtake each other.
    Reorder,
    /// The node, at times the next one with it, stops cleanly and starts again.
    Stop,
    /// An operator removes the node, at times the next one with it.
    Remove,
    /// Nodes that never ran start, all at once.
    Join,
    /// An operator empties the node, and takes it back when the fault ends.
    Drain,
    /// Somebody else is elected though the leader lives, or it is told so though nobody is.
    LeaderChange,
    /// An operator changes the node's weight, and with it the plan.
    Reweigh,
    /// An operator aborts every move, at times to order them anew at once.
    Abort,
    /// An operator moves a primary role by force, the node's own if it has one.
    Force,
    /// A snapshot takes the place of entries at the node.
    Snapshot,
}

impl Act {
    /// Everything that can go wrong.
    pub const ALL: [Self; 27] = [
        Self::Crash,
        Self::Bounce,
        Self::DiskLoss,
        Self::Pause,
        Self::Freeze,
        Self::Drift,
        Self::Isolate,
        Self::Deaf,
        Self::Mute,
        Self::Bridge,
        Self::Flap,
        Self::Slow,
        Self::StuckApply,
        Self::WallClock,
        Self::Lose,
        Self::Delay,
        Self::Double,
        Self::Reorder,
        Self::Stop,
        Self::Remove,
        Self::Join,
        Self::Drain,
        Self::LeaderChange,
        Self::Reweigh,
        Self::Abort,
        Self::Force,
        Self::Snapshot,
    ];
}

/// To whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// That place.
    Place(usize),
    /// Who leads in the newest term.
    Leader,
    /// The source of the move that is at the stage, or of the oldest.
    Source,
    /// The target of that move.
    Target,
}

/// When.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// At an instant.
    At(Instant),
    /// That long after a move is seen at a stage.
    Stage(Stage, Instant),
}

/// One fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// When it begins.
    pub when: When,
    /// Whom it meets.
    pub who: Who,
    /// What it is.
    pub act: Act,
    /// How long it lasts.
    pub lasts: Instant,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            when,
            who,
            act,
            lasts,
        } = self;
        match when {
            When::At(at) => write!(f, "at {} ms", at / MS)?,
            When::Stage(stage, after) => write!(f, "{} ms into {stage}", after / MS)?,
        }
        write!(f, ": {act:?} of {who:?} for {} ms", lasts / MS)
    }
}

/// The stages at which faults are aimed, in order.
pub const STAGES: [Stage; 6] = [
    Stage::Prepare,
    Stage::CatchUp,
    Stage::Release,
    Stage::Commit,
    Stage::Activate,
    Stage::CleanUp,
];

/// Draws the faults of a run over `places`, from `from` until `until`.
#[must_use]
pub fn schedule(random: &mut Random, places: usize, from: Instant, until: Instant) -> Vec<Fault> {
    let count = random.between(2, 12);
    let mut faults = Vec::new();
    let mut at = from;
    for _ in 0..count {
        at += random.below((until - from) / count * 2);
        let staged = random.permille(500);
        let when = if staged {
            When::Stage(
                *random.pick(&STAGES),
                random.below(30) * random.below(30) * MS / 9,
            )
        } else {
            When::At(at.min(until))
        };
        let first = Fault {
            when,
            who: who(random, places),
            act: act(random),
            lasts: lasts(random),
        };
        faults.push(first);
        if random.permille(400) {
            faults.push(followed(random, first));
        }
        if random.permille(60) {
            faults.extend(forced_while_behind(random, places, at.min(until)));
        }
        if random.permille(60) {
            faults.extend(slow_then_cut_off(random, places, at.min(until)));
        }
    }
    faults
}

/// A node's answers come late, and then none: what only counting from the send keeps from harm.
fn slow_then_cut_off(random: &mut Random, places: usize, at: Instant) -> [Fault; 2] {
    let who = Who::Place(random.index(places));
    let fault = |at, act, lasts| Fault {
        when: When::At(at),
        who,
        act,
        lasts,
    };
    let cut_off = at + random.between(SECOND, 3 * SECOND);
    let act = *random.pick(&[Act::Isolate, Act::Mute]);
    [
        fault(at, Act::Slow, 8 * SECOND),
        fault(cut_off, act, 5 * SECOND),
    ]
}

/// A role is taken by force from a node that applies nothing, for longer than a missed release and
/// the lease after it take: what only the floor of its session keeps from harm.
fn forced_while_behind(random: &mut Random, places: usize, at: Instant) -> [Fault; 2] {
    let who = match random.below(3) {
        0 => Who::Leader,
        _ => Who::Place(random.index(places)),
    };
    let fault = |at, act| Fault {
        when: When::At(at),
        who,
        act,
        lasts: 9 * SECOND,
    };
    let forced = at + random.between(10 * MS, SECOND);
    [fault(at, Act::StuckApply), fault(forced, Act::Force)]
}

/// Troubles come in pairs: the same one, while or soon after it has the first.
fn followed(random: &mut Random, first: Fault) -> Fault {
    let later = random.between(100 * MS, 3 * SECOND);
    let when = match first.when {
        When::At(at) => When::At(at + later),
        When::Stage(stage, after) => When::Stage(stage, after + random.below(60 * MS)),
    };
    Fault {
        when,
        who: first.who,
        act: *random.pick(&Act::ALL),
        lasts: lasts(random),
    }
}

fn who(random: &mut Random, places: usize) -> Who {
    match random.below(10) {
        0..4 => Who::Place(random.index(places)),
        4..6 => Who::Leader,
        6..8 => Who::Source,
        _ => Who::Target,
    }
}

fn act(random: &mut Random) -> Act {
    // Work to disturb comes first: without moves most stages would never be met.
    match random.below(10) {
        0 => Act::Drain,
        1 => Act::Reweigh,
        2 => Act::Join,
        _ => *random.pick(&Act::ALL),
    }
}

fn lasts(random: &mut Random) -> Instant {
    match random.below(4) {
        0 => random.between(5 * MS, 300 * MS),
        1 => random.between(300 * MS, 2 * SECOND),
        2 => random.between(2 * SECOND, 3 * SECOND),
        _ => random.between(3 * SECOND, 8 * SECOND),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_draws_the_same_faults_and_every_kind_is_drawn() {
        let draw = |seed| schedule(&mut Random::new(seed, 3), 5, SECOND, 20 * SECOND);
        assert_eq!(draw(4), draw(4));
        let drawn: Vec<Act> = (0..500).flat_map(draw).map(|fault| fault.act).collect();
        assert!(Act::ALL.iter().all(|act| drawn.contains(act)));
    }
}
