//! One run: a phase in which anything may happen, then everything heals and has to come right.

use ck_control::Bugs;

use crate::clock::{Instant, SECOND};
use crate::coverage::Coverage;
use crate::fault::{Fault, schedule};
use crate::invariants::Violation;
use crate::random::Random;
use crate::world::{Setting, World};

/// Time in which faults begin.
const TROUBLE: Instant = 16 * SECOND;

/// Time within which a healed cluster comes right.
const CONVERGES: Instant = 180 * SECOND;

/// Time before an operator looks after what the cluster leaves to people.
const PATIENCE: Instant = 10 * SECOND;

/// What came of a run.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// Its seed.
    pub seed: u64,
    /// Time simulated.
    pub simulated: Instant,
    /// The rule that was broken.
    pub violation: Option<Violation>,
    /// Which faults met which stages.
    pub coverage: Coverage,
    /// Effects that the resource accepted.
    pub accepted: u64,
    /// What happened, when a trace was asked for.
    pub trace: Vec<String>,
}

/// The setting and the faults of a seed.
#[must_use]
pub fn plan(seed: u64, bugs: Bugs, trace: bool) -> (Setting, Vec<Fault>) {
    let mut random = Random::new(seed, 10);
    let voters = *random.pick(&[1, 3, 3, 3, 3, 5]);
    let started = voters.max(random.index(6) + 1);
    let places = started + random.index(4);
    let partitions = *random.pick(&[1, 2, 4, 7]);
    let freeze_allowance_ms = *random.pick(&[0, 0, 600]);
    let repeated_permille = *random.pick(&[0, 0, 300]);
    let faults = schedule(&mut random, places, 2 * SECOND, TROUBLE);
    let setting = Setting {
        seed,
        voters,
        started,
        places,
        partitions,
        freeze_allowance_ms,
        repeated_permille,
        bugs,
        trace,
    };
    (setting, faults)
}

/// Runs a setting under faults.
#[must_use]
pub fn run(setting: Setting, faults: Vec<Fault>) -> Verdict {
    run_world(World::new(setting, faults))
}

/// Runs a world that was laid out: faults, then healing.
pub(crate) fn run_world(mut world: World) -> Verdict {
    let seed = world.seed();
    world.run_until(TROUBLE + 3 * SECOND);
    world.heal();
    let healed = world.now();
    let mut settled = None;
    while world.violation().is_none() && world.now() < healed + CONVERGES {
        world.run_until(world.now() + SECOND / 2);
        let unsettled = world.unsettled();
        // What is settled has to stay so for a while.
        match (&unsettled, settled) {
            (Some(_), _) => settled = None,
            (None, None) => settled = Some(world.now()),
            (None, Some(since)) if world.now() > since + 2 * SECOND => break,
            _ => {}
        }
        if world.now() > healed + PATIENCE && unsettled.is_some() {
            world.tidy();
        }
    }
    let violation = world.violation().cloned().or_else(|| {
        world.unsettled().map(|what| Violation {
            invariant: "converges",
            at: world.now(),
            what,
        })
    });
    Verdict {
        seed,
        simulated: world.now(),
        violation,
        coverage: world.coverage().clone(),
        accepted: world.accepted(),
        trace: world.trace().to_vec(),
    }
}

/// Runs a seed.
#[must_use]
pub fn run_seed(seed: u64, bugs: Bugs, trace: bool) -> Verdict {
    let (setting, faults) = plan(seed, bugs, trace);
    run(setting, faults)
}
