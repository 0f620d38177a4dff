//! Interleavings that random runs rarely meet, step by step; and that each is a double owner
//! where its rule is broken.

use alloc::vec::Vec;
use core::time::Duration;

use super::cluster::Cluster;
use crate::{
    Agent, AgentInput, AgentOutput, Answer, Bugs, Command, HandlerLimits, Identity, LeaderInput,
    LeaderOutput, MemberNumber, Nonce, Renewal, StoreId,
};

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
        process: crate::Nonce(2_001),
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
fn the_process_of_a_copied_store_is_fenced_and_the_other_one_is_not() {
    let mut cluster = Cluster::with_rows(3, &["2 1 3"]);
    let (now, session) = (cluster.now, cluster.world.session(2));
    // A copy of node-2's data directory, on another machine, started as often as node-2.
    let copied = Identity {
        store: StoreId(2),
        process: Nonce(99),
        stopped: None,
    };
    let mut copy = Agent::new(copied, HandlerLimits::default(), Bugs::default());
    let state = cluster.world.state.clone();
    copy.handle(AgentInput::Applied(state.clone()), now);
    assert_eq!(copy.session(), None, "the session is the other process's");
    // What an answer to the other brings it nothing, nor does it to renew by force.
    let renewal = Renewal {
        member: MemberNumber(2),
        session,
        process: Nonce(99),
        sent: now,
        applied: state.applied(),
        unanswered: Duration::ZERO,
        leaving: true,
        reports: Vec::new(),
    };
    let leader = &mut cluster.node(1).leader;
    leader.handle(LeaderInput::Renewal(renewal), now);
    let fenced = Answer::Fenced {
        session,
        process: Nonce(99),
    };
    let to = MemberNumber(2);
    let answer = LeaderOutput::Answer { to, answer: fenced };
    assert_eq!(leader.poll_output(), Some(answer));
    assert_eq!(leader.poll_output(), None, "nothing is handed over for it");
    let agent = &mut cluster.node(2).agent;
    agent.handle(AgentInput::Answered(fenced), now);
    assert_eq!(agent.session(), Some(session), "it was not for this one");
    copy.handle(AgentInput::Tick, now.after(Duration::from_secs(1)));
    let asked = core::iter::from_fn(|| copy.poll_output()).any(|output| {
        let previous = Some(session);
        let stopped = None;
        output == AgentOutput::Register { previous, stopped }
    });
    assert!(asked, "it waits for the end of the session");
    assert_eq!(cluster.show(0), "2@1");
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
