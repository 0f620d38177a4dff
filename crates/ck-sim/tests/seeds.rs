//! Seeds that pass; in CI the program runs many more.

use ck_control::Bugs;
use ck_sim::run_seed;

#[test]
fn the_first_seeds_break_no_rule_and_come_right() {
    let mut accepted = 0;
    for seed in 1..=60 {
        let verdict = run_seed(seed, Bugs::default(), false);
        assert_eq!(
            verdict.violation, None,
            "seed {seed}; replay: ck-sim {seed}"
        );
        accepted += verdict.accepted;
    }
    assert!(
        accepted > 5_000,
        "only {accepted} writes reached the resource"
    );
}

#[test]
fn a_seed_replays_to_the_letter() {
    let run = || run_seed(10, Bugs::default(), true);
    let (one, other) = (run(), run());
    assert_eq!(one.trace, other.trace);
    assert_eq!(one.coverage, other.coverage);
    assert!(one.trace.len() > 20);
}
