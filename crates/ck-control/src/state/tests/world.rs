//! A cluster of one state, driven by commands; every step is checked.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use ck_core::{NodeId, PartitionId, Table, Version};

use crate::state::{
    Applied, Command, Entry, EventKind, Founder, Genesis, Proposal, RebalanceCommand, Registration,
    Rejection, State, Trigger,
};
use crate::{
    ClusterId, Config, Generation, Home, Incarnation, MemberNumber, Nonce, OfficeId, Position,
    SessionId, StoreId,
};

pub(crate) struct World {
    pub(crate) state: State,
    pub(crate) position: u64,
    pub(crate) term: u64,
}

pub(crate) fn node(n: u64) -> NodeId {
    NodeId::new(&format!("node-{n}")).unwrap()
}

/// A table of rows such as `1 2 3`: node-1 first, then node-2 and node-3.
pub(crate) fn table(rows: &[&str]) -> Table {
    let rows: Vec<Vec<u64>> = rows
        .iter()
        .map(|row| row.split_whitespace().map(|n| n.parse().unwrap()).collect())
        .collect();
    let mut nodes: Vec<NodeId> = rows.iter().flatten().map(|n| node(*n)).collect();
    nodes.sort();
    nodes.dedup();
    let index = |n: &u64| nodes.iter().position(|one| *one == node(*n)).unwrap() as u32;
    let rows: Vec<Vec<u32>> = rows
        .iter()
        .map(|row| row.iter().map(index).collect())
        .collect();
    let width = rows.iter().map(Vec::len).max().unwrap().max(1);
    Table::from_rows(nodes.clone(), u8::try_from(width).unwrap(), rows).unwrap()
}

/// The first registration of node n, whose store is n.
pub(crate) fn registration(n: u64) -> Registration {
    Registration {
        node: node(n),
        display_name: format!("Server-{n}"),
        store: StoreId(n.into()),
        generation: Generation(1),
        member: None,
        previous: None,
        homes: Vec::from([(Home(n), Generation(1))]),
        process: Nonce(n * 1_000 + 1),
        durable: false,
        stopped: None,
        served: false,
        peer_address: format!("127.0.0.1:{}", 10_000 + n),
        http_address: format!("127.0.0.1:{}", 8_000 + n),
        weight: 1,
        domain: None,
        services: BTreeMap::from([("kv".to_string(), format!("127.0.0.1:{}", 9_000 + n))]),
        labels: BTreeMap::new(),
        command_version: 1,
    }
}

pub(crate) fn genesis(config: Config) -> Command {
    Command::Genesis(Genesis {
        cluster: ClusterId(7),
        name: "test".to_string(),
        incarnation: Incarnation(1),
        config,
        founder: Founder {
            node: node(1),
            store: StoreId(1),
        },
    })
}

pub(crate) fn config(partitions: u32, replication_factor: u8) -> Config {
    let min_in_sync = replication_factor.min(2);
    Config {
        partitions,
        replication_factor,
        min_in_sync,
        ..Config::default()
    }
}

impl World {
    pub(crate) fn empty() -> Self {
        Self {
            state: State::default(),
            position: 0,
            term: 1,
        }
    }

    /// A formed cluster of node-1 to node-`nodes`, under an office of node-1, without partitions.
    pub(crate) fn of(nodes: u64, config: Config) -> Self {
        let mut world = Self::empty();
        world.ok(genesis(config));
        world.ok(Command::Office {
            member: MemberNumber(1),
            nonce: Nonce(1),
            term: 1,
        });
        for n in 1..=nodes {
            world.ok(Command::Register(registration(n)));
        }
        world
    }

    /// As [`World::of`], with as many partitions as rows, at replication factor 3.
    pub(crate) fn with_rows(nodes: u64, rows: &[&str]) -> Self {
        let mut world = Self::of(nodes, config(rows.len() as u32, 3));
        world.ok(Command::CreatePartitions {
            table: table(rows),
            strategy: None,
        });
        world
    }

    pub(crate) fn entry(&mut self, command: Command) -> Entry {
        self.position += 1;
        let proposal = Proposal::new(self.position * 1_000, "operator".to_string(), command);
        Entry {
            position: Position(self.position),
            term: self.term,
            proposal,
        }
    }

    /// Applies a command; checks the state, the step, and that a refusal changed nothing.
    pub(crate) fn apply(&mut self, command: Command) -> Applied {
        let entry = self.entry(command);
        let before = self.state.clone();
        let applied = self.state.apply(&entry).unwrap();
        if applied.is_err() {
            let unchanged = State {
                applied: entry.position,
                ..before.clone()
            };
            assert!(
                self.state == unchanged,
                "a refused command changed the state: {entry:?}"
            );
        }
        self.state
            .check_invariants()
            .unwrap_or_else(|broken| panic!("{broken}: {entry:?}"));
        self.state
            .check_step(&before)
            .unwrap_or_else(|broken| panic!("{broken}: {entry:?}"));
        applied
    }

    pub(crate) fn ok(&mut self, command: Command) -> Vec<EventKind> {
        let events = self
            .apply(command)
            .unwrap_or_else(|why| panic!("refused: {why}"));
        events.into_iter().map(|event| event.kind).collect()
    }

    pub(crate) fn refused(&mut self, command: Command) -> Rejection {
        self.apply(command)
            .expect_err("the command should be refused")
    }

    pub(crate) fn office(&self) -> OfficeId {
        self.state.office().unwrap().id
    }

    pub(crate) fn session(&self, n: u64) -> SessionId {
        self.state.open_session_of(node(n).as_str()).unwrap().id
    }

    /// The next registration of node n after a restart, on the same store.
    pub(crate) fn restart(&self, n: u64) -> Registration {
        let member = self.state.member_by_node(node(n).as_str()).unwrap();
        Registration {
            generation: member.generation.next(),
            member: Some(member.number),
            previous: member.last_session,
            process: Nonce(n * 1_000 + member.generation.next().0),
            homes: Vec::from([(Home(n), member.generation.next())]),
            weight: member.weight,
            ..registration(n)
        }
    }

    pub(crate) fn stop(&mut self, n: u64) -> Vec<EventKind> {
        let member = self.state.member_by_node(node(n).as_str()).unwrap().number;
        let session = self.session(n);
        self.ok(Command::Stop { member, session })
    }

    pub(crate) fn expire(&mut self, nodes: &[u64]) -> Vec<EventKind> {
        let sessions = nodes.iter().map(|n| self.session(*n)).collect();
        self.ok(Command::Expire {
            office: self.office(),
            sessions,
        })
    }

    pub(crate) fn come_back(&mut self, n: u64, durable: bool) -> Vec<EventKind> {
        let registration = Registration {
            durable,
            ..self.restart(n)
        };
        self.ok(Command::Register(registration))
    }

    pub(crate) fn remove(&mut self, n: u64) -> Vec<EventKind> {
        self.ok(Command::Close { node: node(n) });
        let office = Some(self.office());
        self.ok(Command::Remove {
            node: node(n),
            office,
        })
    }

    /// Begins a plan, made for the version of now.
    pub(crate) fn plan(&self, rows: &[&str]) -> Command {
        Self::plan_for(self.state.version(), rows)
    }

    pub(crate) fn plan_for(base: Version, rows: &[&str]) -> Command {
        let step = RebalanceCommand::Begin {
            base,
            table: table(rows),
            trigger: Trigger::Manual,
            started_at_ms: 0,
        };
        Command::Rebalance { step }
    }

    /// `1 2 3 epoch 1 held 1 sync 1 2 3 stable`.
    pub(crate) fn show(&self, partition: u32) -> String {
        let id = PartitionId(partition);
        let control = self.state.partition(id).unwrap();
        let row = self.state.table().unwrap().row(id).unwrap();
        let row: Vec<String> = row
            .nodes()
            .map(|node| node.as_str().trim_start_matches("node-").to_string())
            .collect();
        let mut text = format!("{} epoch {}", row.join(" "), control.epoch);
        if let Some(holder) = control.holder {
            let open = self.state.session(holder.session).is_some();
            text += &format!(" {} {}", if open { "held" } else { "lost" }, holder.member);
        }
        let list = |members: &[MemberNumber]| {
            members
                .iter()
                .map(|one| format!(" {one}"))
                .collect::<String>()
        };
        text += if control.last_known {
            " known"
        } else {
            " sync"
        };
        text += &list(&control.in_sync);
        if !control.unproven.is_empty() {
            text += " unproven";
            text += &list(&control.unproven);
        }
        format!("{text} {}", self.state.partition_state(id))
    }

    #[track_caller]
    pub(crate) fn check(&self, expected: &[&str]) {
        let actual: Vec<String> = (0..expected.len())
            .map(|partition| self.show(partition as u32))
            .collect();
        assert_eq!(actual, expected);
    }

    pub(crate) fn version(&self) -> Version {
        self.state.version()
    }
}
