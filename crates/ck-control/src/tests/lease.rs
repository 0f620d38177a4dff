//! Sessions, leases, offices and confirmations.

use alloc::vec::Vec;

use super::cluster::{Cluster, MS};
use crate::{
    AgentInput, Answer, Command, LeaderInput, LeaderOutput, LeaseTerms, Mode, Profile, SessionId,
};

#[test]
fn members_own_what_they_are_granted() {
    let mut cluster = Cluster::with_rows(3, &["1 2 3", "2 3 1", "3 1 2"]);
    for _ in 0..50 {
        assert_eq!(
            [cluster.show(0), cluster.show(1), cluster.show(2)],
            ["1@1", "2@1", "3@1"]
        );
        cluster.run(100);
    }
    assert_eq!(cluster.refusals, Vec::<alloc::string::String>::new());
}

#[test]
fn a_node_without_answers_stops_before_the_leader_expires_it() {
    let mut cluster = Cluster::with_rows(3, &["2 3 1"]);
    cluster.mute.insert(2);
    let stopped = cluster.until(0, "-", 2_500);
    assert!((1_400..=1_900).contains(&stopped), "{stopped}");
    let taken = cluster.until(0, "3@2", 1_000);
    assert!((100..=800).contains(&taken), "{taken}");
    cluster.mute.clear();
    cluster.run(3_000);
    assert_eq!(cluster.show(0), "3@2", "the old session is not revived");
    assert!(cluster.world.state.open_session_of("node-2").is_some());
}

#[test]
fn the_leader_knows_since_when_a_node_is_silent() {
    let mut cluster = Cluster::with_rows(3, &["2 3 1"]);
    let session = cluster.world.session(2);
    cluster.run(1_000);
    let (now, every) = (
        cluster.now,
        cluster.world.state.config().lease.renews_every(),
    );
    let last = cluster.node(1).leader.answered_at(session).unwrap();
    assert!(now.since(last) <= every, "{:?}", now.since(last));
    assert_eq!(
        cluster.node(3).leader.answered_at(session),
        None,
        "no leader"
    );
    cluster.mute.insert(2);
    cluster.run(1_000);
    assert_eq!(cluster.node(1).leader.answered_at(session), Some(last));
    cluster.until(0, "3@2", 2_000);
    let ended = cluster.node(1).leader.answered_at(session);
    assert_eq!(ended, None, "its session has ended");
}

#[test]
fn a_confirmation_begun_before_the_arrival_does_not_count() {
    let mut cluster = Cluster::with_rows(3, &["2 1 3"]);
    cluster.quorum = false;
    cluster.run(150);
    let before = cluster.node(2).agent.lease_ends();
    // A renewal arrives while a round is under way that began before it.
    cluster.run(250);
    let (round, term) = cluster.kept[0];
    cluster.kept.clear();
    cluster.deny = true;
    let now = cluster.now;
    let leader = &mut cluster.node(1).leader;
    leader.handle(LeaderInput::Confirmed { round, term }, now);
    let mut outputs = Vec::new();
    while let Some(output) = leader.poll_output() {
        outputs.push(output);
    }
    let answered: Vec<u64> = outputs
        .iter()
        .filter_map(|output| match output {
            LeaderOutput::Answer { to, .. } => Some(to.0),
            _ => None,
        })
        .collect();
    assert!(answered.len() <= 1, "{outputs:?}");
    let again = outputs
        .iter()
        .any(|output| matches!(output, LeaderOutput::Confirm { round: next, .. } if *next > round));
    assert!(again, "the later arrival waits for a round of its own");
    assert_eq!(cluster.node(2).agent.lease_ends(), before);
}

#[test]
fn a_confirmation_of_another_term_or_round_does_not_count() {
    let mut cluster = Cluster::with_rows(3, &["2 1 3"]);
    cluster.quorum = false;
    cluster.run(600);
    let (round, term) = *cluster.kept.last().unwrap();
    let now = cluster.now;
    let leader = &mut cluster.node(1).leader;
    for (round, term) in [(round, term + 1), (crate::Round(round.0 - 1), term)] {
        leader.handle(LeaderInput::Confirmed { round, term }, now);
        assert_eq!(leader.poll_output(), None);
    }
}

#[test]
fn a_new_office_waits_a_whole_lease_before_it_expires_anybody() {
    let mut cluster = Cluster::with_rows(3, &["1 2 3", "2 3 1"]);
    cluster.kill(1);
    cluster.run(1_000);
    cluster.elect(2);
    let taken = cluster.until(0, "3@2", 3_000);
    assert!((2_090..=2_400).contains(&taken), "{taken}");
    assert_eq!(cluster.show(1), "2@1", "whoever renewed keeps what it held");
}

#[test]
fn a_leader_that_restarts_in_its_term_enters_office_anew() {
    let mut cluster = Cluster::with_rows(3, &["2 3 1"]);
    let (office, term) = (cluster.world.office(), cluster.world.term);
    cluster.kill(1);
    cluster.restart(1);
    cluster.deny = true;
    cluster.elect_in(1, term);
    cluster.run(300);
    assert_eq!(cluster.node(1).leader.office(), None);
    assert_eq!(cluster.show(0), "2@1", "by the lease of the process before");
    cluster.deny = false;
    cluster.run(500);
    assert!(cluster.node(1).leader.office().unwrap() > office);
}

#[test]
fn a_leader_whose_office_is_past_answers_nothing() {
    let mut cluster = Cluster::with_rows(3, &["1 2 3"]);
    cluster.elect(2);
    cluster.run(100);
    assert_eq!(cluster.node(1).leader.office(), None);
    assert!(cluster.node(2).leader.office().is_some());
}

#[test]
fn a_late_tick_counts_everybody_anew() {
    let mut cluster = Cluster::with_rows(3, &["2 3 1"]);
    cluster.mute.insert(2);
    cluster.run(1_000);
    // The whole leader's process stands still for 1.5 s: it has heard nobody meanwhile.
    cluster.now = cluster.now.after(MS * 1_500);
    cluster.tick();
    assert!(cluster.world.state.open_session_of("node-2").is_some());
    let taken = cluster.until(0, "3@2", 3_000);
    assert!(taken >= 2_000, "{taken}");
}

#[test]
fn a_session_whose_answers_are_lost_for_two_leases_is_condemned() {
    let mut cluster = Cluster::with_rows(3, &["2 3 1"]);
    cluster.run(5_000);
    cluster.deaf.insert(2);
    cluster.until(0, "3@2", 12_000);
}

#[test]
fn a_call_to_be_tried_again_is_no_deadline_while_the_lease_is_gone() {
    let mut cluster = Cluster::with_rows(3, &["2 3 1"]);
    cluster.balks.insert(3);
    cluster.kill(2);
    cluster.run(2_500);
    assert_eq!(cluster.show(0), "-", "its new primary fails to begin");
    // From here on it hears nothing: its lease lapses, and the time to try again passes.
    let mut agent = cluster.node(3).agent.clone();
    let mut now = cluster.now;
    for _ in 0..200 {
        now = now.max(agent.next_deadline());
        agent.handle(crate::AgentInput::Tick, now);
        while let Some(output) = agent.poll_output() {
            if let crate::AgentOutput::Call { id, .. } = output {
                let (call, succeeded) = (id, false);
                let ended = crate::AgentInput::CallEnded { call, succeeded };
                agent.handle(ended, now);
            }
        }
    }
    let passed = now.since(cluster.now);
    assert!(
        passed > cluster.world.state.config().lease.lease() * 10,
        "{passed:?}"
    );
}

#[test]
fn a_session_that_stays_behind_a_grant_is_condemned() {
    let mut cluster = Cluster::with_rows(3, &["2 3 1", "1 2 3"]);
    cluster.stuck.insert(2);
    cluster.mute.insert(1);
    cluster.leading = Some(1);
    cluster.elect(3);
    // Partition 1 goes to node-2 or node-3; one of node-2's kind that never applies it is ended.
    cluster.run(20_000);
    assert!(cluster.owner(1).is_some(), "{}", cluster.world.show(1));
}

#[test]
fn a_lease_counts_only_once_its_floor_is_applied() {
    let mut cluster = Cluster::with_rows(3, &["2 1 3"]);
    let state = cluster.world.state.clone();
    let session = cluster.world.session(2);
    let process = crate::Nonce(2_001);
    let now = cluster.now;
    let agent = &mut cluster.node(2).agent;
    let answer = Answer::Granted {
        session,
        process,
        sent: now,
        terms: state.config().lease,
        floor: crate::Position(state.applied().0 + 5),
        handing_over: false,
    };
    agent.handle(AgentInput::Answered(answer), now);
    assert_eq!(agent.owns(ck_core::PartitionId(0), now), None);
    assert_eq!(agent.lease_ends(), crate::Time::ZERO);
}

#[test]
fn answers_that_are_stale_doubled_or_of_another_session_are_ignored() {
    let mut cluster = Cluster::with_rows(3, &["2 1 3"]);
    let session = cluster.world.session(2);
    let (terms, process) = (LeaseTerms::of(Profile::Lan), crate::Nonce(2_001));
    let (now, before) = (cluster.now, cluster.node(2).agent.lease_ends());
    for (session, sent) in [
        (session, crate::Time(1)),
        (session, now.after(MS)),
        (SessionId(session.0 + 1), now),
    ] {
        let floor = crate::Position(1);
        let answer = Answer::Granted {
            session,
            process,
            sent,
            terms,
            floor,
            handing_over: false,
        };
        let agent = &mut cluster.node(2).agent;
        agent.handle(AgentInput::Answered(answer), now);
        assert_eq!(agent.lease_ends(), before, "{answer:?}");
    }
    let session = SessionId(1);
    let agent = &mut cluster.node(2).agent;
    let fenced = Answer::Fenced { session, process };
    agent.handle(AgentInput::Answered(fenced), now);
    assert_eq!(agent.lease_ends(), before);
}

#[test]
fn a_shorter_lease_binds_the_leader_when_the_longer_has_run_out() {
    let mut cluster = Cluster::with_rows(3, &["2 3 1"]);
    cluster.mute.insert(2);
    let terms = LeaseTerms::of(Profile::Fast);
    cluster.propose(Command::SetLease { terms });
    let stopped = cluster.until(0, "-", 2_500);
    assert!(stopped > 1_000, "{stopped}: its lease is the longer one");
    cluster.until(0, "3@2", 1_500);
    cluster.mute.insert(3);
    let taken = cluster.until(0, "1@3", 3_000);
    assert!(taken <= 700, "{taken}");
}

#[test]
fn a_longer_lease_that_has_run_out_is_waited_for_by_no_later_leader() {
    let mut cluster = Cluster::with_rows(3, &["2 3 1"]);
    let terms = LeaseTerms::of(Profile::Fast);
    cluster.propose(Command::SetLease { terms });
    let past = |cluster: &Cluster| cluster.world.state.past_lease().copied();
    let longer = past(&cluster).expect("it was longer").terms.waits_for();
    let longer = u32::try_from(longer.as_millis()).unwrap();
    // A leader before its time is up knows no better, and begins to wait anew.
    cluster.run(longer / 2);
    cluster.elect(3);
    cluster.run(longer - 100);
    assert!(past(&cluster).is_some(), "not since that office began");
    cluster.run(400);
    assert_eq!(past(&cluster), None);
    assert!(cluster.refusals.is_empty(), "{:?}", cluster.refusals);
    cluster.elect(1);
    cluster.mute.insert(2);
    let taken = cluster.until(0, "3@2", 3_000);
    assert!(taken <= 700, "{taken}");
}

#[test]
fn a_higher_mode_holds_once_every_session_has_applied_it() {
    let mut cluster = Cluster::with_rows(3, &["1 2 3"]);
    cluster.propose(Command::SetMode {
        mode: Mode::Advisory,
    });
    assert_eq!(cluster.world.state.config().mode, Mode::Advisory);
    cluster.stuck.insert(3);
    cluster.propose(Command::SetMode { mode: Mode::Fenced });
    cluster.run(1_000);
    let waiting = cluster.world.state.raise().unwrap().waiting.clone();
    assert_eq!(waiting, [cluster.world.session(3)]);
    assert_eq!(cluster.world.state.config().mode, Mode::Advisory);
    cluster.stuck.clear();
    cluster.publish();
    cluster.run(1_000);
    assert_eq!(cluster.world.state.config().mode, Mode::Fenced);
}
