//! Random steps of moves amid crashes, stops, returns and removals: no rule of any state or step
//! is broken, whatever the order.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use ck_core::{Epoch, PartitionId};
use proptest::prelude::*;

use super::random::check_promotions;
use super::world::{World, node};
use crate::MemberNumber;
use crate::state::{
    Command, InSyncChange, Move, Party, RebalanceCommand, Registration, Stage, TransferCommand,
    Trigger,
};
use crate::{Release, TransferId};

#[derive(Debug, Clone)]
enum Op {
    Open(u32, u64, Option<u64>, bool, bool),
    Forward(usize),
    Abort(usize),
    Revoke(usize),
    Trim(u32, u64),
    Drop(u32, u64),
    Add(u32, u64),
    Expire(Vec<u64>),
    Stop(u64),
    Return(u64, bool),
    Close(u64),
    Remove(u64),
    Promote(u32, u64),
    Plan(Vec<(Vec<u64>, usize)>),
    End,
}

const NODES: u64 = 5;

fn op() -> impl Strategy<Value = Op> {
    let n = || 1..=NODES;
    let p = || 0..2_u32;
    let order = Just((1..=NODES).collect::<Vec<u64>>()).prop_shuffle();
    let open = (
        p(),
        n(),
        prop::option::of(n()),
        any::<bool>(),
        any::<bool>(),
    );
    prop_oneof![
        6 => open.prop_map(|(p, to, leaving, handoff, force)| Op::Open(p, to, leaving, handoff, force)),
        12 => (0..4_usize).prop_map(Op::Forward),
        1 => (0..4_usize).prop_map(Op::Abort),
        1 => (0..4_usize).prop_map(Op::Revoke),
        1 => (p(), n()).prop_map(|(p, n)| Op::Trim(p, n)),
        1 => (p(), n()).prop_map(|(p, n)| Op::Drop(p, n)),
        2 => (p(), n()).prop_map(|(p, n)| Op::Add(p, n)),
        2 => prop::collection::vec(n(), 1..=5).prop_map(Op::Expire),
        1 => n().prop_map(Op::Stop),
        4 => (n(), any::<bool>()).prop_map(|(n, durable)| Op::Return(n, durable)),
        1 => n().prop_map(Op::Close),
        1 => n().prop_map(Op::Remove),
        1 => (p(), n()).prop_map(|(p, n)| Op::Promote(p, n)),
        2 => prop::collection::vec((order, 1..=3_usize), 2).prop_map(Op::Plan),
        1 => Just(Op::End),
    ]
}

fn party(world: &World, member: u64) -> Option<Party> {
    let member = MemberNumber(member);
    let session = world.state.member(member)?.session?;
    Some(Party { member, session })
}

fn grant(world: &World, partition: PartitionId) -> Option<(Party, Epoch)> {
    let control = world.state.partition(partition)?;
    let holder = control.holder?;
    let held = Party {
        member: holder.member,
        session: holder.session,
    };
    Some((held, control.epoch))
}

fn nth(world: &World, at: usize) -> Option<TransferId> {
    world.state.transfers().nth(at).map(|one| one.id)
}

/// The step that follows where a move stands.
fn forward(world: &World, at: usize) -> Option<TransferCommand> {
    let moved = world.state.transfers().nth(at)?;
    let transfer = moved.id;
    let (holder, epoch) = grant(world, moved.partition)?;
    let in_sync = world
        .state
        .partition(moved.partition)?
        .is_in_sync(moved.target.member);
    Some(match moved.stage {
        Stage::Prepare => TransferCommand::Prepared { transfer },
        Stage::CatchUp if in_sync => TransferCommand::OpenSwitch { transfer },
        Stage::CatchUp => TransferCommand::CaughtUp {
            transfer,
            session: holder.session,
            epoch,
        },
        Stage::Release => match moved.revoked {
            Some(revoked) => TransferCommand::CommitRevoked { transfer, revoked },
            None => TransferCommand::Commit {
                transfer,
                release: Release {
                    session: moved.source.session,
                    partition: moved.partition,
                    epoch,
                    switch: moved.switch?,
                },
            },
        },
        Stage::Commit | Stage::Activate => TransferCommand::Activated { transfer },
        Stage::CleanUp => TransferCommand::Finish { transfer },
    })
}

fn step(world: &World, op: &Op) -> Option<TransferCommand> {
    Some(match *op {
        Op::Open(p, to, leaving, handoff, force) => {
            let partition = PartitionId(p);
            let (source, _) = grant(world, partition)?;
            let leaving = leaving.map(MemberNumber);
            let leaving = if handoff && leaving.is_some() {
                Some(source.member)
            } else {
                leaving
            };
            TransferCommand::Open(Move {
                partition,
                source,
                target: party(world, to)?,
                handoff,
                leaving,
                reason: Trigger::Manual,
                force,
            })
        }
        Op::Forward(at) => forward(world, at)?,
        Op::Abort(at) => TransferCommand::Abort {
            transfer: nth(world, at)?,
        },
        Op::Revoke(at) => TransferCommand::Revoke {
            transfer: nth(world, at)?,
        },
        Op::Trim(p, n) => TransferCommand::Trim {
            partition: PartitionId(p),
            member: MemberNumber(n),
        },
        _ => return None,
    })
}

fn command(world: &World, op: &Op) -> Option<Command> {
    let member = |n: &u64| world.state.member(MemberNumber(*n));
    let in_sync = |p: u32, change| {
        let partition = PartitionId(p);
        let (held, epoch) = grant(world, partition)?;
        Some(Command::InSync {
            partition,
            session: held.session,
            epoch,
            change,
        })
    };
    match op {
        Op::Drop(p, n) => in_sync(*p, InSyncChange::Remove(MemberNumber(*n))),
        Op::Add(p, n) => in_sync(*p, InSyncChange::Add(party(world, *n)?)),
        Op::Expire(nodes) => Some(Command::Expire {
            office: world.office(),
            sessions: nodes.iter().filter_map(|n| member(n)?.session).collect(),
        }),
        Op::Stop(n) => Some(Command::Stop {
            member: MemberNumber(*n),
            session: member(n)?.session?,
        }),
        Op::Return(n, durable) => {
            member(n)?;
            Some(Command::Register(Registration {
                durable: *durable,
                ..world.restart(*n)
            }))
        }
        Op::Close(n) => Some(Command::Close { node: node(*n) }),
        Op::Remove(n) => Some(Command::Remove {
            node: node(*n),
            office: Some(world.office()),
        }),
        Op::Promote(p, n) => Some(Command::Promote {
            partition: PartitionId(*p),
            member: MemberNumber(*n),
            accept_loss: true,
        }),
        Op::Plan(rows) => {
            let present = |n: &&u64| world.state.member(MemberNumber(**n)).is_some();
            let row = |(order, copies): &(Vec<u64>, usize)| -> String {
                let nodes = order.iter().filter(present).take(*copies);
                nodes.map(|n| format!("{n} ")).collect()
            };
            let rows: Vec<String> = rows.iter().map(row).collect();
            Some(world.plan(&rows.iter().map(|row| &**row).collect::<Vec<_>>()))
        }
        Op::End => Some(Command::Rebalance {
            step: RebalanceCommand::Abort,
        }),
        _ => Some(Command::Transfer {
            office: Some(world.office()),
            step: step(world, op)?,
        }),
    }
}

/// A grant is taken from an open session only by a handover it acknowledged, or a revocation.
fn check_taken(before: &World, command: &Command, after: &World) {
    for (partition, old) in before.state.partitions() {
        let new = after.state.partition(partition).unwrap();
        let Some(holder) = old
            .holder
            .filter(|one| new.holder != Some(*one) && after.state.session(one.session).is_some())
        else {
            continue;
        };
        let committed = matches!(
            command,
            Command::Transfer {
                step: TransferCommand::Commit { .. } | TransferCommand::CommitRevoked { .. },
                ..
            }
        );
        assert!(
            committed,
            "{partition} taken from {holder:?} by {command:?}"
        );
    }
}

/// No step of a move or of a plan leaves a partition that had a live copy, or may have one yet,
/// without any.
fn check_copies(before: &World, command: &Command, after: &World) {
    if !matches!(
        command,
        Command::Transfer { .. } | Command::Rebalance { .. }
    ) {
        return;
    }
    let live = |one: &&MemberNumber| {
        let member = before.state.member(**one);
        member.is_some_and(|member| member.session.is_some())
    };
    for (partition, old) in before.state.partitions() {
        let new = after.state.partition(partition).unwrap();
        if old.last_known || !old.in_sync.iter().any(|one| live(&one)) {
            let kept = old.in_sync.iter().all(|one| new.is_in_sync(*one));
            assert!(kept, "{partition}: forgot who may have everything");
        } else {
            assert!(
                new.in_sync.iter().any(|one| live(&one)),
                "{partition}: lost all copies by {command:?}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..Default::default() })]

    #[test]
    fn moves_amid_crashes_break_no_rule(ops in prop::collection::vec(op(), 1..120)) {
        let mut world = World::with_rows(NODES, &["1 2 3", "2 3 4"]);
        for op in ops {
            let Some(command) = command(&world, &op) else {
                continue;
            };
            let before = World { state: world.state.clone(), ..World::empty() };
            let _ = world.apply(command.clone());
            check_taken(&before, &command, &world);
            check_copies(&before, &command, &world);
            check_promotions(&command, &before.state, &world.state);
        }
    }
}
