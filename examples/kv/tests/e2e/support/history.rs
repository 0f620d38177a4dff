//! Clients whose every operation is written down, and judged in the end.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ck_sim::history::{Kind, Limits, Operation, Outcome, Report, check};

use super::{BOUND, Reply, request, wait_for};

/// Time one operation has, after which nobody knows what came of it.
const OPERATION: Duration = Duration::from_millis(1_500);

/// Codes which say that nothing was done, although the status is none of the 4xx.
const NOT_DONE: [&str; 6] = [
    "moving",
    "unavailable",
    "too-few-in-sync",
    "busy",
    "overloaded",
    "disk-full",
];

/// What clients did so far, by one clock.
pub(crate) struct History {
    begun: Instant,
    operations: Vec<Operation>,
}

/// What clients are to do.
#[derive(Clone)]
pub(crate) struct Load {
    /// Whom they ask, in turn.
    pub(crate) addresses: Vec<SocketAddr>,
    /// How many they are.
    pub(crate) clients: usize,
    /// What every key begins with.
    pub(crate) prefix: &'static str,
    /// How many keys.
    pub(crate) keys: u64,
    /// What reads ask for: `lease` or `barrier`.
    pub(crate) consistency: &'static str,
}

impl Load {
    /// Eight clients on eight keys, whose reads are by lease.
    pub(crate) fn on(addresses: Vec<SocketAddr>, prefix: &'static str) -> Self {
        Self {
            addresses,
            clients: 8,
            prefix,
            keys: 8,
            consistency: "lease",
        }
    }
}

/// Clients at work.
pub(crate) struct Clients {
    over: Arc<AtomicBool>,
    served: Arc<AtomicUsize>,
    threads: Vec<std::thread::JoinHandle<Vec<Operation>>>,
}

impl History {
    pub(crate) fn new() -> Self {
        Self {
            begun: Instant::now(),
            operations: Vec::new(),
        }
    }

    /// Sets clients to work. Their names go on from those before.
    pub(crate) fn begin(&self, load: &Load) -> Clients {
        let (over, served) = (Arc::default(), Arc::default());
        let first = self.operations.len();
        let threads = (0..load.clients).map(|number| {
            let client = Client {
                load: load.clone(),
                name: format!("c{first}.{number}"),
                number,
                begun: self.begun,
                random: (first + number) as u64 + 1,
                known: HashMap::new(),
                done: Vec::new(),
            };
            let (over, served) = (Arc::clone(&over), Arc::clone(&served));
            std::thread::spawn(move || client.run(&over, &served))
        });
        Clients {
            threads: threads.collect(),
            over,
            served,
        }
    }

    /// Takes what the clients did, once they have ended.
    pub(crate) fn end(&mut self, clients: Clients) {
        clients.over.store(true, Ordering::SeqCst);
        for thread in clients.threads {
            self.operations
                .extend(thread.join().expect("a client does not panic"));
        }
    }

    /// Reads every key once more, and looks whether everything that was seen was possible: an order
    /// of the operations on each key, and no acknowledged write that is not there.
    #[track_caller]
    pub(crate) fn judge(mut self, load: &Load) -> Report {
        for number in 0..load.keys {
            let mut reader = Client {
                load: load.clone(),
                name: "last".to_owned(),
                number: 0,
                begun: self.begun,
                random: 1,
                known: HashMap::new(),
                done: Vec::new(),
            };
            let key = format!("{}{number}", load.prefix);
            wait_for(&format!("{key} can be read"), BOUND, || {
                reader.perform(Kind::Get, &key);
                let last = reader.done.last()?;
                (last.outcome == Outcome::Ok).then_some(())
            });
            self.operations.extend(reader.done);
        }
        let mut text = Vec::new();
        for operation in &self.operations {
            serde_json::to_writer(&mut text, operation).expect("it is text");
            text.push(b'\n');
        }
        let report = check(&*text, Limits::default()).expect("it is a history");
        assert!(report.problems.is_empty(), "{}", told(&report, &text));
        assert_eq!(report.undecided, [""; 0]);
        assert_eq!(report.lost_writes, 0);
        eprintln!(
            "{} operations, {} acknowledged writes, {} of unknown outcome: nothing wrong",
            report.operations, report.acknowledged, report.unknown
        );
        report
    }
}

/// What is wrong, with the operations that say so.
fn told(report: &Report, history: &[u8]) -> String {
    let lines: Vec<_> = history.split(|byte| *byte == b'\n').collect();
    let line = |number: &u64| {
        let at = usize::try_from(*number).ok()?.checked_sub(1)?;
        Some(String::from_utf8_lossy(lines.get(at)?).into_owned())
    };
    let all = report.problems.iter().map(|one| {
        let told: Vec<_> = one.lines().iter().filter_map(line).collect();
        format!("{}: {one}\n  {}", one.kind(), told.join("\n  "))
    });
    all.collect::<Vec<_>>().join("\n")
}

impl Clients {
    /// Waits until so many more operations were served.
    #[track_caller]
    pub(crate) fn wait_for_more(&self, more: usize) {
        let until = self.served.load(Ordering::SeqCst) + more;
        wait_for("operations are served", BOUND, || {
            (self.served.load(Ordering::SeqCst) >= until).then_some(())
        });
    }
}

struct Client {
    load: Load,
    name: String,
    number: usize,
    begun: Instant,
    random: u64,
    /// Tag and value of what was there when this client looked last.
    known: HashMap<String, (String, Option<String>)>,
    done: Vec<Operation>,
}

impl Client {
    fn run(mut self, over: &AtomicBool, served: &AtomicUsize) -> Vec<Operation> {
        while !over.load(Ordering::SeqCst) {
            let number = self.below(self.load.keys);
            let key = format!("{}{number}", self.load.prefix);
            let kind = match self.below(20) {
                0..9 => Kind::Get,
                9..15 => Kind::Put,
                15..19 => Kind::Cas,
                _ => Kind::Delete,
            };
            self.perform(kind, &key);
            let last = self.done.last().map(|one| one.outcome);
            if last == Some(Outcome::Failed) {
                // Whoever refuses at once would be asked a thousand times.
                std::thread::sleep(Duration::from_millis(10));
            } else {
                served.fetch_add(1, Ordering::SeqCst);
            }
        }
        self.done
    }

    /// A number below another, from a sequence of the client's own (xorshift).
    fn below(&mut self, limit: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % limit
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_nanos()).expect("a test does not last so long")
    }

    /// Performs one operation and writes it down. A compare-and-set looks first where nothing is known.
    fn perform(&mut self, kind: Kind, key: &str) {
        let known = match kind {
            Kind::Cas => self.known.remove(key),
            _ => None,
        };
        let kind = if kind == Kind::Cas && known.is_none() {
            Kind::Get
        } else {
            kind
        };
        let (method, path) = match kind {
            Kind::Get => (
                "GET",
                format!("/kv/{key}?consistency={}", self.load.consistency),
            ),
            Kind::Delete => ("DELETE", format!("/kv/{key}")),
            Kind::Put | Kind::Cas => ("PUT", format!("/kv/{key}")),
        };
        let writes = matches!(kind, Kind::Put | Kind::Cas);
        let value = writes.then(|| format!("{}.{}", self.name, self.done.len()));
        let (tag, expected) = known.unzip();
        let condition = match tag.as_deref() {
            Some("") => vec![("If-None-Match", "*")],
            Some(tag) => vec![("If-Match", tag)],
            None => Vec::new(),
        };
        let turn = self.number + self.done.len();
        let address = self.load.addresses[turn % self.load.addresses.len()];
        let body = value.clone().unwrap_or_default();
        let start = self.now();
        let reply = request(
            address,
            method,
            &path,
            &condition,
            body.as_bytes(),
            OPERATION,
        );
        let end = self.now();
        let (outcome, read) = match outcome(kind, &reply) {
            // That a condition does not hold is said by the lease, whatever reads ask for.
            (Outcome::Mismatch, _) if self.load.consistency == "barrier" => (Outcome::Failed, None),
            told => told,
        };
        let value = if kind == Kind::Get { read } else { value };
        if outcome == Outcome::Ok && kind != Kind::Delete {
            let tag = reply
                .ok()
                .and_then(|reply| reply.headers.get("etag").cloned());
            let tag = tag.unwrap_or_default();
            self.known.insert(key.to_owned(), (tag, value.clone()));
        }
        self.done.push(Operation {
            op: kind,
            client: self.name.clone(),
            key: key.to_owned(),
            value,
            expected: expected.flatten(),
            start,
            end: Some(end),
            outcome,
            partition: None,
        });
    }
}

/// What an answer says of an operation, and what a read saw.
fn outcome(kind: Kind, reply: &std::io::Result<Reply>) -> (Outcome, Option<String>) {
    let reply = match reply {
        Ok(reply) => reply,
        // Nobody was there to be asked.
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            return (Outcome::Failed, None);
        }
        Err(_) => return (Outcome::Unknown, None),
    };
    let code = || {
        let problem: Option<serde_json::Value> = serde_json::from_slice(&reply.body).ok();
        let code = problem
            .as_ref()
            .and_then(|problem| problem["code"].as_str());
        code.unwrap_or_default().to_owned()
    };
    match (kind, reply.status) {
        (Kind::Get, 200) => (Outcome::Ok, Some(reply.text())),
        (Kind::Get, 404) if code() == "key-absent" => (Outcome::Ok, None),
        (Kind::Get, _) => (Outcome::Failed, None),
        (_, 204) => (Outcome::Ok, None),
        (Kind::Cas, 412) => (Outcome::Mismatch, None),
        (_, 400..=499) => (Outcome::Failed, None),
        (_, 503 | 507) if NOT_DONE.contains(&&*code()) => (Outcome::Failed, None),
        _ => (Outcome::Unknown, None),
    }
}
