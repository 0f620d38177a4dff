//! Rules broken on purpose are noticed, by the very seeds and scripts that pass without.
#![cfg(feature = "planted-bugs")]

use ck_control::{Bug, Bugs};
use ck_sim::planted::{Found, look_for};
use ck_sim::{run_script, shrink};

#[test]
fn every_broken_rule_is_noticed() {
    let missed: Vec<Bug> = Bug::ALL
        .into_iter()
        .filter(|bug| look_for(*bug) == Found::Nowhere)
        .collect();
    assert_eq!(missed, []);
}

#[test]
fn a_failing_seed_shrinks_to_fewer_and_shorter_faults_that_still_break_the_rule() {
    let bug = Bug::LeaderSkipsWait;
    let Found::Seed(seed, violation) = look_for(bug) else {
        panic!("{bug:?} is noticed by a seed");
    };
    let bugs = Bugs::planted(bug);
    let (_, all) = ck_sim::run::plan(seed, bugs, false);
    let script = shrink(seed, bugs, violation.invariant, 400);
    assert!(script.len() < all.len(), "{script} of {}", all.len());
    assert_eq!(shrink(seed, bugs, violation.invariant, 400), script);
    let time = |faults: Vec<ck_sim::Fault>| faults.iter().map(|one| one.lasts).sum::<u64>();
    assert!(time(script.faults(&all)) < time(all.clone()));
    // What is printed is what is read.
    let read = script.to_string().parse().unwrap();
    let again = run_script(seed, &read, bugs, false).violation.unwrap();
    assert_eq!(again.invariant, violation.invariant);
    let sound = run_script(seed, &read, Bugs::default(), false).violation;
    assert_eq!(sound, None);
}
