//! The simulated world: places, their processes, the log, the network and the resource.

mod application;
mod consensus;
#[cfg(feature = "planted-bugs")]
pub(crate) mod directed;
mod driver;
mod event;
mod guest;
mod heal;
mod inject;
mod life;
mod operator;
mod place;
mod planning;
mod writes;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use ck_control::{Bugs, Config, Entry, Fence, LeaseTerms, Pace, Profile, State};
use ck_core::{Epoch, NodeId, PartitionId};

use crate::clock::Instant;
use crate::coverage::Coverage;
use crate::fault::Fault;
use crate::harness::Guest;
use crate::invariants::{Invariants, Observation, Violation};
use crate::network::Network;
use crate::queue::Queue;
use crate::random::Random;
pub(crate) use event::{Event, Message};
use place::{Place, Writes};

/// Most events in one run, ten times what the busiest has: alarms that set each other off end it.
const EVENTS_MAX: u64 = 1_000_000;

/// What is simulated.
#[derive(Debug, Clone)]
pub struct Setting {
    /// The seed of everything that is drawn.
    pub seed: u64,
    /// Places with a vote: 1, 3 or 5.
    pub voters: usize,
    /// Places that run from the start.
    pub started: usize,
    /// All places; the others start when nodes join.
    pub places: usize,
    /// Number of partitions.
    pub partitions: u32,
    /// How long a machine may stand still together with its clock.
    pub freeze_allowance_ms: u64,
    /// Of a thousand lost messages, how many come late after all.
    pub repeated_permille: u64,
    /// Rules broken on purpose.
    pub bugs: Bugs,
    /// Whether to keep a trace.
    pub trace: bool,
}

/// What a directed test does with a message.
#[cfg(feature = "planted-bugs")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Passes,
    Waits,
    IsLost,
}

/// Decides by sender, receiver and message.
#[cfg(feature = "planted-bugs")]
type Filter = Box<dyn Fn(usize, usize, &Message) -> Fate>;

/// An entry that a majority has, and the state after it.
struct Committed {
    entry: Arc<Entry>,
    state: State,
}

/// One run.
pub struct World {
    now: Instant,
    setting: Setting,
    config: Config,
    pace: Pace,
    queue: Queue<Event>,
    network: Network,
    random: Random,
    places: Vec<Place>,
    committed: Vec<Committed>,
    origin: State,
    invariants: Invariants,
    violation: Option<Violation>,
    /// Places whose gate is open, by partition.
    open: BTreeMap<PartitionId, Vec<usize>>,
    resource: Fence,
    /// Writes acknowledged to clients.
    acknowledged: BTreeMap<PartitionId, Writes>,
    /// Grants under which an operator accepted a loss.
    lossy: BTreeMap<PartitionId, Epoch>,
    writes: usize,
    accepted: u64,
    faults: Vec<Fault>,
    fired: Vec<bool>,
    coverage: Coverage,
    healed: Option<Instant>,
    /// Members whose disk is gone: the operator removes them in the end.
    doomed: Vec<NodeId>,
    guest: Option<Box<dyn Guest>>,
    /// Whether a task of the guest's was woken.
    woken: Arc<AtomicBool>,
    trace: Vec<String>,
    events: u64,
    #[cfg(feature = "planted-bugs")]
    filter: Option<Filter>,
    #[cfg(feature = "planted-bugs")]
    held: Vec<(usize, usize, Box<Message>)>,
}

/// The configuration of simulated clusters: profile `lan`, times of people in proportion to it.
fn config(setting: &Setting) -> Config {
    let copies = u8::try_from(setting.started.min(3)).expect("at most 3");
    Config {
        partitions: setting.partitions,
        replication_factor: copies,
        min_in_sync: copies.min(2),
        lease: LeaseTerms {
            freeze_allowance_ms: setting.freeze_allowance_ms,
            ..LeaseTerms::of(Profile::Lan)
        },
        rejoin_grace_ms: 4_000,
        settle_ms: 500,
        ..Config::default()
    }
}

impl World {
    /// A world in which the first places are about to start.
    #[must_use]
    pub fn new(setting: Setting, faults: Vec<Fault>) -> Self {
        let stream = |number| Random::new(setting.seed, number);
        let config = config(&setting);
        let mut network = Network::new(setting.places, stream(2));
        network.repeat(setting.repeated_permille);
        let mut world = Self {
            now: 0,
            pace: Pace::scaled(&config.lease),
            config,
            queue: Queue::new(stream(1)),
            network,
            random: stream(3),
            places: Vec::new(),
            committed: Vec::new(),
            origin: origin(setting.bugs),
            invariants: Invariants::default(),
            violation: None,
            open: BTreeMap::new(),
            resource: Fence::new(1 << 16),
            acknowledged: BTreeMap::new(),
            lossy: BTreeMap::new(),
            writes: 0,
            accepted: 0,
            fired: vec![false; faults.len()],
            faults,
            coverage: Coverage::default(),
            healed: None,
            doomed: Vec::new(),
            guest: None,
            woken: Arc::default(),
            trace: Vec::new(),
            events: 0,
            #[cfg(feature = "planted-bugs")]
            filter: None,
            #[cfg(feature = "planted-bugs")]
            held: Vec::new(),
            setting,
        };
        world.found();
        world
    }

    pub(crate) const fn seed(&self) -> u64 {
        self.setting.seed
    }

    /// Real time so far.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// The rule that was broken, if one was.
    #[must_use]
    pub const fn violation(&self) -> Option<&Violation> {
        self.violation.as_ref()
    }

    /// Which faults met which stages.
    #[must_use]
    pub const fn coverage(&self) -> &Coverage {
        &self.coverage
    }

    /// Effects that the resource accepted.
    #[must_use]
    pub const fn accepted(&self) -> u64 {
        self.accepted
    }

    /// What happened, when a trace was asked for.
    #[must_use]
    pub fn trace(&self) -> &[String] {
        &self.trace
    }

    /// The newest committed state.
    #[must_use]
    pub fn state(&self) -> &State {
        self.committed
            .last()
            .map_or(&self.origin, |last| &last.state)
    }

    /// Runs until an instant, or until a rule is broken.
    pub fn run_until(&mut self, until: Instant) {
        while self.violation.is_none() {
            if self.events >= EVENTS_MAX {
                let (invariant, at) = ("bounded", self.now);
                let what = format!("{EVENTS_MAX} events in one run");
                self.violation = Some(Violation {
                    invariant,
                    at,
                    what,
                });
                break;
            }
            let Some((at, event)) = self.queue.pop() else {
                break;
            };
            if at > until {
                self.queue.push(at, event);
                break;
            }
            self.now = at;
            self.events += 1;
            self.happen(event);
            self.run_guests();
        }
        self.now = self.now.max(until);
        self.see(&Observation::Passed);
    }

    fn happen(&mut self, event: Event) {
        if let Some(place) = event.place()
            && self.places[place].paused
        {
            self.places[place].deferred.push(event);
            return;
        }
        match event {
            Event::Agent { place, life } => self.wake_agent(place, life),
            Event::Leader { place, life } => self.wake_leader(place, life),
            Event::Watch { place } => self.watch(place),
            Event::Deliver { to, from, message } => self.deliver(to, from, *message),
            Event::CallEnds {
                place,
                life,
                call,
                succeeded,
            } => self.call_ends(place, life, call, succeeded),
            Event::Write { place, life } => self.write(place, life),
            Event::Effect { place, life, token } => self.effect(place, life, token),
            Event::ProofEnds { place, life, token } => self.proof_ends(place, life, token),
            Event::Resource { token } => self.resource(token),
            Event::Fault(index) => self.begin_fault(index),
            Event::FaultEnds(index, place) => self.end_fault(index, place),
            Event::Flap { place, until, cut } => self.flap(place, until, cut),
            Event::Start { place } => self.start(place),
            Event::Wake { place, life, waker } => self.wake_guest(place, life, waker),
        }
    }

    fn after(&mut self, span: Instant, event: Event) {
        self.queue.push(self.now.saturating_add(span), event);
    }

    fn send(&mut self, from: usize, to: usize, message: Message) {
        let [first, second] = self.network.send(from, to);
        let message = Box::new(message);
        #[cfg(feature = "planted-bugs")]
        if let Some(filter) = &self.filter {
            match filter(from, to, &message) {
                Fate::Passes => {}
                Fate::Waits => return self.held.push((from, to, message)),
                Fate::IsLost => return,
            }
        }
        if let Some(delay) = second {
            let message = message.clone();
            self.after(delay, Event::Deliver { to, from, message });
        }
        if let Some(delay) = first {
            self.after(delay, Event::Deliver { to, from, message });
        }
    }

    fn see(&mut self, seen: &Observation<'_>) {
        if self.violation.is_none() {
            self.violation = self.invariants.observe(self.now, seen).err();
        }
    }

    fn say(&mut self, what: impl FnOnce() -> String) {
        if self.setting.trace {
            let line = format!("{:>9} us  {}", self.now / 1_000, what());
            self.trace.push(line);
        }
    }
}

#[cfg(feature = "planted-bugs")]
fn origin(bugs: Bugs) -> State {
    State::default().with_bugs(bugs)
}

#[cfg(not(feature = "planted-bugs"))]
fn origin(_: Bugs) -> State {
    State::default()
}
