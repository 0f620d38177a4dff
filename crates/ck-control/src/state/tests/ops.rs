//! Commands at random, in terms that are filled in from the state they meet.

use alloc::format;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use ck_core::{NodeState, Version};
use proptest::prelude::*;

use super::world::{World, config, genesis, node, registration, table};
use crate::state::{Command, MemberChange, RebalanceCommand, Registration, Trigger};
use crate::{
    ConfigChange, Generation, MemberNumber, Nonce, OfficeId, Position, SessionId, StoreId,
};

const NODES: u64 = 5;
pub(super) const PARTITIONS: u32 = 4;

/// One command, in terms that are filled in from the state it meets.
#[derive(Debug, Clone)]
pub(super) enum Op {
    Genesis,
    Office {
        n: u64,
        term: u64,
    },
    Join {
        n: u64,
        weight: u32,
        store: u128,
    },
    Return {
        n: u64,
        durable: bool,
        holds: bool,
        served: bool,
        starts: u64,
    },
    Stop {
        n: u64,
    },
    Expire {
        nodes: Vec<u64>,
        stale: bool,
    },
    Close {
        n: u64,
    },
    Remove {
        n: u64,
        office: u8,
    },
    Create {
        rows: Rows,
    },
    Plan {
        rows: Rows,
        behind: u64,
    },
    PausePlan {
        paused: bool,
    },
    EndPlan {
        finish: bool,
    },
    Update {
        n: u64,
        weight: Option<u32>,
        state: u8,
    },
    Set {
        key: u8,
        bytes: usize,
        expected: Option<u64>,
    },
    Delete {
        key: u8,
        expected: Option<u64>,
    },
    Configure {
        factor: Option<u8>,
        least: Option<u8>,
        history: Option<u32>,
    },
}

/// Rows of a plan: an order of all nodes each, and how many of them; a sane plan leaves out those
/// that are not in the cluster, and keeps to the replication factor.
#[derive(Debug, Clone)]
pub(super) struct Rows {
    sane: bool,
    orders: Vec<(Vec<u64>, usize)>,
}

fn rows() -> impl Strategy<Value = Rows> {
    let order = Just((1..=NODES + 1).collect::<Vec<u64>>()).prop_shuffle();
    let partitions = PARTITIONS as usize;
    let orders = |count| prop::collection::vec((order.clone(), 0..=4_usize), count);
    prop_oneof![
        1 => orders(partitions..=partitions + 1).prop_map(|orders| Rows { sane: false, orders }),
        4 => orders(partitions..=partitions).prop_map(|orders| Rows { sane: true, orders }),
    ]
}

/// True once in `n` times.
pub(super) fn one_in(n: u32) -> impl Strategy<Value = bool> {
    (0..n).prop_map(|drawn| drawn == 0)
}

pub(super) fn op() -> impl Strategy<Value = Op> {
    let n = || 1..=NODES;
    let expected = || prop::option::of(0..40_u64);
    prop_oneof![
        1 => Just(Op::Genesis),
        2 => (n(), 0..3_u64).prop_map(|(n, term)| Op::Office { n, term }),
        6 => (n(), 0..4_u32, 0..8_u128)
            .prop_map(|(n, weight, store)| Op::Join { n, weight, store }),
        8 => (n(), any::<bool>(), any::<bool>(), any::<bool>(), 0..3_u64).prop_map(
            |(n, durable, holds, served, starts)| Op::Return { n, durable, holds, served, starts }
        ),
        3 => n().prop_map(|n| Op::Stop { n }),
        3 => (prop::collection::vec(n(), 0..4), one_in(10))
            .prop_map(|(nodes, stale)| Op::Expire { nodes, stale }),
        2 => n().prop_map(|n| Op::Close { n }),
        2 => (n(), 0..4_u8).prop_map(|(n, office)| Op::Remove { n, office }),
        2 => rows().prop_map(|rows| Op::Create { rows }),
        6 => (rows(), 0..3_u64).prop_map(|(rows, behind)| Op::Plan { rows, behind }),
        1 => any::<bool>().prop_map(|paused| Op::PausePlan { paused }),
        3 => any::<bool>().prop_map(|finish| Op::EndPlan { finish }),
        2 => (n(), prop::option::of(0..4_u32), 0..5_u8)
            .prop_map(|(n, weight, state)| Op::Update { n, weight, state }),
        2 => (0..4_u8, 0..20_usize, expected())
            .prop_map(|(key, bytes, expected)| Op::Set { key, bytes, expected }),
        1 => (0..4_u8, expected()).prop_map(|(key, expected)| Op::Delete { key, expected }),
        1 => (prop::option::of(0..5_u8), prop::option::of(0..4_u8), prop::option::of(0..6_u32))
            .prop_map(|(factor, least, history)| Op::Configure { factor, least, history }),
    ]
}

fn table_of(world: &World, rows: Rows) -> ck_core::Table {
    let usable = |n: &u64| {
        world
            .state
            .member_by_node(node(*n).as_str())
            .is_some_and(|member| !member.closing)
    };
    let factor = usize::from(world.state.config().replication_factor);
    let rows: Vec<_> = rows
        .orders
        .into_iter()
        .map(|(mut order, copies)| {
            if rows.sane {
                order.retain(usable);
                order.truncate(copies.clamp(1, factor));
            } else {
                order.truncate(copies);
            }
            order
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect();
    table(&rows.iter().map(|row| &**row).collect::<Vec<_>>())
}

fn session_of(world: &World, n: u64) -> SessionId {
    world
        .state
        .open_session_of(node(n).as_str())
        .map_or(SessionId(n), |session| session.id)
}

fn returning(world: &World, n: u64) -> Registration {
    if world.state.member_by_node(node(n).as_str()).is_some() {
        world.restart(n)
    } else {
        Registration {
            member: Some(MemberNumber(n)),
            ..registration(n)
        }
    }
}

fn last_office(world: &World) -> OfficeId {
    world.state.office().map_or(OfficeId(1), |office| office.id)
}

const fn rebalance(step: RebalanceCommand) -> Command {
    Command::Rebalance { step }
}

pub(super) fn command(world: &World, op: Op) -> Command {
    match op {
        Op::Genesis => genesis(config(PARTITIONS, 3)),
        Op::Office { n, term } => Command::Office {
            member: MemberNumber(n),
            nonce: Nonce(n),
            term: term.max(1),
        },
        Op::Create { rows } => Command::CreatePartitions {
            table: table_of(world, rows),
            strategy: None,
        },
        Op::Plan { rows, behind } => rebalance(RebalanceCommand::Begin {
            base: Version(world.state.version().0.saturating_sub(behind)),
            table: table_of(world, rows),
            trigger: Trigger::Manual,
            started_at_ms: 0,
        }),
        Op::PausePlan { paused } => rebalance(RebalanceCommand::Pause { paused }),
        Op::EndPlan { finish: false } => rebalance(RebalanceCommand::Abort),
        Op::EndPlan { finish: true } => rebalance(RebalanceCommand::Finish {
            since: world
                .state
                .rebalance()
                .map_or(Position(1), |plan| plan.since),
        }),
        Op::Set {
            key,
            bytes,
            expected,
        } => {
            let (key, value) = (format!("k{key}"), vec![key; bytes]);
            Command::SetCustom {
                key,
                value,
                expected: expected.map(Version),
            }
        }
        Op::Delete { key, expected } => Command::DeleteCustom {
            key: format!("k{key}"),
            expected: expected.map(Version),
        },
        Op::Configure {
            factor,
            least,
            history,
        } => Command::Configure {
            change: ConfigChange {
                replication_factor: factor,
                min_in_sync: least,
                history_max: history,
                ..ConfigChange::default()
            },
        },
        session => session_command(world, session),
    }
}

fn session_command(world: &World, op: Op) -> Command {
    match op {
        Op::Join { n, weight, store } => {
            let store = if store == 0 {
                StoreId(n.into())
            } else {
                StoreId(store * 100)
            };
            Command::Register(Registration {
                weight,
                store,
                ..registration(n)
            })
        }
        Op::Return {
            n,
            durable,
            holds,
            served,
            starts,
        } => {
            let next = returning(world, n);
            let generation = Generation((next.generation.0 + starts).saturating_sub(1));
            let homes = next
                .homes
                .iter()
                .filter(|_| holds)
                .map(|(home, _)| (*home, generation));
            let homes = homes.collect();
            Command::Register(Registration {
                durable,
                homes,
                served,
                generation,
                ..next
            })
        }
        Op::Stop { n } => {
            let member = world.state.member_by_node(node(n).as_str());
            let member = member.map_or(MemberNumber(n), |member| member.number);
            Command::Stop {
                member,
                session: session_of(world, n),
            }
        }
        Op::Expire { nodes, stale } => Command::Expire {
            office: if stale {
                OfficeId(1)
            } else {
                last_office(world)
            },
            sessions: nodes.into_iter().map(|n| session_of(world, n)).collect(),
        },
        node => node_command(world, node),
    }
}

fn node_command(world: &World, op: Op) -> Command {
    match op {
        Op::Close { n } => Command::Close { node: node(n) },
        Op::Remove { n, office } => {
            let office = match office {
                0 => None,
                1 => Some(OfficeId(1)),
                _ => Some(last_office(world)),
            };
            Command::Remove {
                node: node(n),
                office,
            }
        }
        Op::Update { n, weight, state } => {
            let states = [
                NodeState::Active,
                NodeState::Cordoned,
                NodeState::Draining,
                NodeState::Down,
            ];
            let state = states.get(usize::from(state)).copied();
            let change = MemberChange {
                weight,
                state,
                ..MemberChange::default()
            };
            Command::Update {
                node: node(n),
                change,
            }
        }
        other => unreachable!("{other:?} concerns no node"),
    }
}
