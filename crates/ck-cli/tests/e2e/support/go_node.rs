//! A server that answers as the captured responses of a node of the Go library do.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::wait_for;

const CLUSTER: &str = include_str!("../../../../ck-http/tests/seed/cluster.json");
const PARTITIONS: &str = include_str!("../../../../ck-http/tests/seed/partitions.json");
const NODES: &str = include_str!("../../../../ck-http/tests/seed/nodes_limit1_offset1.json");

/// Most time one exchange may take.
const BOUND: Duration = Duration::from_secs(10);

/// What it answers.
#[derive(Clone)]
pub(crate) struct Answers {
    /// Of `/cluster`; `/nodes` gives its nodes in pages.
    pub(crate) cluster: Value,
    /// Of `/partitions`.
    pub(crate) partitions: Value,
}

impl Answers {
    /// What was captured: three nodes, 64 partitions.
    pub(crate) fn captured() -> Self {
        Self {
            cluster: body(CLUSTER),
            partitions: body(PARTITIONS),
        }
    }

    /// The nodes of each partition in order of number, the primary first.
    pub(crate) fn rows(&self) -> Vec<Vec<String>> {
        let map = &self.cluster["cluster"]["partition_map"]["partitions"];
        let count = map.as_object().expect("a map").len();
        let text = |value: &Value| value.as_str().expect("a name").to_owned();
        (0..count)
            .map(|number| {
                let row = &map[format!("partition-{number}")];
                let replicas = row["replica_nodes"].as_array().expect("a list");
                std::iter::once(text(&row["primary_node"]))
                    .chain(replicas.iter().map(text))
                    .collect()
            })
            .collect()
    }

    fn nodes(&self, query: &str) -> Value {
        let number = |name: &str| {
            let given = query.split('&').find_map(|pair| pair.strip_prefix(name));
            given.and_then(|value| value.strip_prefix('=')?.parse::<usize>().ok())
        };
        let all = self.cluster["cluster"]["nodes"].as_array().expect("a list");
        let (limit, offset) = (number("limit").unwrap_or(50), number("offset").unwrap_or(0));
        let page: Vec<_> = all.iter().skip(offset).take(limit).collect();
        let next = (offset + page.len()).min(all.len());
        json!({
            "has_more": next < all.len(), "limit": limit, "next_offset": next,
            "nodes": page, "offset": offset, "total": all.len(),
        })
    }

    fn to(&self, target: &str) -> Option<Value> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        match path {
            "/cluster" => Some(self.cluster.clone()),
            "/partitions" => Some(self.partitions.clone()),
            "/nodes" => Some(self.nodes(query)),
            _ => None,
        }
    }
}

fn body(captured: &str) -> Value {
    let captured: Value = serde_json::from_str(captured).expect("JSON");
    captured["body"].clone()
}

/// The server. It ends with the test's process.
pub(crate) struct GoNode {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl GoNode {
    pub(crate) fn start(answers: Answers) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // Whoever goes away meanwhile is no concern of the others.
                let _ = serve(stream, &answers, &heard);
            }
        });
        Self { address, asked }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The heads of the requests so far, lower case.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("no thread panicked").clone()
    }
}

fn serve(stream: TcpStream, answers: &Answers, heard: &Mutex<Vec<String>>) -> io::Result<()> {
    stream.set_read_timeout(Some(BOUND))?;
    stream.set_write_timeout(Some(BOUND))?;
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while reader.read_line(&mut head)? > 2 {}
    let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
    heard
        .lock()
        .expect("no thread panicked")
        .push(head.to_ascii_lowercase());
    let mut stream = reader.into_inner();
    // The chunked form of the captured answers, as their headers have it.
    match answers.to(&target).filter(|_| head.starts_with("GET ")) {
        Some(body) => {
            let body = body.to_string();
            write!(
                stream,
                "HTTP/1.1 200 OK\r\nCache-Control: max-age=30\r\nContent-Type: application/json\r\n\
                 Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
                body.len()
            )
        }
        None => write!(
            stream,
            "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Content-Length: 19\r\nConnection: close\r\n\r\n404 page not found\n"
        ),
    }
}

#[test]
fn pages_are_those_that_were_captured() {
    let answers = Answers::captured();
    assert_eq!(answers.to("/nodes?limit=1&offset=1"), Some(body(NODES)));
    let node = GoNode::start(answers);
    let reply = wait_for("it answers", BOUND, || {
        super::request(
            node.address,
            "GET",
            "/nodes?limit=2&offset=2",
            &[],
            b"",
            BOUND,
        )
        .ok()
    });
    assert_eq!(reply.json()["has_more"], false);
    assert_eq!(reply.json()["nodes"][0]["id"], "node-3");
}
