//! Your own [`Handler`] under the same time, network and failures as the rest.
//!
//! The handler runs as it is, on every simulated node: its futures are polled by the simulator, its
//! [`HandlerContext`](ck_control::HandlerContext) tells virtual time, and nothing else may take
//! time, draw random numbers or start threads, or a seed does not repeat itself. What a node's disk
//! keeps lives outside the handler, as it does in reality: the function that makes handlers is
//! called at every start of a process.
//!
//! ```
//! use ck_control::{FencingToken, NoHandler};
//! use ck_sim::harness::Simulation;
//!
//! for seed in 1..=3 {
//!     let verdict = Simulation::new(seed)
//!         .nodes(3)
//!         .requests(|_: &NoHandler, _: FencingToken| { /* what a client asks a primary */ })
//!         // Two more may join.
//!         .invariant("at most five nodes", |cluster| match cluster.nodes().count() {
//!             0..=5 => Ok(()),
//!             more => Err(format!("{more} nodes run")),
//!         })
//!         .run(|_node| NoHandler);
//!     assert_eq!(verdict.violation, None, "seed {seed}");
//! }
//! ```
//!
//! Beside your invariants those of ClusterKit hold, but for the ones about writes of the simulator's
//! own model application, which your handler takes the place of.

mod executor;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use ck_control::{Bugs, FencingToken, Handler, State};
use ck_core::NodeId;

use crate::clock::SECOND;
use crate::fault::schedule;
use crate::random::Random;
use crate::run::{Verdict, run_world};
use crate::world::{Setting, World};
pub(crate) use executor::Executor;

/// What the world asks of whoever brings a handler.
pub(crate) trait Guest {
    /// A process starts.
    fn start(&mut self, place: usize, node: &NodeId) -> Arc<dyn Handler>;
    /// A process has ended.
    fn stop(&mut self, place: usize);
    /// A client's request reaches a node that may act under a token.
    fn request(&mut self, place: usize, token: FencingToken);
    /// Whether everything is as it should be.
    fn check(&mut self, committed: &State) -> Result<(), (&'static str, String)>;
}

/// The nodes that run at an instant, for invariants to look at.
#[derive(Debug)]
pub struct Cluster<'a, H> {
    running: &'a BTreeMap<usize, (NodeId, Arc<H>)>,
    committed: &'a State,
}

impl<H> Cluster<'_, H> {
    /// The nodes that run, and their handlers.
    pub fn nodes(&self) -> impl Iterator<Item = (&NodeId, &H)> {
        self.running
            .values()
            .map(|(node, handler)| (node, &**handler))
    }

    /// The newest committed state: members, rows, epochs, moves.
    #[must_use]
    pub const fn committed(&self) -> &State {
        self.committed
    }
}

type Request<H> = Box<dyn FnMut(&H, FencingToken)>;
type Rule<H> = Box<dyn FnMut(&Cluster<'_, H>) -> Result<(), String>>;

/// One run of your handler, described.
#[must_use = "a simulation does nothing until it is run"]
pub struct Simulation<H> {
    seed: u64,
    nodes: usize,
    partitions: u32,
    calm: bool,
    request: Option<Request<H>>,
    rules: Vec<(&'static str, Rule<H>)>,
}

impl<H: Handler> Simulation<H> {
    /// Three nodes, four partitions, and the faults of a seed.
    pub const fn new(seed: u64) -> Self {
        Self {
            seed,
            nodes: 3,
            partitions: 4,
            calm: false,
            request: None,
            rules: Vec::new(),
        }
    }

    /// How many nodes run from the start, 1 to 7. Others may join.
    ///
    /// # Panics
    /// When it is another number.
    pub fn nodes(mut self, nodes: usize) -> Self {
        assert!((1..=7).contains(&nodes), "{nodes} nodes: 1 to 7 can start");
        self.nodes = nodes;
        self
    }

    /// How many partitions there are, 1 to 64.
    ///
    /// # Panics
    /// When it is another number.
    pub fn partitions(mut self, partitions: u32) -> Self {
        let fits = (1..=64).contains(&partitions);
        assert!(fits, "{partitions} partitions: 1 to 64 can be simulated");
        self.partitions = partitions;
        self
    }

    /// Nothing goes wrong; the seed still draws the order of events.
    pub const fn calm(mut self) -> Self {
        self.calm = true;
        self
    }

    /// What a client's request does at a node that owns the partition of the token at that instant.
    /// It is called again and again, at every node that owns something.
    pub fn requests(mut self, request: impl FnMut(&H, FencingToken) + 'static) -> Self {
        self.request = Some(Box::new(request));
        self
    }

    /// Something that must hold at every instant: looked at after every request and every call.
    pub fn invariant(
        mut self,
        name: &'static str,
        rule: impl FnMut(&Cluster<'_, H>) -> Result<(), String> + 'static,
    ) -> Self {
        self.rules.push((name, Box::new(rule)));
        self
    }

    /// Runs it: some 20 s of faults, then everything heals and has to come right. `handler` is
    /// called at every start of a process, with the name of its node; a node that lost its disk
    /// comes back under another name.
    pub fn run(self, handler: impl FnMut(&NodeId) -> H + 'static) -> Verdict {
        let mut random = Random::new(self.seed, 10);
        let voters = if self.nodes >= 3 { 3 } else { 1 };
        let places = self.nodes + 2;
        let drawn = schedule(&mut random, places, 2 * SECOND, 16 * SECOND);
        let faults = if self.calm { Vec::new() } else { drawn };
        let setting = Setting {
            seed: self.seed,
            voters,
            started: self.nodes,
            places,
            partitions: self.partitions,
            freeze_allowance_ms: 0,
            repeated_permille: 0,
            bugs: Bugs::default(),
            trace: true,
        };
        let guest = Typed {
            make: Box::new(handler),
            request: self.request,
            rules: self.rules,
            running: BTreeMap::new(),
        };
        let mut world = World::new(setting, faults);
        world.host(Box::new(guest));
        run_world(world)
    }
}

struct Typed<H> {
    make: Box<dyn FnMut(&NodeId) -> H>,
    request: Option<Request<H>>,
    rules: Vec<(&'static str, Rule<H>)>,
    running: BTreeMap<usize, (NodeId, Arc<H>)>,
}

impl<H: Handler> Guest for Typed<H> {
    fn start(&mut self, place: usize, node: &NodeId) -> Arc<dyn Handler> {
        let handler = Arc::new((self.make)(node));
        let known = (node.clone(), Arc::clone(&handler));
        self.running.insert(place, known);
        handler
    }

    fn stop(&mut self, place: usize) {
        self.running.remove(&place);
    }

    fn request(&mut self, place: usize, token: FencingToken) {
        if let (Some(request), Some((_, handler))) = (&mut self.request, self.running.get(&place)) {
            request(handler, token);
        }
    }

    fn check(&mut self, committed: &State) -> Result<(), (&'static str, String)> {
        let running = &self.running;
        let cluster = Cluster { running, committed };
        self.rules
            .iter_mut()
            .try_for_each(|(name, rule)| rule(&cluster).map_err(|what| (*name, what)))
    }
}
