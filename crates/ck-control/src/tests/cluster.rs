//! A small cluster: every applied entry reaches everybody at once, every call succeeds at once,
//! unless a test says otherwise. At every moment at most one node owns a partition.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use ck_core::PartitionId;

use crate::bugs::Bugs;
use crate::state::tests::world::{World, config, genesis, table};
use crate::{
    Agent, AgentInput, Call, Command, Config, FencingToken, HandlerLimits, Identity, Leader,
    LeaderInput, MemberNumber, Nonce, Pace, Round, StopMark, StoreId, Time, Trigger,
};

pub(super) struct Node {
    pub(super) agent: Agent,
    pub(super) leader: Leader,
    pub(super) generation: u64,
    pub(super) up: bool,
}

pub(super) struct Cluster {
    pub(super) world: World,
    pub(super) nodes: BTreeMap<u64, Node>,
    pub(super) now: Time,
    pub(super) leading: Option<u64>,
    /// Whose renewals, and whose answers, are lost.
    pub(super) mute: BTreeSet<u64>,
    pub(super) deaf: BTreeSet<u64>,
    /// Who applies nothing.
    pub(super) stuck: BTreeSet<u64>,
    /// Whether confirmations succeed at once; if not they are kept.
    pub(super) quorum: bool,
    pub(super) kept: Vec<(Round, u64)>,
    /// Whose prepare and release calls hang, whose proofs are held, whose activation hangs.
    pub(super) hangs: BTreeSet<u64>,
    pub(super) holds: BTreeSet<u64>,
    pub(super) dull: BTreeSet<u64>,
    /// Whose releases fail, and who fails to begin to serve.
    pub(super) fails: BTreeSet<u64>,
    pub(super) balks: BTreeSet<u64>,
    /// Every call of a handler.
    pub(super) calls: Vec<(u64, Call)>,
    /// The marks of clean stops in their stores.
    pub(super) marks: BTreeMap<u64, StopMark>,
    /// Whose store does not get rid of it yet.
    pub(super) keeps: BTreeSet<u64>,
    /// Proposals of leaders that are lost.
    pub(super) deny: bool,
    pub(super) lost: Vec<Command>,
    /// What processes started from now on ask of their handlers at once.
    pub(super) limits: HandlerLimits,
    /// Rules that processes started from now on, and nobody's state, break.
    pub(super) bugs: Bugs,
    pub(super) plans: BTreeSet<Trigger>,
    /// Every refusal of a leader's own proposal.
    pub(super) refusals: Vec<String>,
}

/// The process that is the `generation`th of node n.
pub(super) const fn process_of(n: u64, generation: u64) -> Nonce {
    Nonce(n * 1_000 + generation)
}

pub(super) const MS: Duration = Duration::from_millis(1);

impl Cluster {
    /// Nodes 1 to `nodes`, node-1 leading, with a partition for each row.
    pub(super) fn with_rows(nodes: u64, rows: &[&str]) -> Self {
        Self::limited(nodes, rows, HandlerLimits::default())
    }

    /// As `with_rows`, with limits to what is asked of handlers.
    pub(super) fn limited(nodes: u64, rows: &[&str], limits: HandlerLimits) -> Self {
        let mut cluster = Self::empty();
        cluster.limits = limits;
        cluster.form(nodes, config(rows.len() as u32, 3));
        cluster.propose(Command::CreatePartitions {
            table: table(rows),
            strategy: None,
        });
        cluster.run(500);
        cluster
    }

    fn empty() -> Self {
        Self {
            world: World::empty(),
            nodes: BTreeMap::new(),
            now: Time(1_000_000_000),
            leading: None,
            mute: BTreeSet::new(),
            deaf: BTreeSet::new(),
            stuck: BTreeSet::new(),
            quorum: true,
            kept: Vec::new(),
            hangs: BTreeSet::new(),
            holds: BTreeSet::new(),
            dull: BTreeSet::new(),
            fails: BTreeSet::new(),
            balks: BTreeSet::new(),
            calls: Vec::new(),
            marks: BTreeMap::new(),
            keeps: BTreeSet::new(),
            deny: false,
            lost: Vec::new(),
            limits: HandlerLimits::default(),
            bugs: Bugs::default(),
            plans: BTreeSet::new(),
            refusals: Vec::new(),
        }
    }

    fn form(&mut self, nodes: u64, config: Config) {
        self.propose(genesis(config));
        for n in 1..=nodes {
            self.start(n, 1);
            if n == 1 {
                self.elect(1);
            }
            self.run(50);
        }
    }

    /// Starts a process of node n, which is its `generation`th.
    pub(super) fn start(&mut self, n: u64, generation: u64) {
        let identity = Identity {
            store: StoreId(n.into()),
            process: process_of(n, generation),
            stopped: self.marks.get(&n).copied(),
        };
        let terms = self.world.state.config().lease;
        let nonce = process_of(n, generation);
        let mut node = Node {
            agent: Agent::new(identity, self.limits, self.bugs),
            leader: Leader::new(MemberNumber(n), nonce, Pace::scaled(&terms), self.bugs),
            generation,
            up: true,
        };
        let state = self.world.state.clone();
        node.agent
            .handle(AgentInput::Applied(state.clone()), self.now);
        node.leader.handle(LeaderInput::Applied(state), self.now);
        self.nodes.insert(n, node);
    }

    pub(super) fn restart(&mut self, n: u64) {
        let generation = self.nodes[&n].generation + 1;
        self.start(n, generation);
    }

    /// The process of node n dies; when it led, nobody does.
    pub(super) fn kill(&mut self, n: u64) {
        self.node(n).up = false;
        if self.leading == Some(n) {
            self.leading = None;
        }
    }

    pub(super) fn elect(&mut self, n: u64) {
        let term = self.world.term + 1;
        self.elect_in(n, term);
    }

    /// Node n leads in `term`; whoever led before does not know.
    pub(super) fn elect_in(&mut self, n: u64, term: u64) {
        self.world.term = term;
        self.leading = Some(n);
        let now = self.now;
        self.node(n).leader.handle(LeaderInput::Leads { term }, now);
        self.pump();
    }

    pub(super) fn node(&mut self, n: u64) -> &mut Node {
        self.nodes.get_mut(&n).unwrap()
    }

    pub(super) fn propose(&mut self, command: Command) {
        self.world.ok(command);
        self.publish();
    }

    pub(super) fn publish(&mut self) {
        for (n, node) in &mut self.nodes {
            if node.up && !self.stuck.contains(n) {
                let state = self.world.state.clone();
                node.agent
                    .handle(AgentInput::Applied(state.clone()), self.now);
                node.leader.handle(LeaderInput::Applied(state), self.now);
            }
        }
    }

    fn pump(&mut self) {
        loop {
            let numbers: Vec<u64> = self.nodes.keys().copied().collect();
            let mut idle = true;
            for n in numbers {
                while let Some(output) = self.node(n).agent.poll_output() {
                    idle = false;
                    if self.nodes[&n].up {
                        self.agent_output(n, output);
                    }
                }
                while let Some(output) = self.node(n).leader.poll_output() {
                    idle = false;
                    if self.nodes[&n].up {
                        self.leader_output(n, output);
                    }
                }
            }
            self.check();
            if idle {
                return;
            }
        }
    }

    pub(super) fn confirm(&mut self, n: u64, round: Round, term: u64) {
        let now = self.now;
        let input = LeaderInput::Confirmed { round, term };
        self.node(n).leader.handle(input, now);
    }

    /// Lets milliseconds pass; everybody ticks when due.
    pub(super) fn run(&mut self, milliseconds: u32) {
        let until = self.now.after(MS * milliseconds);
        self.pump();
        loop {
            let due = self
                .nodes
                .values()
                .filter(|node| node.up)
                .flat_map(|node| {
                    let agent = Some(node.agent.next_deadline());
                    agent.into_iter().chain(node.leader.next_deadline())
                })
                .min();
            let Some(due) = due.filter(|due| *due <= until) else {
                break;
            };
            self.now = self.now.max(due).after(Duration::from_micros(10));
            self.tick();
        }
        self.now = self.now.max(until);
        self.tick();
    }

    pub(super) fn tick(&mut self) {
        let now = self.now;
        for node in self.nodes.values_mut().filter(|node| node.up) {
            if node.agent.next_deadline() <= now {
                node.agent.handle(AgentInput::Tick, now);
            }
            if node.leader.next_deadline().is_some_and(|at| at <= now) {
                node.leader.handle(LeaderInput::Tick, now);
            }
        }
        self.pump();
    }

    /// Who owns a partition now, and under which token. A killed process still counts: it may only
    /// be paused.
    pub(super) fn owner(&self, partition: u32) -> Option<(u64, FencingToken)> {
        let partition = PartitionId(partition);
        let mut owners = self.nodes.iter().filter_map(|(n, node)| {
            let token = node.agent.owns(partition, self.now)?;
            Some((*n, token))
        });
        let owner = owners.next();
        assert_eq!(owners.next(), None, "{partition}: owned beside {owner:?}");
        owner
    }

    fn check(&self) {
        for (partition, _) in self.world.state.partitions() {
            self.owner(partition.0);
        }
    }

    /// `2@3`: node-2 owns it at epoch 3; `-` when nobody does.
    pub(super) fn show(&self, partition: u32) -> String {
        self.owner(partition).map_or_else(
            || "-".to_string(),
            |(n, token)| alloc::format!("{n}@{}", token.epoch),
        )
    }

    /// Runs in steps of a millisecond until `partition` is shown so; returns how many it took.
    #[track_caller]
    pub(super) fn until(&mut self, partition: u32, shown: &str, at_most: u32) -> u32 {
        for passed in 0..at_most {
            if self.show(partition) == shown {
                return passed;
            }
            self.run(1);
        }
        let world = self.world.show(partition);
        panic!(
            "{} is not {shown}, nor within {at_most} ms: {world}; {:?}",
            self.show(partition),
            self.refusals
        );
    }
}
