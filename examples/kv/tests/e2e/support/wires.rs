//! A wire before each node, over which the others' requests reach it, and on which some can be held.
//!
//! Each node tells the others another loopback address than the one it listens on; a thread there
//! passes whole HTTP requests and their answers on. A request that is held is delivered when it is let
//! go, whether whoever sent it is still there or not: that is what a network may do.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use super::{BOUND, Cluster, wait_for};

/// What the nodes tell each other as their host.
const HOST: [u8; 4] = [127, 0, 0, 2];

/// Bytes of a frame before its content: the format, the cluster, and who speaks to whom.
const ENVELOPE: usize = 1 + 16 + 8 + 8;

/// Which requests are held.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    /// What is asked: the path below `/kv-peer/`.
    pub(crate) path: &'static str,
    /// Only those to this node, from 0.
    pub(crate) to: Option<usize>,
    /// Only those that begin with this partition; batches of records begin otherwise.
    pub(crate) partition: Option<u32>,
    /// Only those with these bytes in them.
    pub(crate) holding: &'static str,
}

impl Rule {
    /// Every request to a path.
    pub(crate) const fn of(path: &'static str) -> Self {
        Self {
            path,
            to: None,
            partition: None,
            holding: "",
        }
    }

    fn takes(&self, to: usize, request: &Message) -> bool {
        let Some(body) = request.peer(self.path) else {
            return false;
        };
        let partition = |wanted: u32| {
            let bytes = body.get(ENVELOPE..ENVELOPE + 4);
            bytes.is_some_and(|bytes| bytes == wanted.to_le_bytes())
        };
        let marked = || {
            let mark = self.holding.as_bytes();
            mark.is_empty() || body.windows(mark.len()).any(|bytes| bytes == mark)
        };
        self.to.is_none_or(|only| only == to) && self.partition.is_none_or(partition) && marked()
    }
}

/// Names a rule that holds.
pub(crate) type RuleId = usize;

#[derive(Default)]
struct State {
    rules: Vec<(RuleId, Rule)>,
    next: RuleId,
    /// Rules of the requests that are held now.
    held: Vec<RuleId>,
    /// Held before, and delivered since: the rule, and the status it was answered with.
    delivered: Vec<(RuleId, u16)>,
    over: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics with it")
    }
}

/// The wires of a cluster.
pub(crate) struct Wires {
    shared: Arc<Shared>,
    listening: Vec<SocketAddr>,
}

impl Wires {
    /// Lays a wire before every node of a cluster that is not started yet.
    pub(crate) fn before(cluster: &mut Cluster) -> Self {
        let shared = Arc::new(Shared::default());
        let mut listening = Vec::new();
        for (to, node) in cluster.nodes.iter_mut().enumerate() {
            let (near, far) = (SocketAddr::from((HOST, node.http.port())), node.http);
            let listener = TcpListener::bind(near).expect("the other address is as free");
            let peer = SocketAddr::from((HOST, near.port() + 2_000)).to_string();
            let host = near.ip().to_string();
            let told = ["--advertise", &host, "--peer", &peer];
            node.flags.extend(told.iter().map(ToString::to_string));
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || listen(&listener, to, far, &shared));
            listening.push(near);
        }
        Self { shared, listening }
    }

    /// Holds requests from now on.
    pub(crate) fn hold(&self, rule: Rule) -> RuleId {
        let mut state = self.shared.lock();
        state.next += 1;
        let id = state.next;
        state.rules.push((id, rule));
        id
    }

    /// How many requests a rule holds now.
    pub(crate) fn held(&self, rule: RuleId) -> usize {
        let state = self.shared.lock();
        state.held.iter().filter(|held| **held == rule).count()
    }

    /// Waits until a rule holds so many.
    #[track_caller]
    pub(crate) fn wait_until_held(&self, rule: RuleId, count: usize) {
        let state = self.shared.lock();
        let waiting =
            |state: &mut State| state.held.iter().filter(|held| **held == rule).count() < count;
        let waited = self
            .shared
            .changed
            .wait_timeout_while(state, BOUND, waiting);
        let late = waited.expect("nobody panics with it").1;
        assert!(!late.timed_out(), "not {count} requests were held in time");
    }

    /// Delivers what a rule holds, and holds nothing by it any more.
    pub(crate) fn let_go(&self, rule: RuleId) {
        let mut state = self.shared.lock();
        state.rules.retain(|(id, _)| *id != rule);
        self.shared.changed.notify_all();
    }

    /// Delivers whatever is held, and holds nothing any more.
    pub(crate) fn let_all_go(&self) {
        self.shared.lock().rules.clear();
        self.shared.changed.notify_all();
    }

    /// Waits until so many requests that a rule had held were answered; returns their status.
    #[track_caller]
    pub(crate) fn answers(&self, rule: RuleId, count: usize) -> Vec<u16> {
        wait_for("what was held is answered", BOUND, || {
            let state = self.shared.lock();
            let answers = state.delivered.iter().filter(|(id, _)| *id == rule);
            let answers: Vec<_> = answers.map(|(_, status)| *status).collect();
            (answers.len() >= count).then_some(answers)
        })
    }
}

impl Drop for Wires {
    fn drop(&mut self) {
        self.shared.lock().over = true;
        self.let_all_go();
        for near in &self.listening {
            // Wakes the thread that listens there, so that it sees that it is over.
            let _ = TcpStream::connect_timeout(near, Duration::from_secs(1));
        }
    }
}

fn listen(listener: &TcpListener, to: usize, far: SocketAddr, shared: &Arc<Shared>) {
    for near in listener.incoming() {
        if shared.lock().over {
            return;
        }
        let (Ok(near), shared) = (near, Arc::clone(shared)) else {
            continue;
        };
        // Ends with the connection: a side that is gone closes it.
        std::thread::spawn(move || pass(near, to, far, &shared));
    }
}

/// Passes requests on, one after another, for as long as both sides are there.
fn pass(near: TcpStream, to: usize, far: SocketAddr, shared: &Shared) -> io::Result<()> {
    near.set_nodelay(true)?;
    let mut asking = BufReader::new(near.try_clone()?);
    let mut near = near;
    let mut far = TcpStream::connect(far)?;
    far.set_nodelay(true)?;
    let mut answering = BufReader::new(far.try_clone()?);
    while let Some(request) = Message::read(&mut asking)? {
        let held = hold(to, &request, shared);
        request.write(&mut far)?;
        let Some(answer) = Message::read(&mut answering)? else {
            return Ok(());
        };
        if let Some(rule) = held {
            shared.lock().delivered.push((rule, answer.status()));
        }
        answer.write(&mut near)?;
    }
    Ok(())
}

/// Waits for as long as a rule holds the request. Returns which did.
fn hold(to: usize, request: &Message, shared: &Shared) -> Option<RuleId> {
    let mut state = shared.lock();
    let rule = state.rules.iter().find(|(_, rule)| rule.takes(to, request));
    let rule = rule.map(|(id, _)| *id)?;
    state.held.push(rule);
    shared.changed.notify_all();
    let holds = |state: &mut State| state.rules.iter().any(|(id, _)| *id == rule);
    let waited = shared.changed.wait_while(state, holds);
    let mut state = waited.expect("nobody panics with it");
    let at = state.held.iter().position(|held| *held == rule);
    at.map(|at| state.held.swap_remove(at))
}

/// A request or an answer, whole.
struct Message {
    head: String,
    body: Vec<u8>,
}

impl Message {
    /// The next one; nothing at the end of the connection.
    fn read(from: &mut impl BufRead) -> io::Result<Option<Self>> {
        let mut head = String::new();
        let mut length = 0;
        loop {
            let before = head.len();
            if from.read_line(&mut head)? == 0 {
                return Ok(None);
            }
            let line = head[before..].to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
            if line.starts_with("transfer-encoding:") {
                return Err(io::Error::other("nodes send whole bodies"));
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        from.read_exact(&mut body)?;
        Ok(Some(Self { head, body }))
    }

    fn write(&self, to: &mut impl Write) -> io::Result<()> {
        to.write_all(self.head.as_bytes())?;
        to.write_all(&self.body)
    }

    /// The body of a request of one node to another.
    fn peer(&self, path: &str) -> Option<&[u8]> {
        let line = self.head.strip_prefix("POST /kv-peer/")?;
        let asked = line.split(' ').next()?;
        (asked == path).then_some(&*self.body)
    }

    /// The status of an answer.
    fn status(&self) -> u16 {
        let status = self.head.split(' ').nth(1);
        status.and_then(|status| status.parse().ok()).unwrap_or(0)
    }
}
