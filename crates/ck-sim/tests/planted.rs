//! Rules broken on purpose are noticed, under the very seeds that pass without.
#![cfg(feature = "planted-bugs")]

use std::ops::RangeInclusive;

use ck_control::{Bug, Bugs};
use ck_sim::{run_seed, shrink};

/// Runs seeds until one breaks a rule.
fn found(bug: Bug, mut seeds: RangeInclusive<u64>) -> Option<(u64, &'static str)> {
    seeds.find_map(|seed| {
        let verdict = run_seed(seed, Bugs::planted(bug), false);
        verdict.violation.map(|one| (seed, one.invariant))
    })
}

fn is_found(bug: Bug) {
    is_found_in(bug, 1..=2_000);
}

fn is_found_in(bug: Bug, seeds: RangeInclusive<u64>) {
    let (seed, invariant) = found(bug, seeds).expect("the broken rule should be noticed");
    let sound = run_seed(seed, Bugs::default(), false);
    assert_eq!(
        sound.violation, None,
        "seed {seed} fails without {bug:?} too"
    );
    assert!(!invariant.is_empty());
}

#[test]
fn a_grant_before_the_expiry_is_found() {
    is_found(Bug::GrantBeforeExpiry);
}

#[test]
fn a_lease_on_the_wall_clock_is_found() {
    is_found(Bug::WallClock);
}

#[test]
fn a_lease_counted_from_the_receipt_is_found() {
    // The first of the list that shows it is well past the others': most of the way is skipped.
    is_found_in(Bug::LeaseFromReceipt, 450..=2_000);
}

#[test]
fn a_confirmation_that_began_before_the_arrival_is_found() {
    is_found(Bug::ConfirmationBegunBefore);
}

#[test]
fn a_proof_that_is_not_checked_again_is_found() {
    is_found(Bug::NoCheckAfterAwait);
}

#[test]
fn an_epoch_that_is_not_raised_is_found() {
    is_found(Bug::EpochNotRaised);
}

#[test]
fn a_source_that_never_stops_is_found() {
    is_found(Bug::SourceNeverStops);
}

#[test]
fn a_target_that_serves_early_is_found() {
    is_found(Bug::TargetServesEarly);
}

#[test]
fn a_snapshot_without_epochs_is_found() {
    is_found(Bug::SnapshotWithoutEpochs);
}

#[test]
fn an_ended_session_that_is_revived_is_found() {
    is_found(Bug::EndedSessionRevived);
}

#[test]
fn a_rejoin_without_catch_up_is_found() {
    is_found(Bug::RejoinWithoutCatchUp);
}

#[test]
fn a_leader_that_skips_its_wait_is_found() {
    is_found(Bug::LeaderSkipsWait);
}

#[test]
fn a_grant_to_the_node_is_found() {
    is_found(Bug::GrantToNode);
}

#[test]
fn a_failing_seed_shrinks_to_fewer_faults_that_still_break_the_rule() {
    let bug = Bug::LeaderSkipsWait;
    let (seed, invariant) = found(bug, 1..=2_000).unwrap();
    let (setting, all) = ck_sim::run::plan(seed, Bugs::planted(bug), false);
    let fewer = shrink(seed, Bugs::planted(bug), invariant, 100);
    assert!(fewer.len() <= all.len());
    let again = ck_sim::run::run(setting, fewer).violation.unwrap();
    assert_eq!(again.invariant, invariant);
}
