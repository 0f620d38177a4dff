//! Two interleavings that random runs rarely meet, step by step; and that each is a double owner
//! where its rule is broken.

use alloc::vec::Vec;
use core::time::Duration;

use super::cluster::Cluster;
use crate::{Bugs, Command, LeaderInput, MemberNumber, Renewal};

/// A leader decides an expiry that is not committed, restarts in its term, and answers the session
/// it had condemned; then the old entry commits. Node-2 does not hear of it.
fn restart_with_an_uncommitted_expiry(bugs: Bugs) {
    let mut cluster = Cluster::with_rows(3, &["2 3 1"]);
    let term = cluster.world.term;
    cluster.mute.insert(2);
    cluster.deny = true;
    cluster.until(0, "-", 2_500);
    cluster.run(500);
    let expiry = cluster
        .lost
        .iter()
        .find(|lost| matches!(lost, Command::Expire { .. }));
    let expiry = expiry.cloned().expect("node-2 is condemned");
    cluster.mute.clear();
    cluster.deny = false;
    cluster.bugs = bugs;
    cluster.kill(1);
    cluster.restart(1);
    cluster.elect_in(1, term);
    cluster.run(1_000);
    assert_eq!(cluster.show(0), "2@1", "the new process answers");
    cluster.stuck.insert(2);
    let applied = cluster.world.apply(expiry);
    cluster.publish();
    cluster.run(1_000);
    assert!(applied.is_err(), "{}", cluster.show(0));
}

#[test]
fn an_expiry_decided_before_a_restart_does_not_count_after_it() {
    restart_with_an_uncommitted_expiry(Bugs::default());
}

#[cfg(feature = "planted-bugs")]
#[test]
#[should_panic(expected = "owned beside")]
fn without_its_own_office_entry_a_restarted_leader_lets_two_own() {
    restart_with_an_uncommitted_expiry(Bugs::planted(crate::Bug::ResumedWithoutOffice));
}

/// The same without a restart: leadership is seen to end and to begin again in its term, as a
/// driver may tell it that watches from outside.
#[test]
fn an_expiry_decided_before_leadership_was_left_does_not_count_after_it() {
    let mut cluster = Cluster::with_rows(3, &["2 3 1"]);
    let term = cluster.world.term;
    cluster.mute.insert(2);
    cluster.deny = true;
    cluster.until(0, "-", 2_500);
    cluster.run(500);
    let decided = |lost: &&Command| matches!(lost, Command::Expire { .. });
    let expiry = cluster.lost.iter().find(decided).cloned();
    let expiry = expiry.expect("node-2 is condemned");
    cluster.mute.clear();
    cluster.deny = false;
    let now = cluster.now;
    cluster.node(1).leader.handle(LeaderInput::Follows, now);
    cluster.elect_in(1, term);
    cluster.run(1_000);
    assert_eq!(cluster.show(0), "2@1", "it answers again");
    cluster.stuck.insert(2);
    let applied = cluster.world.apply(expiry);
    cluster.publish();
    cluster.run(1_000);
    assert!(applied.is_err(), "{}", cluster.show(0));
}

/// A confirmation is under way when node-2's renewal arrives; then it succeeds. Returns whether
/// node-2 is answered.
fn a_confirmation_begun_before_the_arrival(bugs: Bugs) -> bool {
    let mut cluster = Cluster::with_rows(3, &["2 3 1"]);
    cluster.bugs = bugs;
    cluster.kill(1);
    cluster.restart(1);
    cluster.elect(1);
    cluster.run(1_000);
    cluster.quorum = false;
    cluster.mute.insert(2);
    cluster.kept.clear();
    while cluster.kept.is_empty() {
        cluster.run(1);
    }
    let before = cluster.node(2).agent.lease_ends();
    let (round, term) = cluster.kept[0];
    cluster.mute.clear();
    let now = cluster.now;
    let agent = &cluster.node(2).agent;
    let renewal = Renewal {
        member: MemberNumber(2),
        session: agent.session().expect("node-2 is registered"),
        sent: now,
        applied: agent.state().applied(),
        unanswered: Duration::ZERO,
        leaving: false,
        reports: Vec::new(),
    };
    let leader = &mut cluster.node(1).leader;
    leader.handle(LeaderInput::Renewal(renewal), now);
    cluster.confirm(1, round, term);
    cluster.run(0);
    cluster.node(2).agent.lease_ends() != before
}

#[test]
fn a_confirmation_counts_for_nothing_that_arrived_after_it_began() {
    assert!(!a_confirmation_begun_before_the_arrival(Bugs::default()));
}

#[cfg(feature = "planted-bugs")]
#[test]
fn with_the_rule_broken_a_later_arrival_is_answered() {
    let bugs = Bugs::planted(crate::Bug::ConfirmationBegunBefore);
    assert!(a_confirmation_begun_before_the_arrival(bugs));
}
