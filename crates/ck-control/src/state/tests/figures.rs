//! What the larger commands cost. Run with
//! `cargo test --release -p ck-control figures -- --ignored --nocapture`.
#![expect(
    clippy::disallowed_types,
    reason = "a figure is measured, nothing depends on it"
)]

use alloc::string::ToString;
use alloc::vec::Vec;
use std::time::Instant;

use ck_core::{NodeId, PartitionId, Table};

use super::world::{World, config, node, registration};
use crate::state::{
    Command, Entry, Move, Party, Proposal, RebalanceCommand, Registration, State, TransferCommand,
    Trigger,
};
use crate::{Nonce, Position, Release, SwitchId, TransferId};

const NODES: u64 = 100;
const PARTITIONS: u32 = 16_384;

/// Three copies a row, on neighbours; `turn` moves every row on.
fn wide_table(turn: u32) -> Table {
    let mut nodes: Vec<NodeId> = (1..=NODES).map(node).collect();
    nodes.sort();
    let count = NODES as u32;
    let rows = (0..PARTITIONS).map(|p| {
        [
            (p + turn) % count,
            (p + turn + 1) % count,
            (p + turn + 2) % count,
        ]
    });
    Table::from_rows(nodes, 3, rows).unwrap()
}

/// Milliseconds that a command takes while a reader still holds the state before it.
fn milliseconds(state: &mut State, name: &str, command: Command) -> u128 {
    let _published = state.clone();
    let proposal = Proposal::new(0, "operator".to_string(), command);
    let position = Position(state.applied().0 + 1);
    let entry = Entry {
        position,
        term: 1,
        proposal,
    };
    let start = Instant::now();
    let events = state.apply(&entry).unwrap().unwrap().len();
    let took = start.elapsed();
    std::eprintln!("{name}: {took:?}, {events} events");
    took.as_millis()
}

/// The step that changes most: the first partition's role goes to the copy that follows.
fn first_commit(state: &mut State) -> Command {
    let partition = PartitionId(0);
    let control = state.partition(partition).unwrap().clone();
    let holder = control.holder.unwrap();
    let row = state.row_members(partition);
    let target = Party {
        member: row[1],
        session: state.member(row[1]).unwrap().session.unwrap(),
    };
    let open = TransferCommand::Open(Move {
        partition,
        source: Party {
            member: holder.member,
            session: holder.session,
        },
        target,
        handoff: true,
        leaving: None,
        reason: Trigger::Manual,
        force: false,
    });
    let command = |step| Command::Transfer { office: None, step };
    milliseconds(state, "open a move", command(open));
    let transfer = TransferId(state.applied().0);
    let switch = TransferCommand::OpenSwitch { transfer };
    milliseconds(state, "open its switch", command(switch));
    command(TransferCommand::Commit {
        transfer,
        release: Release {
            session: holder.session,
            partition,
            epoch: control.epoch,
            switch: SwitchId(state.applied().0),
        },
    })
}

#[test]
#[ignore = "timing, meant for a release build"]
fn a_plan_for_16384_partitions_on_100_nodes_begins_in_50_ms_and_a_step_takes_20() {
    let mut world = World::of(1, config(PARTITIONS, 3));
    for n in 2..=NODES {
        world.ok(Command::Register(registration(n)));
    }
    let create = Command::CreatePartitions {
        table: wide_table(0),
        strategy: None,
    };
    milliseconds(&mut world.state, "create", create);
    let plan = RebalanceCommand::Begin {
        base: world.version(),
        table: wide_table(1),
        trigger: Trigger::Manual,
        started_at_ms: 0,
    };
    let plan = Command::Rebalance { step: plan };
    let took = milliseconds(&mut world.state, "begin a plan", plan);
    assert!(took < 50, "{took} ms");
    let step = first_commit(&mut world.state);
    let took = milliseconds(&mut world.state, "commit a move", step);
    assert!(took < 20, "{took} ms");
    let back = Command::Register(Registration {
        durable: true,
        ..world.restart(2)
    });
    let took = milliseconds(&mut world.state, "come back", back);
    assert!(took < 20, "{took} ms");
    let sessions = (10..20).map(|n| world.session(n)).collect();
    let expire = Command::Expire {
        office: world.office(),
        sessions,
    };
    let took = milliseconds(&mut world.state, "expire ten", expire);
    assert!(took < 50, "{took} ms");
    let member = world.state.member_by_node("node-1").unwrap().number;
    let took = milliseconds(
        &mut world.state,
        "office",
        Command::Office {
            member,
            nonce: Nonce(2),
            term: 1,
        },
    );
    assert!(took < 5, "{took} ms");
}
