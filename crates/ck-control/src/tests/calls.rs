//! What an agent asks of its handler: how much at once, in which order, and for how long.

use alloc::vec::Vec;
use core::time::Duration;

use ck_core::PartitionId;

use super::cluster::Cluster;
use crate::{
    AgentInput, AgentOutput, Call, CallId, Command, HandlerLimits, MemberNumber, Move, Party,
    TransferCommand, Trigger,
};

const ROWS: [&str; 6] = ["2 1 3", "2 1 3", "2 1 3", "2 1 3", "2 1 3", "2 1 3"];

/// How often node n was asked to be a primary.
fn begun(cluster: &Cluster, n: u64) -> usize {
    let begins = |(at, call): &&(u64, Call)| *at == n && matches!(call, Call::BecomePrimary { .. });
    cluster.calls.iter().filter(begins).count()
}

#[test]
fn a_become_primary_that_never_returns_is_called_again_with_back_off() {
    let mut cluster = Cluster::with_rows(3, &["1 2", "2 3"]);
    cluster.dull.insert(2);
    let session = cluster.world.session(2);
    cluster.kill(1);
    cluster.elect(3);
    cluster.until(1, "2@1", 10);
    cluster.run(3_000);
    let asked = begun(&cluster, 2);
    // It has the lease, and the role; what hangs is its handler.
    assert_eq!(cluster.world.show(0), "2 1 epoch 2 held 2 sync 2 degraded");
    assert_eq!(cluster.show(0), "-");
    let deadline = HandlerLimits::default().become_primary;
    cluster.run(u32::try_from(deadline.as_millis()).unwrap());
    assert_eq!(begun(&cluster, 2), asked + 1, "cancelled, and made again");
    // Each time it is waited longer before the next try.
    cluster.run(600_000);
    let tries = begun(&cluster, 2) - asked;
    assert!((14..=20).contains(&tries), "{tries}");
    assert_eq!(
        cluster.world.session(2),
        session,
        "it costs the session nothing"
    );
    assert_eq!(cluster.show(1), "2@1", "nor the other partition");
    cluster.dull.clear();
    cluster.until(0, "2@2", 45_000);
}

/// The first agent of a cluster, whose calls end when the test says so.
struct Busy {
    cluster: Cluster,
    running: Vec<(CallId, u32, Call)>,
}

impl Busy {
    fn new(calls_max: u32) -> Self {
        let mut cluster = Cluster::with_rows(3, &ROWS);
        cluster.limits.calls_max = calls_max;
        cluster.kill(2);
        cluster.restart(2);
        let mut busy = Self {
            cluster,
            running: Vec::new(),
        };
        busy.take();
        busy
    }

    /// Takes what the agent asks of its handler.
    fn take(&mut self) {
        let agent = &mut self.cluster.node(2).agent;
        while let Some(output) = agent.poll_output() {
            match output {
                AgentOutput::Call {
                    id,
                    partition,
                    call,
                } => self.running.push((id, partition.0, call)),
                AgentOutput::Cancel { id, .. } => self.running.retain(|one| one.0 != id),
                _ => {}
            }
        }
    }

    fn ends(&mut self, at: usize) {
        let (call, ..) = self.running.remove(at);
        let ended = AgentInput::CallEnded {
            call,
            succeeded: true,
        };
        let now = self.cluster.now;
        self.cluster.node(2).agent.handle(ended, now);
        self.take();
    }

    fn partitions(&self) -> Vec<u32> {
        self.running.iter().map(|one| one.1).collect()
    }
}

#[test]
fn so_many_calls_run_at_once_and_the_others_come_in_their_order() {
    let mut busy = Busy::new(2);
    // Before it has a session again it is told that it holds copies.
    assert_eq!(busy.partitions(), [0, 1]);
    busy.ends(1);
    assert_eq!(busy.partitions(), [0, 2]);
    busy.ends(0);
    assert_eq!(busy.partitions(), [2, 3]);
    busy.ends(0);
    busy.ends(0);
    assert_eq!(busy.partitions(), [4, 5]);
    busy.ends(0);
    busy.ends(0);
    assert_eq!(busy.running, []);
}

#[test]
fn a_release_waits_for_no_other_call() {
    let limits = HandlerLimits {
        calls_max: 1,
        become_primary: Duration::from_secs(3_600),
    };
    let mut cluster = Cluster::limited(4, &["2 1", "3 2"], limits);
    // The one call there is room for hangs.
    cluster.dull.insert(2);
    cluster.kill(3);
    let asked = begun(&cluster, 2);
    cluster.run(4_000);
    assert_eq!(begun(&cluster, 2), asked + 1);
    assert_eq!(
        (cluster.show(0), cluster.show(1)),
        ("2@1".into(), "-".into())
    );
    let now = cluster.now;
    cluster.node(2).agent.handle(AgentInput::Leave, now);
    cluster.until(0, "1@2", 200);
}

#[test]
fn copies_that_hang_keep_no_partition_from_being_served() {
    let limits = HandlerLimits {
        calls_max: 1,
        ..HandlerLimits::default()
    };
    let mut cluster = Cluster::limited(3, &["1 2", "1 2", "2 3"], limits);
    cluster.hangs.insert(3);
    let party = |cluster: &Cluster, n| Party {
        member: MemberNumber(n),
        session: cluster.world.session(n),
    };
    for partition in [0, 1].map(PartitionId) {
        let begun = Move {
            partition,
            source: party(&cluster, 1),
            target: party(&cluster, 3),
            handoff: false,
            leaving: None,
            reason: Trigger::Manual,
            force: false,
        };
        let office = Some(cluster.world.office());
        let step = TransferCommand::Open(begun);
        cluster.propose(Command::Transfer { office, step });
    }
    cluster.run(100);
    let copies = |(at, call): &&(u64, Call)| *at == 3 && matches!(call, Call::Prepare { .. });
    let begun = cluster.calls.iter().filter(copies).count();
    assert_eq!(begun, 1, "one at a time");
    cluster.kill(2);
    cluster.until(2, "3@2", 3_000);
    let begun = cluster.calls.iter().filter(copies).count();
    assert_eq!(begun, 1, "the other still waits");
}
