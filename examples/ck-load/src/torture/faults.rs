//! What goes wrong, when, and when it is mended: all of it from a seed.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ck_client::{Client, NodeOrder};
use ck_sim::random::Random;
use tokio::task::JoinHandle;

use super::nodes::{Node, client};
use super::{Torture, TortureError, is_code};

/// Between two looks at what is due.
const TICK: Duration = Duration::from_millis(20);

/// Most nodes that are away at a time: with five, a majority stays.
const AWAY_MAX: usize = 2;

/// How long a node may take to stop in good order before it is killed.
const STOP_MAX: Duration = Duration::from_secs(20);

/// A node that registers for the third time within two minutes is damped until it has stayed for as
/// long: it is given no new copies meanwhile, while those that it has are brought up to date.
const DAMPED: Duration = Duration::from_secs(125);

/// Between two looks of the operator.
pub(super) const OPERATOR: Duration = Duration::from_secs(1);

/// How long the removal of a node without its disk may take.
const REMOVE_MAX: Duration = Duration::from_secs(30);

/// What a node is suffering.
enum State {
    /// Not started yet: joins later.
    Absent,
    Up,
    Killed(Instant),
    Paused(Instant),
    /// Asked to stop at the first, to be started again so long after its end.
    Stopping(Instant, Duration),
    /// Its data are gone, and the cluster is being told so.
    Wiped(JoinHandle<bool>),
}

/// Something that was done to a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) at: Instant,
    pub(super) what: String,
}

/// The nodes and what they suffer.
pub(super) struct Faults {
    nodes: Vec<Node>,
    states: Vec<State>,
    /// Nodes being drained, and until when.
    drained: Vec<(usize, Instant)>,
    random: Random,
    lease: Duration,
    wiped: bool,
    /// Lets moves go on where the loss of many nodes has stopped them, as an operator would who knows
    /// why they were lost.
    operator: Option<JoinHandle<bool>>,
    /// When the operator looks next.
    looks: Instant,
    /// Whether nodes come back only as often as they may without being damped.
    gentle: bool,
    /// When each came back last.
    comebacks: Vec<Option<Instant>>,
    pub(super) events: Vec<Event>,
}

impl Faults {
    /// Over nodes of which the first `up` run.
    pub(super) fn new(nodes: Vec<Node>, up: usize, torture: &Torture) -> Self {
        let state = |at| if at < up { State::Up } else { State::Absent };
        Self {
            states: (0..nodes.len()).map(state).collect(),
            comebacks: vec![None; nodes.len()],
            nodes,
            drained: Vec::new(),
            random: Random::new(torture.seed, 11),
            lease: torture.lease,
            wiped: false,
            operator: None,
            looks: Instant::now(),
            gentle: torture.gentle,
            events: Vec::new(),
        }
    }

    /// The nodes that have a process, or should.
    pub(super) fn running(&self) -> Vec<&Node> {
        let all = self.nodes.iter().zip(&self.states);
        let started = all.filter(|(_, state)| !matches!(state, State::Absent));
        started.map(|(node, _)| node).collect()
    }

    /// Lets things go wrong until then; what is not mended by then stays so.
    pub(super) async fn run(&mut self, until: Instant) -> Result<(), TortureError> {
        let begin = Instant::now();
        let mut next = begin + self.millis(500, 1_500);
        let mut ticks = tokio::time::interval(TICK);
        while Instant::now() < until {
            ticks.tick().await;
            self.mend(Instant::now()).await?;
            if Instant::now() >= next {
                self.harm().await?;
                next = Instant::now() + self.millis(200, 1_800);
            }
        }
        Ok(())
    }

    /// Mends everything, and waits until every process runs.
    pub(super) async fn heal(&mut self) -> Result<(), TortureError> {
        self.say("heal".into());
        let due = Instant::now() + REMOVE_MAX + STOP_MAX;
        for state in &mut self.states {
            match state {
                State::Killed(at) | State::Paused(at) => *at = Instant::now(),
                State::Stopping(_, pause) => *pause = Duration::ZERO,
                State::Absent | State::Up | State::Wiped(_) => {}
            }
        }
        for (_, until) in &mut self.drained {
            *until = Instant::now();
        }
        let mut ticks = tokio::time::interval(TICK);
        while !self.is_whole() {
            if Instant::now() > due {
                return Err(TortureError::NotHealed {
                    events: self.events.iter().map(|event| event.what.clone()).collect(),
                });
            }
            ticks.tick().await;
            self.mend(Instant::now()).await?;
        }
        Ok(())
    }

    fn is_whole(&self) -> bool {
        let states = self.states.iter();
        let mended = |state: &State| matches!(state, State::Up | State::Absent);
        self.drained.is_empty() && states.clone().all(mended)
    }

    fn millis(&mut self, low: u64, high: u64) -> Duration {
        Duration::from_millis(self.random.between(low, high))
    }

    fn say(&mut self, what: String) {
        let at = Instant::now();
        self.events.push(Event { at, what });
    }

    fn away(&self) -> usize {
        let up = |state: &&State| matches!(state, State::Up | State::Absent);
        self.states.len() - self.states.iter().filter(up).count()
    }

    /// Whether a node came back lately.
    fn came_back(&self, at: usize) -> bool {
        self.comebacks[at].is_some_and(|at| at.elapsed() < DAMPED)
    }

    /// One node that is up, and may go and come back once more.
    fn victim(&mut self) -> Option<usize> {
        let up = |at: &usize| {
            let may = !self.gentle || !self.came_back(*at);
            matches!(self.states[*at], State::Up) && may
        };
        let up: Vec<usize> = (0..self.nodes.len()).filter(up).collect();
        (!up.is_empty()).then(|| *self.random.pick(&up))
    }

    /// One thing more goes wrong.
    async fn harm(&mut self) -> Result<(), TortureError> {
        let kind = self.random.below(100);
        let now = Instant::now();
        match kind {
            0..6 => return self.join(),
            6..36 => return self.drain(now).await,
            _ => {}
        }
        let Some(at) = self.victim() else {
            return Ok(());
        };
        let id = self.nodes[at].id.clone();
        match kind {
            _ if self.away() >= AWAY_MAX => {}
            0..60 => {
                self.nodes[at].kill();
                let pause = self.millis(100, 4_000);
                self.states[at] = State::Killed(now + pause);
                self.say(format!("kill {id}"));
            }
            60..78 => {
                self.nodes[at].pause();
                let lease = u64::try_from(self.lease.as_millis()).unwrap_or(u64::MAX);
                let pause = self.millis(lease * 5 / 4, lease * 9 / 4);
                self.states[at] = State::Paused(now + pause);
                self.say(format!("pause {id}"));
            }
            78..92 => {
                self.nodes[at].stop();
                let pause = self.millis(0, 3_000);
                self.states[at] = State::Stopping(now + STOP_MAX, pause);
                self.say(format!("stop {id}"));
            }
            _ => return self.wipe(at).await,
        }
        Ok(())
    }

    /// Empties a node for a while, which moves its primaries without anybody having failed.
    async fn drain(&mut self, now: Instant) -> Result<(), TortureError> {
        let may = |at: &usize| {
            let is_drained = self.drained.iter().any(|(one, _)| one == at);
            matches!(self.states[*at], State::Up) && !is_drained
        };
        let up: Vec<usize> = (0..self.nodes.len()).filter(may).collect();
        if up.is_empty() || self.drained.len() >= AWAY_MAX {
            return Ok(());
        }
        let at = *self.random.pick(&up);
        let until = now + self.millis(1_000, 5_000);
        let id = self.nodes[at].id.clone();
        if self.order(&id, NodeOrder::Drain).await {
            self.drained.push((at, until));
            self.say(format!("drain {id}"));
        }
        Ok(())
    }

    fn join(&mut self) -> Result<(), TortureError> {
        let absent = |state: &State| matches!(state, State::Absent);
        let Some(at) = self.states.iter().position(absent) else {
            return Ok(());
        };
        self.nodes[at].start()?;
        self.states[at] = State::Up;
        let id = self.nodes[at].id.clone();
        self.say(format!("join {id}"));
        Ok(())
    }

    /// Takes a node's disk away, once a run, and only where the cluster says that it can do without:
    /// with every copy that has a write gone, no protocol keeps it.
    async fn wipe(&mut self, at: usize) -> Result<(), TortureError> {
        let id = self.nodes[at].id.clone();
        if self.wiped || self.away() > 0 {
            return Ok(());
        }
        let others = self.others(at);
        let may_stop = client(others.iter().copied()).may_stop(&id).await;
        if !may_stop.is_ok_and(|answer| answer.allowed) {
            return Ok(());
        }
        self.wiped = true;
        self.nodes[at].wipe().map_err(TortureError::Files)?;
        self.say(format!("wipe {id}"));
        let removal = removed(others, id);
        self.states[at] = State::Wiped(tokio::spawn(removal));
        Ok(())
    }

    fn others(&self, at: usize) -> Vec<SocketAddr> {
        let others = self.nodes.iter().enumerate();
        let others = others
            .filter(|(other, _)| *other != at && !matches!(self.states[*other], State::Absent));
        others.map(|(_, node)| node.http).collect()
    }

    /// A client of the nodes that are up: paused ones would take a question and not answer it.
    fn asks(&self) -> Option<Client> {
        let all = self.nodes.iter().zip(&self.states);
        let up = all.filter(|(_, state)| matches!(state, State::Up));
        let up: Vec<SocketAddr> = up.map(|(node, _)| node.http).collect();
        (!up.is_empty()).then(|| client(up))
    }

    async fn order(&self, id: &str, order: NodeOrder) -> bool {
        match self.asks() {
            Some(client) => client.order_node(id, order).await.is_ok(),
            None => false,
        }
    }

    /// Has the operator look, and tells what it did.
    async fn operate(&mut self, now: Instant) {
        if let Some(operator) = self.operator.take_if(|operator| operator.is_finished())
            && operator.await.is_ok_and(|released| released)
        {
            self.say("release brake".into());
        }
        if self.operator.is_none() && self.looks <= now {
            self.looks = now + OPERATOR;
            self.operator = self.asks().map(|client| tokio::spawn(release(client)));
        }
    }

    /// Does what is due.
    async fn mend(&mut self, now: Instant) -> Result<(), TortureError> {
        for at in 0..self.nodes.len() {
            let id = self.nodes[at].id.clone();
            match &mut self.states[at] {
                State::Killed(due) if *due <= now => self.start(at)?,
                State::Paused(due) if *due <= now => {
                    self.nodes[at].resume();
                    self.states[at] = State::Up;
                    self.comebacks[at] = Some(now);
                    self.say(format!("resume {id}"));
                }
                State::Stopping(most, pause) => {
                    let (most, pause) = (*most, *pause);
                    if !self.nodes[at].is_running() {
                        self.states[at] = State::Killed(now + pause);
                    } else if most <= now {
                        self.say(format!("{id} did not stop"));
                        self.nodes[at].kill();
                        self.states[at] = State::Killed(now + pause);
                    }
                }
                State::Wiped(removal) if removal.is_finished() => {
                    if !removal.await.is_ok_and(|removed| removed) {
                        return Err(TortureError::NotRemoved { node: id });
                    }
                    self.start(at)?;
                }
                State::Up if !self.nodes[at].is_running() => {
                    return Err(TortureError::Ended { node: id });
                }
                _ => {}
            }
        }
        self.operate(now).await;
        let due: Vec<usize> = (self.drained.iter())
            .filter(|(_, until)| *until <= now)
            .map(|(at, _)| *at)
            .collect();
        for at in due {
            let id = self.nodes[at].id.clone();
            if self.order(&id, NodeOrder::Uncordon).await {
                self.drained.retain(|(one, _)| *one != at);
                self.say(format!("undrain {id}"));
            }
        }
        Ok(())
    }

    fn start(&mut self, at: usize) -> Result<(), TortureError> {
        self.nodes[at].start()?;
        self.states[at] = State::Up;
        self.comebacks[at] = Some(Instant::now());
        let id = self.nodes[at].id.clone();
        self.say(format!("start {id}"));
        Ok(())
    }
}

/// Releases the brake if it is pulled; whether it did.
pub(super) async fn release(client: Client) -> bool {
    let braked = client.transfers().await.is_ok_and(|list| list.braked);
    braked && client.release_brake().await.is_ok()
}

/// Asks until a node is no member any more; whether it was so in time.
async fn removed(others: Vec<SocketAddr>, id: String) -> bool {
    let client = client(others);
    let due = Instant::now() + REMOVE_MAX;
    while Instant::now() < due {
        match client.remove_node(&id).await {
            Ok(_) => return true,
            Err(error) if is_code(&error, "node-unknown") => return true,
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
    false
}
