//! Servers that say what a test has them say.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ck_api::{DeltaRow, HashConfig, TableAnswer, TableDelta, TableMember, TableRow};
use serde::Serialize;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Most time anything may take, on a loaded machine.
pub(crate) const BOUND: Duration = Duration::from_secs(20);

/// Partitions of every table here.
pub(crate) const PARTITIONS: u32 = 16;

/// Asks until it answers, or fails.
#[track_caller]
pub(crate) fn wait_for<T>(
    what: impl Into<String>,
    mut probe: impl FnMut() -> Option<T>,
) -> impl Future<Output = T> {
    let (begun, what) = (Instant::now(), what.into());
    async move {
        loop {
            if let Some(found) = probe() {
                return found;
            }
            assert!(begun.elapsed() < BOUND, "not within {BOUND:?}: {what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// A table with every primary role at that member, of members 1 and 2 at those addresses.
pub(crate) fn table(version: u64, primary: u64, addresses: [&str; 2]) -> TableAnswer {
    let row = TableRow {
        epoch: 1,
        state: "stable".into(),
        primary: Some(primary),
        replicas: vec![if primary == 1 { 2 } else { 1 }],
    };
    TableAnswer {
        incarnation: 1,
        version,
        replication_factor: 2,
        hash_config: HashConfig {
            hash: "xxh3".into(),
            ..HashConfig::default()
        },
        members: (1..).zip(addresses).map(member).collect(),
        rows: vec![row; PARTITIONS as usize],
    }
}

fn member((number, http): (u64, &str)) -> TableMember {
    TableMember {
        member: number,
        id: format!("node-{number}"),
        http: http.into(),
        ..TableMember::default()
    }
}

/// Partition 0 goes to that member, at an epoch like its version.
pub(crate) fn delta(from: u64, version: u64, primary: u64) -> TableDelta {
    TableDelta {
        incarnation: 1,
        from,
        version,
        rows: vec![DeltaRow {
            partition: 0,
            epoch: version,
            state: "stable".into(),
            primary: Some(primary),
            replicas: vec![if primary == 1 { 2 } else { 1 }],
        }],
        ..TableDelta::default()
    }
}

/// One watcher of a server.
#[derive(Clone)]
pub(crate) struct Stream {
    /// Where it resumes.
    pub(crate) last: Option<String>,
    frames: mpsc::Sender<Vec<u8>>,
}

impl Stream {
    pub(crate) async fn send(&self, name: &str, data: &impl Serialize) {
        let data = serde_json::to_string(data).unwrap();
        let frame = format!("id: 1.1\nevent: {name}\ndata: {data}\n\n");
        self.raw(frame).await;
    }

    /// Its watcher may be gone.
    pub(crate) async fn raw(&self, frame: impl Into<Vec<u8>>) {
        let _ = self.frames.send(frame.into()).await;
    }

    /// Whether the watcher has hung up.
    pub(crate) fn is_closed(&self) -> bool {
        self.frames.is_closed()
    }
}

/// What a server says.
pub(crate) struct Says {
    /// Name and id of its cluster.
    pub(crate) cluster: [&'static str; 2],
    /// Answer to `/v1/table`, and the first event of a watcher that resumes nowhere; none: 404.
    pub(crate) table: Option<TableAnswer>,
    /// Bodies of `/v1/partitions`, `/v1/cluster`.
    pub(crate) lists: Option<[String; 2]>,
    /// Body of every page of `/v1/nodes`.
    pub(crate) nodes: Option<String>,
    /// Answered to watchers instead of events, with whether to those that resume alone.
    pub(crate) refusal: Option<(u16, bool)>,
    /// Whether watchers get no answer for now.
    pub(crate) held: bool,
    /// Watchers so far; those whose stream a test has taken out to end it are none.
    pub(crate) streams: Vec<Option<Stream>>,
    /// Paths that were asked for.
    pub(crate) asked: Vec<String>,
}

#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) address: String,
    says: Arc<Mutex<Says>>,
    serving: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let says = Arc::new(Mutex::new(Says {
            cluster: ["shop", "c-1"],
            table: None,
            lists: None,
            nodes: None,
            refusal: None,
            held: false,
            streams: Vec::new(),
            asked: Vec::new(),
        }));
        let address = listener.local_addr().unwrap().to_string();
        let shared = Arc::clone(&says);
        let serving = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self {
            address,
            says,
            serving: Arc::new(Mutex::new(Some(serving))),
        }
    }

    /// With that table.
    pub(crate) async fn with(table: TableAnswer) -> Self {
        let server = Self::start().await;
        server.says(|says| says.table = Some(table));
        server
    }

    pub(crate) fn says<T>(&self, change: impl FnOnce(&mut Says) -> T) -> T {
        change(&mut self.says.lock().unwrap())
    }

    /// The watcher of that number, once it has come.
    #[track_caller]
    pub(crate) fn stream(&self, number: usize) -> impl Future<Output = Stream> {
        let what = format!("watcher {number} comes to {}", self.address);
        let server = self.clone();
        wait_for(what, move || {
            server.says(|says| says.streams.get(number).cloned().flatten())
        })
    }

    /// Ends the stream of that watcher.
    pub(crate) fn end(&self, number: usize) {
        self.says(|says| says.streams[number] = None);
    }

    pub(crate) fn asked(&self, path: &str) -> usize {
        self.says(|says| says.asked.iter().filter(|asked| *asked == path).count())
    }

    /// Refuses connections from now on, and breaks those that are there.
    pub(crate) async fn die(&self) {
        let serving = self.serving.lock().unwrap().take().unwrap();
        serving.abort();
        assert!(serving.await.unwrap_err().is_cancelled());
    }
}

async fn serve(mut stream: TcpStream, says: Arc<Mutex<Says>>) {
    while let Some((path, last)) = request(&mut stream).await {
        says.lock().unwrap().asked.push(path.clone());
        if path == "/v1/watch" {
            let refusal = says.lock().unwrap().refusal;
            match refusal.filter(|(_, resuming)| !resuming || last.is_some()) {
                Some((status, _)) => answer(&mut stream, status, "{}").await,
                None => return watch(stream, last, &says).await,
            }
            continue;
        }
        if path.starts_with("/kv/") {
            // The data plane, which knows of a newer version.
            let head = "HTTP/1.1 200 X\r\nck-version: 1.99\r\ncontent-length: 4\r\n\r\ndone";
            let _ = stream.write_all(head.as_bytes()).await;
            continue;
        }
        let (status, body) = plain(&path, &says.lock().unwrap());
        answer(&mut stream, status, &body).await;
    }
}

/// The path of the next request, and where it resumes.
async fn request(stream: &mut TcpStream) -> Option<(String, Option<String>)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let path = head.split(' ').nth(1)?.to_owned();
    let last = head
        .lines()
        .find_map(|line| line.strip_prefix("last-event-id: "));
    Some((path, last.map(str::to_owned)))
}

fn plain(path: &str, says: &Says) -> (u16, String) {
    let not_found = (
        404,
        r#"{"type":"t","title":"t","status":404,"detail":"d","code":"not-found"}"#.into(),
    );
    match path {
        "/v1/peer" => {
            let [name, id] = says.cluster;
            let body = format!(
                r#"{{"node":"n","peer_address":"p","cluster":"{name}","uuid":"{id}","formed":true}}"#
            );
            (200, body)
        }
        "/v1/table" => says.table.as_ref().map_or(not_found, |table| {
            (200, serde_json::to_string(table).unwrap())
        }),
        "/v1/partitions" | "/v1/cluster" => {
            says.lists.clone().map_or(not_found, |[list, cluster]| {
                (200, if path == "/v1/cluster" { cluster } else { list })
            })
        }
        _ if path.starts_with("/v1/nodes") => {
            says.nodes.clone().map_or(not_found, |nodes| (200, nodes))
        }
        _ => not_found,
    }
}

async fn answer(stream: &mut TcpStream, status: u16, body: &str) {
    let kind = if status == 200 {
        "application/json"
    } else {
        "application/problem+json"
    };
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let _ = stream.write_all(head.as_bytes()).await;
}

async fn watch(mut stream: TcpStream, last: Option<String>, says: &Mutex<Says>) {
    while says.lock().unwrap().held {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let head =
        "HTTP/1.1 200 X\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    if stream.write_all(head.as_bytes()).await.is_err() {
        return;
    }
    let (frames, mut waiting) = mpsc::channel(64);
    let watcher = Stream {
        last: last.clone(),
        frames,
    };
    watcher.raw(": here\nretry: 1000\n\n").await;
    let table = says.lock().unwrap().table.clone();
    if let (None, Some(table)) = (last, table) {
        watcher.send("table", &table).await;
    }
    says.lock().unwrap().streams.push(Some(watcher));
    loop {
        let frame: Option<Vec<u8>> = tokio::select! {
            frame = waiting.recv() => frame,
            // A watcher says nothing: this is its end.
            _ = stream.read_u8() => return,
        };
        let chunk = frame.as_deref().unwrap_or_default();
        let mut bytes = format!("{:x}\r\n", chunk.len()).into_bytes();
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
        if stream.write_all(&bytes).await.is_err() || frame.is_none() {
            return;
        }
    }
}

/// The list of partitions at a version, and the cluster, of a server that has no tables.
pub(crate) fn lists(version: u64, replicas: &[&str]) -> [String; 2] {
    let row = |at| {
        json!({"id": format!("partition-{at}"), "primary_node": "node-1",
            "replica_nodes": replicas, "epoch": version, "state": "stable"})
    };
    let rows: Vec<_> = (0..PARTITIONS).map(row).collect();
    let list =
        json!({"partitions": rows, "count": PARTITIONS, "incarnation": 1, "version": version});
    let cluster = json!({"cluster": {"id": "c", "name": "c", "uuid": "c-1", "nodes": [],
        "partition_map": {"partitions": {}}, "config": {"cluster_name": "c", "partition_count": 16,
        "replication_factor": 2}}, "hash_config": {"algorithm": "md5", "encoding": "e", "format": "f",
        "modulo": 16, "hash": "md5-mod"}});
    [list.to_string(), cluster.to_string()]
}
