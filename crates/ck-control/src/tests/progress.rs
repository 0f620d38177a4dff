//! How far a copy has come, for people.

use ck_core::PartitionId;

use crate::state::tests::world::table;
use crate::tests::cluster::Cluster;
use crate::{AgentInput, Command, RebalanceCommand, Trigger};

#[test]
fn what_a_handler_has_copied_is_known_everywhere_and_is_not_history() {
    let mut cluster = Cluster::with_rows(4, &["1 2 3"]);
    cluster.hangs.insert(4);
    let base = cluster.world.version();
    cluster.propose(Command::Rebalance {
        step: RebalanceCommand::Begin {
            base,
            table: table(&["1 2 4"]),
            trigger: Trigger::Join,
            started_at_ms: 0,
        },
    });
    cluster.run(100);
    let history = cluster.world.state.history().len();
    for done in [3, 7] {
        let progress = AgentInput::Progress {
            partition: PartitionId(0),
            done,
            total: 9,
        };
        let now = cluster.now;
        cluster.node(4).agent.handle(progress, now);
        cluster.run(1_000);
        let transfer = cluster.world.state.transfers().next().unwrap();
        assert_eq!((transfer.done, transfer.total), (done, 9));
    }
    let version = cluster.world.version();
    cluster.run(2_000);
    assert_eq!(
        cluster.world.version(),
        version,
        "the same is not said twice"
    );
    assert_eq!(cluster.world.state.history().len(), history);
    // A partition that is not being copied here says nothing.
    let now = cluster.now;
    cluster.node(2).agent.handle(
        AgentInput::Progress {
            partition: PartitionId(0),
            done: 1,
            total: 1,
        },
        now,
    );
    cluster.run(1_000);
    assert_eq!(cluster.world.version(), version);
}
