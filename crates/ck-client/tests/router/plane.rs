//! A small data plane in this process: real servers and surfaces over one replicated state.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ck_client::{Router, RouterConfig};
use ck_control::{Command, Config, Generation, MemberNumber, Registration, State, StoreId};
use ck_core::PartitionId;
use ck_http::fake::Fake;
use ck_http::{
    Backend as _, BoxFuture, Code, Incoming, Newest, Problem, Reply, Request, Routes, Server,
    Surface, SurfaceConfig, problem, read_body,
};
use ck_node::Operation;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// What a node was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) fence: Option<String>,
    pub(crate) body: Vec<u8>,
}

/// The application of one node: it answers who asks the right one with its own name.
pub(crate) struct Application {
    number: usize,
    fake: Arc<Fake>,
    /// Answered first, in turn.
    script: Mutex<VecDeque<Problem>>,
    /// Answered always, when there is one.
    always: Mutex<Option<Problem>>,
    seen: Mutex<Vec<Seen>>,
}

pub(crate) fn partition(state: &State, key: &str) -> PartitionId {
    let partitions = state.table().unwrap().partitions();
    state.config().hash.partition(key.as_bytes(), partitions)
}

/// Where a partition is, as a problem says it.
pub(crate) fn newest(state: &State, partition: PartitionId) -> Newest {
    let control = state.partition(partition).unwrap();
    let holder = control.holder.unwrap();
    let member = state.member(holder.member).unwrap();
    Newest {
        incarnation: state.incarnation().0,
        version: state.version().0,
        partition: Some(partition.to_string()),
        primary_node: Some(member.node.to_string()),
        primary_address: Some(member.http_address.clone()),
        epoch: Some(control.epoch.0),
        ..Newest::default()
    }
}

impl Application {
    fn decide(&self, seen: &Seen) -> Result<String, Box<Problem>> {
        if let Some(problem) = self.script.lock().unwrap().pop_front() {
            return Err(Box::new(problem));
        }
        if let Some(problem) = &*self.always.lock().unwrap() {
            return Err(Box::new(problem.clone()));
        }
        let state = self.fake.state();
        let key = seen.path.strip_prefix("/kv/").unwrap();
        let newest = newest(&state, partition(&state, key));
        let me = format!("node-{}", self.number);
        if newest.primary_node.as_ref() != Some(&me) {
            return Err(Problem::new(Code::NotOwner, "elsewhere")
                .with_newest(newest)
                .into());
        }
        let epoch = newest.epoch.unwrap();
        let fence = seen
            .fence
            .as_ref()
            .map(|fence| fence.rsplit_once('.').unwrap().1);
        if fence.is_some_and(|fence| fence.parse::<u64>().unwrap() < epoch) {
            return Err(Problem::new(Code::EpochOld, "old")
                .with_newest(newest)
                .into());
        }
        Ok(me)
    }
}

impl Routes for Application {
    fn serves(&self, path: &str) -> bool {
        path.starts_with("/kv/")
    }

    fn answer(&self, request: Request<Incoming>) -> BoxFuture<'_, Reply> {
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let fence = head.headers.get("ck-fence");
            let body = read_body(body, 1 << 20, Duration::from_secs(5)).await;
            let seen = Seen {
                method: head.method.to_string(),
                path: head.uri.path().to_owned(),
                fence: fence.map(|fence| fence.to_str().unwrap().to_owned()),
                body: body.unwrap().to_vec(),
            };
            self.seen.lock().unwrap().push(seen.clone());
            match self.decide(&seen) {
                Ok(name) => Reply::new(name.into_bytes().into()),
                Err(refused) => problem(&refused),
            }
        })
    }
}

/// A node of the plane.
pub(crate) struct Node {
    pub(crate) address: String,
    application: Arc<Application>,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<()>,
}

impl Node {
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.application.seen.lock().unwrap().clone()
    }

    /// Answers the next request with that.
    pub(crate) fn says(&self, problem: Problem) {
        self.application.script.lock().unwrap().push_back(problem);
    }

    /// Answers every request with that from now on.
    pub(crate) fn always_says(&self, problem: Problem) {
        *self.application.always.lock().unwrap() = Some(problem);
    }

    /// Ends it; its port refuses connections from then on.
    pub(crate) async fn die(&mut self) {
        drop(self.stop.take());
        (&mut self.serving).await.unwrap();
    }
}

pub(crate) struct Plane {
    pub(crate) fake: Arc<Fake>,
    pub(crate) nodes: Vec<Node>,
}

fn registration(number: usize, http: &str) -> Registration {
    Registration {
        node: format!("node-{number}").parse().unwrap(),
        display_name: String::new(),
        store: StoreId(number as u128),
        generation: Generation(1),
        member: None,
        previous: None,
        homes: Vec::new(),
        process: ck_control::Nonce(number as u64),
        stopped: None,
        durable: true,
        served: false,
        peer_address: format!("h:{number}"),
        http_address: http.to_owned(),
        weight: 1,
        domain: None,
        services: [].into(),
        labels: [].into(),
        command_version: ck_control::COMMAND_VERSION,
    }
}

impl Plane {
    /// As many nodes, and beside them members at the addresses of `others`.
    pub(crate) async fn start(nodes: usize, others: &[String]) -> Self {
        let fake = Arc::new(Fake::formed(Config::default(), 0));
        let mut servers = Vec::new();
        for _ in 0..nodes {
            servers.push(Server::bind("127.0.0.1:0").await.unwrap());
        }
        let own = servers.iter().map(|one| one.local_address().to_string());
        for (number, http) in (1..).zip(own.chain(others.iter().cloned())) {
            let register = Command::Register(registration(number, &http));
            fake.apply(register).unwrap();
        }
        fake.operate(Operation::CreatePartitions).unwrap();
        let nodes = (1..).zip(servers);
        let nodes = nodes.map(|(number, server)| serve(number, server, Arc::clone(&fake)));
        Self {
            nodes: nodes.collect(),
            fake,
        }
    }

    /// A router that asks the first node, and asks for no table unless it has to.
    pub(crate) async fn router(&self) -> Router {
        Router::connect(quiet(&[&self.nodes[0].address]))
            .await
            .unwrap()
    }

    /// A key whose primary is that node, of some number.
    pub(crate) fn key_of(&self, number: usize) -> String {
        let state = self.fake.state();
        let name = format!("node-{number}");
        let mut keys = (0..10_000).map(|at| format!("key-{at}"));
        keys.find(|key| newest(&state, partition(&state, key)).primary_node.as_ref() == Some(&name))
            .unwrap()
    }

    /// Where a key is by now.
    pub(crate) fn newest(&self, key: &str) -> Newest {
        let state = self.fake.state();
        newest(&state, partition(&state, key))
    }

    /// Ends the session of that node, whose partitions others take over.
    pub(crate) fn stops(&self, number: usize) {
        let member = MemberNumber(number as u64);
        let session = self.fake.state().member(member).unwrap().session.unwrap();
        self.fake.apply(Command::Stop { member, session }).unwrap();
    }
}

fn serve(number: usize, server: Server, fake: Arc<Fake>) -> Node {
    let application = Arc::new(Application {
        number,
        fake: Arc::clone(&fake),
        script: Mutex::default(),
        always: Mutex::default(),
        seen: Mutex::default(),
    });
    let surface = Surface::new(SurfaceConfig::default(), fake).unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let address = server.local_address().to_string();
    let server = server.with_routes(Arc::clone(&application) as _);
    let serving = tokio::spawn(server.run(surface, async move {
        let _ = stopped.await;
    }));
    Node {
        address,
        application,
        stop: Some(stop),
        serving,
    }
}

/// As few refreshes as possible, so that what a test sees comes from the answers.
pub(crate) fn quiet(seeds: &[&str]) -> RouterConfig {
    let mut config = RouterConfig::new(seeds.iter().copied());
    config.follow = false;
    config.refresh_every = Duration::from_secs(3600);
    config.timeout = Duration::from_secs(20);
    config
}

/// An address where requests are read, and connections closed without an answer.
pub(crate) async fn hanging_up() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let requests = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&requests);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut chunk = [0; 4096];
            if stream.read(&mut chunk).await.is_ok_and(|count| count > 0) {
                counter.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    (address, requests)
}

/// An address that refuses connections: it was free a moment ago.
pub(crate) async fn dead() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().to_string()
}
