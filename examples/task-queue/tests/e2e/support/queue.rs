//! A client of the queue: one socket a request, and nothing of the service's own code.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{BOUND, REQUEST, Reply, request};

/// Asks its addresses in turn.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    addresses: Vec<SocketAddr>,
    turn: usize,
}

/// A leased task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Task {
    pub(crate) task: String,
    pub(crate) receipt: String,
    pub(crate) attempts: u64,
    pub(crate) payload: Vec<u8>,
}

/// Why a request has no answer that is one.
#[derive(Debug)]
pub(crate) enum Failed {
    /// The connection broke: killed nodes do that.
    Broken,
    /// It was answered, and not as a client that follows is to be answered.
    Answered(u16, String),
}

impl Client {
    pub(crate) const fn of(addresses: Vec<SocketAddr>) -> Self {
        Self { addresses, turn: 0 }
    }

    /// The same, beginning elsewhere.
    pub(crate) const fn from(mut self, turn: usize) -> Self {
        self.turn = turn;
        self
    }

    /// One request of the next node, as it is answered.
    pub(crate) fn once(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Option<Reply> {
        self.turn += 1;
        let address = self.addresses[self.turn % self.addresses.len()];
        request(address, method, path, headers, body, REQUEST).ok()
    }

    /// As [`Client::once`], by a node that is there.
    #[track_caller]
    pub(crate) fn ask(&mut self, method: &str, path: &str, body: &[u8]) -> Reply {
        self.once(method, path, &[], body)
            .unwrap_or_else(|| panic!("{method} {path}"))
    }

    /// One request, followed where the answer leads: 421 to the primary, 503 in a moment anew.
    pub(crate) fn follow(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Reply, Failed> {
        let begun = Instant::now();
        self.turn += 1;
        let mut address = self.addresses[self.turn % self.addresses.len()];
        loop {
            let reply = request(address, method, path, headers, body, REQUEST);
            let reply = reply.map_err(|_| Failed::Broken)?;
            let later = [421, 503].contains(&reply.status) && begun.elapsed() < BOUND;
            if !later {
                return match reply.status {
                    200..=299 => Ok(reply),
                    status => Err(Failed::Answered(status, reply.text())),
                };
            }
            let problem = reply.json();
            let primary = problem["newest"]["primary_address"].as_str();
            if let Some(primary) = primary.filter(|_| reply.status == 421) {
                address = primary.parse().expect("an address");
                continue;
            }
            let pause = problem["retry_after_ms"].as_u64().unwrap_or(20);
            std::thread::sleep(Duration::from_millis(pause));
        }
    }

    /// Enqueues a task; its id.
    #[track_caller]
    pub(crate) fn enqueue(&mut self, queue: &str, query: &str, payload: &[u8]) -> String {
        let path = format!("/queues/{queue}?{query}");
        let reply = self.follow("POST", &path, &[], payload);
        let reply = reply.unwrap_or_else(|failed| panic!("{path}: {failed:?}"));
        assert_eq!(reply.status, 201, "{}", reply.text());
        reply.json()["task"].as_str().expect("a task").to_owned()
    }

    #[track_caller]
    pub(crate) fn lease(&mut self, queue: &str, query: &str) -> Vec<Task> {
        let reply = self.ask("POST", &format!("/queues/{queue}/lease?{query}"), b"");
        tasks(&reply)
    }

    /// Leases one task, which there is.
    #[track_caller]
    pub(crate) fn lease_one(&mut self, queue: &str, query: &str) -> Task {
        let mut tasks = self.lease(queue, query);
        assert_eq!(tasks.len(), 1, "{tasks:?}");
        tasks.remove(0)
    }

    /// Says something of a leased task; the status.
    #[track_caller]
    pub(crate) fn say(&mut self, verb: &str, task: &Task, query: &str) -> Reply {
        let (id, receipt) = (&task.task, &task.receipt);
        let path = format!("/tasks/{id}/{verb}?receipt={receipt}{query}");
        self.ask("POST", &path, b"")
    }

    #[track_caller]
    pub(crate) fn acknowledge(&mut self, task: &Task) {
        let reply = self.say("ack", task, "");
        assert_eq!(reply.status, 204, "{}", reply.text());
    }

    /// Ready, delayed, leased, dead.
    #[track_caller]
    pub(crate) fn counts(&mut self, queue: &str) -> [u64; 4] {
        let counts = self.ask("GET", &format!("/queues/{queue}"), b"").json();
        ["ready", "delayed", "leased", "dead"].map(|name| counts[name].as_u64().expect("a number"))
    }
}

/// The tasks of an answer.
#[track_caller]
pub(super) fn tasks(reply: &Reply) -> Vec<Task> {
    assert_eq!(reply.status, 200, "{}", reply.text());
    let json = reply.json();
    let list = json["tasks"].as_array().expect("a list").iter();
    list.map(task).collect()
}

fn task(value: &Value) -> Task {
    let text = |name: &str| value[name].as_str().expect("a text").to_owned();
    Task {
        task: text("task"),
        receipt: text("receipt"),
        attempts: value["attempts"].as_u64().expect("a number"),
        payload: base64(&text("payload")),
    }
}

/// The bytes of a text in base64.
fn base64(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    let decoded = base64::prelude::BASE64_STANDARD.decode(text);
    decoded.expect("base64")
}
