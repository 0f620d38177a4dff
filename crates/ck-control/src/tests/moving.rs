//! Planned moves from open to clean-up, and every way they are given up.

use ck_core::PartitionId;

use super::cluster::Cluster;
use crate::state::tests::world::table;
use crate::{
    Command, InSyncChange, MemberNumber, Move, Party, RebalanceCommand, Stage, TransferCommand,
    Trigger,
};

fn party(cluster: &Cluster, n: u64) -> Party {
    Party {
        member: MemberNumber(n),
        session: cluster.world.session(n),
    }
}

/// {2*, 3, 1} becomes {4*, 3, 1}.
fn handoff(cluster: &Cluster, force: bool) -> Command {
    Command::Transfer {
        office: None,
        step: TransferCommand::Open(Move {
            partition: PartitionId(0),
            source: party(cluster, 2),
            target: party(cluster, 4),
            handoff: true,
            leaving: Some(MemberNumber(2)),
            reason: Trigger::Manual,
            force,
        }),
    }
}

fn stage(cluster: &Cluster) -> Option<Stage> {
    cluster.world.state.transfers().next().map(|one| one.stage)
}

#[track_caller]
fn until_stage(cluster: &mut Cluster, wanted: Stage) {
    for _ in 0..30_000 {
        if stage(cluster) == Some(wanted) {
            return;
        }
        cluster.run(1);
    }
    panic!(
        "{wanted} is not reached: {:?}, {:?}",
        stage(cluster),
        cluster.refusals
    );
}

/// A cluster whose move stands at a stage, held there by a side that hangs.
fn at_release(force: bool) -> Cluster {
    let mut cluster = Cluster::with_rows(4, &["2 3 1"]);
    cluster.hangs.insert(2);
    cluster.propose(handoff(&cluster, force));
    until_stage(&mut cluster, Stage::Release);
    cluster.run(1);
    cluster
}

#[test]
fn a_handoff_goes_through_and_nobody_waits_for_a_time_out() {
    let mut cluster = Cluster::with_rows(4, &["2 3 1"]);
    cluster.propose(handoff(&cluster, false));
    let took = cluster.until(0, "4@2", 100);
    assert!(took <= 5, "{took} ms");
    assert_eq!(
        cluster.world.show(0),
        "4 2 3 1 epoch 2 held 4 sync 1 2 3 4 moving"
    );
    cluster.run(4_000);
    assert_eq!(
        cluster.world.show(0),
        "4 3 1 epoch 2 held 4 sync 1 3 4 stable"
    );
    assert_eq!(stage(&cluster), None);
}

#[test]
fn a_release_waits_for_outstanding_proofs() {
    let mut cluster = Cluster::with_rows(4, &["2 3 1"]);
    cluster.holds.insert(2);
    let token = cluster.owner(0).unwrap().1;
    cluster.propose(handoff(&cluster, false));
    until_stage(&mut cluster, Stage::Release);
    cluster.run(100);
    assert_eq!(
        (cluster.show(0).as_str(), stage(&cluster)),
        ("-", Some(Stage::Release))
    );
    let now = cluster.now;
    let input = crate::AgentInput::Drained { token };
    cluster.node(2).agent.handle(input, now);
    cluster.until(0, "4@2", 100);
}

#[test]
fn a_missed_release_is_aborted_and_granted_anew() {
    let mut cluster = at_release(false);
    assert_eq!(
        cluster.show(0),
        "-",
        "the gate is shut while the release hangs"
    );
    cluster.until(0, "2@2", 6_000);
    assert_eq!(
        cluster.world.show(0),
        "2 3 1 epoch 2 held 2 sync 1 2 3 stable"
    );
}

#[test]
fn a_forced_release_is_revoked_and_its_lease_waited_for() {
    let mut cluster = at_release(true);
    let taken = cluster.until(0, "4@2", 10_000);
    assert!(
        (6_000..=6_800).contains(&taken),
        "{taken}: 4 s to release, 2.1 s of lease"
    );
}

#[test]
fn a_revoked_role_goes_back_when_its_target_cannot_take_it() {
    let mut cluster = at_release(true);
    cluster.run(4_500);
    let moved = cluster.world.state.transfers().next().cloned();
    let moved = moved.expect("the lease of what was revoked is still waited for");
    assert!(moved.revoked.is_some());
    let step = |cluster: &Cluster| {
        let epoch = cluster
            .world
            .state
            .partition(moved.partition)
            .unwrap()
            .epoch;
        Command::InSync {
            partition: moved.partition,
            session: moved.source.session,
            epoch,
            change: InSyncChange::Remove(moved.target.member),
        }
    };
    cluster.propose(step(&cluster));
    cluster.hangs.clear();
    cluster.until(0, "2@2", 1_000);
    assert_eq!(stage(&cluster), None);
}

#[test]
fn the_source_dies_during_release() {
    let mut cluster = at_release(false);
    cluster.kill(2);
    cluster.run(3_000);
    assert!(cluster.owner(0).is_some(), "{}", cluster.world.show(0));
    assert_eq!(stage(&cluster), None);
}

#[test]
fn the_target_dies_during_release() {
    let mut cluster = at_release(false);
    cluster.kill(4);
    cluster.until(0, "2@2", 3_000);
    assert_eq!(
        cluster.world.show(0),
        "2 3 1 epoch 2 held 2 sync 1 2 3 stable"
    );
}

#[test]
fn the_target_dies_while_it_copies_and_all_stays_as_it_was() {
    let mut cluster = Cluster::with_rows(4, &["2 3 1"]);
    cluster.hangs.insert(4);
    cluster.propose(handoff(&cluster, false));
    until_stage(&mut cluster, Stage::Prepare);
    cluster.kill(4);
    cluster.run(3_000);
    assert_eq!(stage(&cluster), None);
    assert_eq!(
        cluster.world.show(0),
        "2 3 1 epoch 1 held 2 sync 1 2 3 stable"
    );
}

#[test]
fn a_target_that_is_behind_keeps_its_copy_when_its_session_ends() {
    let mut cluster = Cluster::with_rows(4, &["2 3 1"]);
    cluster.hangs.extend([2, 4]);
    cluster.propose(handoff(&cluster, false));
    until_stage(&mut cluster, Stage::Prepare);
    // From here on it comes to count as in sync, and does not know it.
    cluster.stuck.insert(4);
    let moved = cluster.world.state.transfers().next().cloned().unwrap();
    let transfer = moved.id;
    let (session, epoch) = (moved.source.session, ck_core::Epoch(1));
    let office = None;
    for step in [
        TransferCommand::Prepared { transfer },
        TransferCommand::CaughtUp {
            transfer,
            session,
            epoch,
        },
    ] {
        cluster.propose(Command::Transfer { office, step });
    }
    let in_sync = &cluster
        .world
        .state
        .partition(PartitionId(0))
        .unwrap()
        .in_sync;
    assert!(in_sync.contains(&MemberNumber(4)), "{in_sync:?}");
    let session = cluster.world.session(4);
    let answer = crate::Answer::Fenced {
        session,
        process: crate::Nonce(4_001),
    };
    let now = cluster.now;
    let agent = &mut cluster.node(4).agent;
    agent.handle(crate::AgentInput::Answered(answer), now);
    cluster.run(10);
    assert!(!cluster.calls.contains(&(4, crate::Call::CleanUp)));
    cluster.propose(Command::Stop {
        member: MemberNumber(4),
        session,
    });
    cluster.stuck.clear();
    cluster.publish();
    // With its next session.
    cluster.run(3_000);
    assert!(cluster.calls.contains(&(4, crate::Call::CleanUp)));
}

#[test]
fn the_target_dies_after_the_commit() {
    let mut cluster = Cluster::with_rows(4, &["2 3 1"]);
    cluster.dull.insert(4);
    cluster.propose(handoff(&cluster, false));
    until_stage(&mut cluster, Stage::Activate);
    cluster.kill(4);
    cluster.run(3_000);
    let (owner, token) = cluster.owner(0).unwrap();
    assert!(
        owner != 4 && token.epoch.0 == 3,
        "{}",
        cluster.world.show(0)
    );
    cluster.run(5_000);
    assert!(
        !cluster.world.show(0).contains('4'),
        "{}",
        cluster.world.show(0)
    );
}

#[test]
fn the_leader_changes_at_every_stage() {
    for wanted in [
        Stage::Prepare,
        Stage::CatchUp,
        Stage::Release,
        Stage::CleanUp,
    ] {
        let mut cluster = Cluster::with_rows(4, &["2 3 1"]);
        cluster.hangs.extend([2, 4]);
        if wanted > Stage::Prepare {
            cluster.hangs.remove(&4);
        }
        if wanted > Stage::Release {
            cluster.hangs.clear();
        }
        cluster.deny = true;
        cluster.propose(handoff(&cluster, false));
        if wanted != Stage::Prepare {
            cluster.deny = false;
            if wanted == Stage::CatchUp {
                cluster.run(0);
            } else {
                until_stage(&mut cluster, wanted);
            }
        }
        cluster.deny = false;
        cluster.kill(1);
        cluster.hangs.clear();
        cluster.restart(1);
        cluster.run(100);
        cluster.elect(3);
        cluster.run(60_000);
        assert_eq!(stage(&cluster), None, "{wanted}: {}", cluster.world.show(0));
        assert!(
            cluster.owner(0).is_some(),
            "{wanted}: {}",
            cluster.world.show(0)
        );
    }
}

#[test]
fn a_plan_is_carried_out_within_the_limits() {
    let rows = ["1 2 3", "1 2 3", "1 2 3", "2 3 1", "2 3 1", "3 1 2"];
    let wanted = ["4 2 3", "4 2 3", "1 2 4", "4 3 1", "3 2 1", "3 1 2"];
    let mut cluster = Cluster::with_rows(4, &rows);
    let base = cluster.world.version();
    cluster.propose(Command::Rebalance {
        step: RebalanceCommand::Begin {
            base,
            table: table(&wanted),
            trigger: Trigger::Join,
            started_at_ms: 0,
        },
    });
    let mut most = 0;
    // The first copies take so long that they are given up and tried again.
    cluster.hangs.insert(4);
    for step in 0..1_200 {
        if step == 100 {
            cluster.hangs.clear();
        }
        let into = cluster.world.state.transfers();
        let into = into.filter(|one| one.is_copying() && one.target.member.0 == 4);
        most = most.max(into.count());
        cluster.run(50);
    }
    assert_eq!(
        cluster.world.state.rebalance(),
        None,
        "{:?}",
        cluster.refusals
    );
    assert_eq!(most, 2, "at a time");
    for (partition, row) in wanted.iter().enumerate() {
        let shown = cluster.world.show(partition as u32);
        let first = row.split(' ').next().unwrap();
        assert!(
            shown.starts_with(first) && shown.ends_with("stable"),
            "{shown}, not {row}"
        );
    }
}

#[test]
fn a_paused_plan_begins_nothing() {
    let mut cluster = Cluster::with_rows(4, &["1 2 3"]);
    let base = cluster.world.version();
    let step = |step| Command::Rebalance { step };
    cluster.world.ok(step(RebalanceCommand::Begin {
        base,
        table: table(&["1 2 4"]),
        trigger: Trigger::Join,
        started_at_ms: 0,
    }));
    cluster.propose(step(RebalanceCommand::Pause { paused: true }));
    cluster.run(5_000);
    assert_eq!(cluster.world.state.transfers().len(), 0);
    cluster.propose(step(RebalanceCommand::Pause { paused: false }));
    cluster.run(5_000);
    assert!(
        cluster
            .world
            .show(0)
            .starts_with("1 2 4 epoch 1 held 1 sync 1 2 4 stable")
    );
}

#[test]
fn a_release_that_fails_is_aborted_at_once() {
    let mut cluster = Cluster::with_rows(4, &["2 3 1"]);
    cluster.fails.insert(2);
    cluster.propose(handoff(&cluster, false));
    let took = cluster.until(0, "2@2", 1_000);
    assert!(took <= 5, "{took} ms");
}

#[test]
fn a_partition_whose_move_failed_is_left_alone_for_longer_each_time() {
    let mut cluster = Cluster::with_rows(4, &["2 3 1"]);
    cluster.fails.insert(2);
    cluster.propose(Command::Rebalance {
        step: RebalanceCommand::Begin {
            base: cluster.world.version(),
            table: table(&["4 3 1"]),
            trigger: Trigger::Manual,
            started_at_ms: 0,
        },
    });
    cluster.run(31_000);
    // At 0, 2, 6, 14 and 30 s.
    let epoch = cluster.world.state.partition(PartitionId(0)).unwrap().epoch;
    assert!((5..=7).contains(&epoch.0), "{epoch}");
    cluster.fails.clear();
    cluster.run(90_000);
    assert!(
        cluster.world.show(0).starts_with("4 3 1"),
        "{}",
        cluster.world.show(0)
    );
}
