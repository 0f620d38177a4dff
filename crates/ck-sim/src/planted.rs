//! Rules broken on purpose, and what notices each.

use ck_control::{Bug, Bugs};

use crate::invariants::Violation;
use crate::run::run_seed;
use crate::world::directed::{self, Script};

/// Seeds within which a broken rule is to be noticed.
pub const SEEDS: u64 = 2_000;

/// What noticed a broken rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A seed of the list, which passes when the rule is kept.
    Seed(u64, Violation),
    /// A script, which passes when the rule is kept.
    Directed(&'static str, Violation),
    /// Nothing.
    Nowhere,
}

/// The script for a rule that random runs meet too rarely.
fn script(bug: Bug) -> Option<(&'static str, Script)> {
    match bug {
        Bug::ResumedWithoutOffice => Some((
            "a restart in the same term with an uncommitted expiry",
            directed::resumed_with_an_uncommitted_expiry,
        )),
        Bug::AckNotBound => Some((
            "a late acknowledgement of an aborted switch",
            directed::acknowledgement_of_an_earlier_switch,
        )),
        Bug::ConfirmationBegunBefore => Some((
            "a confirmation begun before the arrival",
            directed::confirmation_begun_before_the_arrival,
        )),
        _ => None,
    }
}

/// Looks for what notices a broken rule: its script, or else the first of seeds `1..=SEEDS`.
#[must_use]
pub fn look_for(bug: Bug) -> Found {
    let planted = Bugs::planted(bug);
    if let Some((name, script)) = script(bug) {
        return match (script(planted), script(Bugs::default())) {
            (Some(violation), None) => Found::Directed(name, violation),
            _ => Found::Nowhere,
        };
    }
    let mut seeds = 1..=SEEDS;
    let found = seeds.find_map(|seed| Some((seed, run_seed(seed, planted, false).violation?)));
    match found {
        Some((seed, violation)) if run_seed(seed, Bugs::default(), false).violation.is_none() => {
            Found::Seed(seed, violation)
        }
        _ => Found::Nowhere,
    }
}
