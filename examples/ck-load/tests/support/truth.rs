//! The key-value service that stands behind the fake nodes: one map for all of them, which makes it
//! linearizable, unless it is told not to be.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use ck_api::{
    Cluster, ClusterAnswer, Code, HashConfig, MayStop, Node, NodeAnswer, NodePage, Owned,
    OwnedPartition, Partition, PartitionList, Peer, Problem, Ready, Removed, TransferList,
};
use ck_core::KeyHash;
use http_body_util::{BodyExt, Collected, Full};
use hyper::body::Incoming;
use hyper::header::{ETAG, IF_MATCH, IF_NONE_MATCH};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

const PARTITIONS: u32 = 8;

/// What it does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Planted {
    Nothing,
    /// One read in 20 is answered with what was there before the last write.
    StaleRead,
    /// One write in 50 is acknowledged and not done.
    LostWrite,
    /// One compare-and-set in 5 succeeds though something else is there.
    BlindCas,
    /// One node's copies are not like the others'.
    OddCopy,
    /// Each partition has an owner too many.
    TwoOwners,
}

#[derive(Default)]
struct Entry {
    value: Option<Bytes>,
    before: Option<Bytes>,
    seq: u64,
}

struct State {
    entries: HashMap<String, Entry>,
    /// Nodes that run, and their addresses.
    alive: BTreeMap<String, String>,
    version: u64,
    /// Owner and epoch of each partition.
    owners: BTreeMap<u32, (String, u64)>,
    planted: Planted,
    reads: u64,
    writes: u64,
    mismatches: u64,
}

/// The service; ends with the value.
pub(crate) struct Truth {
    pub(crate) control: SocketAddr,
    _runtime: tokio::runtime::Runtime,
}

impl Truth {
    pub(crate) fn new(planted: Planted) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let control = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State {
            entries: HashMap::new(),
            alive: BTreeMap::new(),
            version: 0,
            owners: BTreeMap::new(),
            planted,
            reads: 0,
            writes: 0,
            mismatches: 0,
        }));
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(node(stream, Arc::clone(&state)));
            }
        });
        Self {
            control,
            _runtime: runtime,
        }
    }
}

/// One node, from its process's start to its end.
async fn node(stream: TcpStream, state: Arc<Mutex<State>>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut said = String::new();
    stream.read_line(&mut said).await?;
    let (id, http) = said.trim().split_once(' ').unwrap_or((&said, ""));
    let id = id.to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    state.lock().unwrap().came(&id, http);
    stream
        .get_mut()
        .write_all(format!("{port}\n").as_bytes())
        .await?;
    let serving = tokio::spawn(serve(listener, id.clone(), Arc::clone(&state)));
    // It says nothing more; its end is the process's.
    let ended = stream.read(&mut [0]).await;
    serving.abort();
    state.lock().unwrap().went(&id);
    ended.map(drop)
}

async fn serve(listener: TcpListener, id: String, state: Arc<Mutex<State>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (id, state) = (id.clone(), Arc::clone(&state));
        let service = service_fn(move |request: Request<Incoming>| {
            let (id, state) = (id.clone(), Arc::clone(&state));
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await.map(Collected::to_bytes);
                Ok::<_, Infallible>(match body {
                    Ok(body) => state.lock().unwrap().answer(&id, &head, body),
                    Err(_) => plain(StatusCode::BAD_REQUEST),
                })
            }
        });
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        tokio::spawn(connection);
    }
}

fn plain(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

fn json<T: serde::Serialize>(value: &T) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(serde_json::to_vec(value).unwrap().into()));
    let kind = "application/json".parse().unwrap();
    response.headers_mut().insert("content-type", kind);
    response
}

impl State {
    fn came(&mut self, id: &str, http: &str) {
        self.alive.insert(id.to_owned(), http.to_owned());
        self.assign();
    }

    fn went(&mut self, id: &str) {
        self.alive.remove(id);
        self.assign();
    }

    /// Divides the partitions anew among those who are alive.
    fn assign(&mut self) {
        self.version += 1;
        let alive: Vec<&String> = self.alive.keys().collect();
        for partition in 0..PARTITIONS {
            let (owner, epoch) = self.owners.entry(partition).or_default();
            let at = partition as usize % alive.len().max(1);
            if let Some(next) = alive.get(at).filter(|next| **next != owner) {
                *epoch += 1;
                owner.clone_from(next);
            }
        }
    }

    fn answer(
        &mut self,
        id: &str,
        head: &hyper::http::request::Parts,
        body: Bytes,
    ) -> Response<Full<Bytes>> {
        let path = head.uri.path();
        if let Some(key) = path.strip_prefix("/kv/") {
            return self.kv(key, &head.method, &head.headers, body);
        }
        if let Some(partition) = path.strip_prefix("/digest/") {
            let odd = self.planted == Planted::OddCopy && id == "node-2";
            let digest = if odd { "ff" } else { "00" };
            return json(
                &json!({"partition": partition, "epoch": 1, "seq": 1, "keys": 1, "bytes": 1, "digest": digest}),
            );
        }
        match path {
            "/v1/ready" | "/ready" => json(&Ready::default()),
            "/v1/peer" => json(&Peer {
                node: id.to_owned(),
                cluster: "fake".to_owned(),
                uuid: Some("00000000-0000-0000-0000-00000000000a".to_owned()),
                formed: true,
                ..Peer::default()
            }),
            "/v1/owned" => json(&self.owned(id)),
            "/v1/nodes" => json(&self.nodes()),
            "/v1/transfers" => json(&TransferList::default()),
            "/v1/partitions" => json(&self.partitions()),
            "/v1/cluster" => json(&ClusterAnswer {
                cluster: Cluster {
                    nodes: self.nodes().nodes,
                    ..Cluster::default()
                },
                hash_config: HashConfig {
                    hash: KeyHash::Xxh3.to_string(),
                    partitions: PARTITIONS,
                    ..HashConfig::default()
                },
                ..ClusterAnswer::default()
            }),
            path if path.ends_with("/may-stop") => json(&MayStop {
                allowed: true,
                ..MayStop::default()
            }),
            path if path.starts_with("/v1/nodes/") && head.method == Method::DELETE => {
                json(&Removed {
                    node: id.to_owned(),
                    node_count: 5,
                    incarnation: 1,
                    version: 1,
                })
            }
            path if path.starts_with("/v1/nodes/") => json(&NodeAnswer::default()),
            // As a server says of the paths that it does not have, `/v1/table` among them.
            path => {
                let problem = Problem::new(Code::NotFound, format!("there is no path {path:?}"));
                let mut response = json(&problem);
                *response.status_mut() = StatusCode::NOT_FOUND;
                let kind = "application/problem+json".parse().unwrap();
                response.headers_mut().insert("content-type", kind);
                response
            }
        }
    }

    fn owned(&self, id: &str) -> Owned {
        let twice = self.planted == Planted::TwoOwners && id == "node-1";
        let mine = self
            .owners
            .iter()
            .filter(|(_, (owner, _))| owner == id || twice);
        let owned = mine.map(|(partition, (owner, epoch))| OwnedPartition {
            id: format!("partition-{partition}"),
            // The one too many has it under a newer epoch, as a grant before an expiry would.
            epoch: if owner == id { *epoch } else { epoch + 1 },
        });
        Owned {
            owned: owned.collect(),
            incarnation: 1,
            ..Owned::default()
        }
    }

    fn nodes(&self) -> NodePage {
        let nodes = self.alive.iter().map(|(id, http)| Node {
            id: id.clone(),
            ip: http.clone(),
            ..Node::default()
        });
        NodePage {
            nodes: nodes.collect(),
            ..NodePage::default()
        }
    }

    fn partitions(&self) -> PartitionList {
        let rows = self.owners.iter().map(|(partition, (owner, epoch))| {
            let others = self.alive.keys().filter(|id| *id != owner);
            Partition {
                id: format!("partition-{partition}"),
                primary_node: owner.clone(),
                replica_nodes: others.take(2).cloned().collect(),
                epoch: *epoch,
                state: "stable".into(),
            }
        });
        let partitions: Vec<Partition> = rows.collect();
        PartitionList {
            count: partitions.len() as u64,
            incarnation: 1,
            version: self.version,
            partitions,
            ..PartitionList::default()
        }
    }

    fn kv(
        &mut self,
        key: &str,
        method: &Method,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Response<Full<Bytes>> {
        let planted = self.planted;
        let entry = self.entries.entry(key.to_owned()).or_default();
        let tag = |seq: u64| format!("\"1.{seq}\"");
        if method == Method::GET {
            self.reads += 1;
            let is_stale = planted == Planted::StaleRead && self.reads.is_multiple_of(20);
            let value = if is_stale {
                &entry.before
            } else {
                &entry.value
            };
            let Some(value) = value else {
                let mut response = json(&json!({"code": "key-absent"}));
                *response.status_mut() = StatusCode::NOT_FOUND;
                return response;
            };
            let mut response = Response::new(Full::new(value.clone()));
            response
                .headers_mut()
                .insert(ETAG, tag(entry.seq).parse().unwrap());
            return response;
        }
        let holds = match (headers.get(IF_MATCH), headers.get(IF_NONE_MATCH)) {
            (Some(expected), _) => {
                entry.value.is_some() && expected.as_bytes() == tag(entry.seq).as_bytes()
            }
            (None, Some(_)) => entry.value.is_none(),
            (None, None) => true,
        };
        self.mismatches += u64::from(!holds);
        let is_blind = planted == Planted::BlindCas && self.mismatches.is_multiple_of(5);
        if !holds && !is_blind {
            return plain(StatusCode::PRECONDITION_FAILED);
        }
        let mut response = plain(StatusCode::NO_CONTENT);
        self.writes += 1;
        let is_lost = planted == Planted::LostWrite && self.writes.is_multiple_of(50);
        if !is_lost {
            let value = (*method == Method::PUT).then_some(body);
            entry.before = std::mem::replace(&mut entry.value, value);
            entry.seq += 1;
        }
        if method == Method::PUT {
            response
                .headers_mut()
                .insert(ETAG, tag(entry.seq).parse().unwrap());
        }
        response
    }
}
