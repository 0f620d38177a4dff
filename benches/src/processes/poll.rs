//! Looking at nodes over HTTP, on connections that stay open.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;

const ANSWER_TIMEOUT: Duration = Duration::from_millis(500);

/// A node that is asked.
#[derive(Debug)]
pub struct Server {
    /// Its id.
    pub name: String,
    /// Its HTTP port.
    pub port: u16,
    timeout: Duration,
    connection: Option<BufReader<TcpStream>>,
    /// The newest table it showed, and its entity tag.
    table: Vec<String>,
    tag: String,
}

impl Server {
    /// A node that is asked on that port. Connects when it is.
    #[must_use]
    pub fn new(name: &str, port: u16) -> Self {
        Self {
            name: name.to_owned(),
            port,
            timeout: ANSWER_TIMEOUT,
            connection: None,
            table: Vec::new(),
            tag: String::new(),
        }
    }

    /// Gives it more time for an answer than half a second.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Status, entity tag and body; `None` when it does not answer.
    pub fn get(&mut self, path: &str, tag: &str) -> Option<(u16, String, Vec<u8>)> {
        let known = match tag {
            "" => String::new(),
            tag => format!("If-None-Match: {tag}\r\n"),
        };
        self.ask(&format!(
            "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{known}\r\n"
        ))
    }

    /// Changes something; the status of the answer.
    pub fn patch(&mut self, path: &str, body: &str) -> Option<u16> {
        self.send("PATCH", path, "application/json", body)
    }

    /// Sends a body; the status of the answer.
    pub fn send(&mut self, method: &str, path: &str, kind: &str, body: &str) -> Option<u16> {
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        );
        self.ask(&request).map(|(status, ..)| status)
    }

    fn ask(&mut self, request: &str) -> Option<(u16, String, Vec<u8>)> {
        let answer = self.try_ask(request);
        if answer.is_none() {
            self.connection = None;
        }
        answer
    }

    fn try_ask(&mut self, request: &str) -> Option<(u16, String, Vec<u8>)> {
        if self.connection.is_none() {
            let stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
            stream.set_nodelay(true).ok()?;
            stream.set_read_timeout(Some(self.timeout)).ok()?;
            self.connection = Some(BufReader::new(stream));
        }
        let connection = self.connection.as_mut()?;
        connection.get_mut().write_all(request.as_bytes()).ok()?;
        let mut line = String::new();
        connection.read_line(&mut line).ok()?;
        let status = line.split(' ').nth(1)?.parse().ok()?;
        let (mut length, mut tag) = (0, String::new());
        loop {
            line.clear();
            connection.read_line(&mut line).ok()?;
            let header = line.trim_end();
            if header.is_empty() {
                break;
            }
            let (name, value) = header.split_once(':')?;
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().ok()?;
            } else if name.eq_ignore_ascii_case("etag") {
                value.trim().clone_into(&mut tag);
            }
        }
        let mut body = vec![0; length];
        connection.read_exact(&mut body).ok()?;
        Some((status, tag, body))
    }

    /// The body of an answer of status 200.
    pub fn json(&mut self, path: &str) -> Option<Value> {
        let (status, _, body) = self.get(path, "")?;
        (status == 200).then(|| serde_json::from_slice(&body).ok())?
    }

    /// The partitions it owns at this instant, with their epochs.
    fn owned(&mut self) -> BTreeMap<u32, u64> {
        let answer = self.json("/v1/owned").unwrap_or_default();
        let rows = answer["owned"].as_array().cloned().unwrap_or_default();
        let row = |row: &Value| {
            let id = row["id"]
                .as_str()?
                .strip_prefix("partition-")?
                .parse()
                .ok()?;
            Some((id, row["epoch"].as_u64()?))
        };
        rows.iter().filter_map(row).collect()
    }

    /// The primary of each partition by its table.
    fn routes(&mut self) -> &[String] {
        let tag = self.tag.clone();
        if let Some((200, tag, body)) = self.get("/partitions", &tag) {
            let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
            let rows = answer["partitions"].as_array().cloned().unwrap_or_default();
            let primary = |row: &Value| row["primary_node"].as_str().unwrap_or_default().to_owned();
            self.table = rows.iter().map(primary).collect();
            self.tag = tag;
        }
        &self.table
    }
}

/// Asks some nodes again and again.
#[derive(Debug)]
pub struct Poll {
    servers: Vec<Server>,
    partitions: u32,
}

impl Poll {
    /// Asks those nodes.
    #[must_use]
    pub fn new(servers: Vec<Server>, partitions: u32) -> Self {
        Self {
            servers,
            partitions,
        }
    }

    /// Who owns each partition at this instant, by name.
    pub fn owned(&mut self) -> BTreeMap<u32, String> {
        let mut owners = BTreeMap::new();
        for server in &mut self.servers {
            for partition in server.owned().into_keys() {
                owners.insert(partition, server.name.clone());
            }
        }
        owners
    }

    /// Whether every partition has an owner, and every node routes to it.
    pub fn is_whole(&mut self) -> bool {
        let owners = self.owned();
        if owners.len() != self.partitions as usize {
            return false;
        }
        self.servers.iter_mut().all(|server| {
            let routes = server.routes();
            routes.len() == owners.len()
                && owners
                    .iter()
                    .all(|(partition, owner)| routes.get(*partition as usize) == Some(owner))
        })
    }

    /// The partitions without an owner, for people.
    pub fn missing(&mut self) -> String {
        let owned = self.owned();
        let missing = (0..self.partitions).filter(|one| !owned.contains_key(one));
        format!("{:?}", missing.collect::<Vec<_>>())
    }
}

/// How long each partition was seen without an owner.
#[derive(Debug)]
pub struct Gaps {
    seen: Vec<Instant>,
    longest: Duration,
}

impl Gaps {
    /// Counts from `now` on.
    #[must_use]
    pub fn new(partitions: u32, now: Instant) -> Self {
        Self {
            seen: vec![now; partitions as usize],
            longest: Duration::ZERO,
        }
    }

    /// Takes note of who owns what at this instant.
    pub fn look(&mut self, owned: &BTreeMap<u32, String>) {
        let now = Instant::now();
        for partition in owned.keys() {
            let seen = &mut self.seen[*partition as usize];
            self.longest = self.longest.max(now - *seen);
            *seen = now;
        }
    }

    /// What is unowned to this moment counts as well.
    pub fn end(&mut self) {
        let now = Instant::now();
        for seen in &self.seen {
            self.longest = self.longest.max(now - *seen);
        }
    }

    /// The longest so far.
    #[must_use]
    pub fn longest(&self) -> Duration {
        self.longest
    }
}
