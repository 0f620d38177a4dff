//! What a real leader spends on a thousand sessions that renew: the control loop, the consensus
//! core with one voter and the store, over the network in memory, as a share of a core.
//!
//! `cargo bench -p benches --bench sessions`
//!
//! The members are simulated: each has a session in the log and sends a renewal every 400 ms, by
//! the transport and in the bytes of a real one. They acknowledge the log that they receive and keep
//! none of it. They share the process with the leader, so four spans are measured: the leader alone;
//! the members against a responder that only decodes and encodes; the members against the leader; and
//! the leader with the same members in its log, none of which renews any more. What renewals cost the
//! leader is the third less the fourth, less what the members spend by themselves. The fourth is what
//! the log costs: its heartbeats go to every member.
#![allow(missing_docs, reason = "a program, nothing to call")]

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use benches::ratio::Report;
use bytes::Bytes;
use ck_control::{
    Answer, ConfigChoices, Generation, LeaseTerms, MemberNumber, Nonce, Position, Profile, Renewal,
    SessionId, StoreId,
};
use ck_core::NodeId;
use ck_node::{
    BootClock, Clock, Config, Handle, Itself, JoinRequest, Node, OnFatal, Operation,
    OperationError, Outcome, State,
};
use ck_transport::{
    Address, BoxFuture, ClusterId, MemoryNetwork, PeerId, Reply, Request, Service, ServiceError,
    Transport,
};
use nix::time::{ClockId, clock_gettime};

/// Simulated members; the leader's own session is the thousandth.
const MEMBERS: u64 = 999;

/// Of a core.
const LIMIT: f64 = 0.10;

/// Longest that a registration may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long each span is.
const SPAN: Duration = Duration::from_secs(10);

/// What a renewal, log entries and a piece of a snapshot are on the wire.
const RENEW: u16 = 4;
const APPEND: u16 = 16;
const SNAPSHOT: u16 = 18;

const LEADER: &str = "node-1:1";
const NULL: &str = "null:1";

fn node(number: u64) -> NodeId {
    NodeId::new(&format!("node-{number}")).expect("a short name")
}

fn encode<T: serde::Serialize>(value: &T) -> Bytes {
    let bytes = bincode::serde::encode_to_vec(value, bincode::config::standard());
    Bytes::from(bytes.expect("plain data"))
}

fn decode<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let decoded = bincode::serde::decode_from_slice(bytes, bincode::config::standard());
    decoded.ok().map(|(value, _)| value)
}

/// What the bytes begin with.
fn decode_first<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> T {
    let decoded = bincode::serde::decode_from_slice(bytes, bincode::config::standard());
    decoded.expect("a request of the leader's").0
}

/// Grants every renewal at once.
struct Null;

impl Service for Null {
    fn handle(
        &self,
        _: PeerId,
        request: Request,
    ) -> BoxFuture<'static, Result<Reply, ServiceError>> {
        Box::pin(async move {
            let renewal: Renewal = decode(&request.payload).expect("a renewal");
            let answer = Answer::Granted {
                session: renewal.session,
                process: renewal.process,
                sent: renewal.sent,
                terms: LeaseTerms::of(Profile::Lan),
                floor: Position(0),
                handing_over: false,
            };
            let (payload, body) = (encode(&answer), None);
            Ok(Reply { payload, body })
        })
    }
}

/// Acknowledges whatever the log sends it, and keeps nothing.
struct Learner;

impl Service for Learner {
    fn handle(
        &self,
        _: PeerId,
        request: Request,
    ) -> BoxFuture<'static, Result<Reply, ServiceError>> {
        Box::pin(async move {
            // Each is a `Result`, so the first byte says that it is the answer and no error.
            let payload = match request.kind {
                // The first case of the answer: all of it is stored.
                APPEND => Bytes::from_static(&[0, 0]),
                // The answer repeats the vote that the request begins with.
                SNAPSHOT => {
                    let vote: (u64, u64, bool) = decode_first(&request.payload);
                    encode(&Ok::<_, ()>(vote))
                }
                kind => {
                    let code = u16::MAX;
                    let reason = format!("a simulated member has no answer to kind {kind}");
                    return Err(ServiceError::new(code, reason));
                }
            };
            Ok(Reply {
                payload,
                body: None,
            })
        })
    }
}

fn peer(number: u64, cluster: Option<ClusterId>) -> PeerId {
    PeerId {
        node: node(number),
        member: Some(number),
        store: u128::from(number),
        cluster,
        cluster_name: "clusterkit".to_owned(),
    }
}

/// The members, and whom they ask.
struct Members {
    network: Arc<MemoryNetwork>,
    cluster: ClusterId,
    ended: Arc<AtomicBool>,
    granted: Arc<AtomicU64>,
    /// What they are reached by, also when they do not renew any more: some of them vote.
    reached: Mutex<Vec<Arc<dyn Transport>>>,
}

impl Members {
    /// One member begins to renew.
    fn renew(&self, number: u64, session: SessionId, whom: &'static str) {
        let at = format!("{whom}-{number}:1");
        let me = peer(number, Some(self.cluster));
        let transport: Arc<dyn Transport> = self.network.join(at, me, Arc::new(Learner));
        let mut reached = self.reached.lock().expect("nobody panics with it");
        reached.push(Arc::clone(&transport));
        let (ended, granted) = (Arc::clone(&self.ended), Arc::clone(&self.granted));
        let terms = LeaseTerms::of(Profile::Lan);
        tokio::spawn(async move {
            let to = Address::member(whom, 1);
            let mut every = tokio::time::interval(terms.renews_every());
            while !ended.load(Ordering::Relaxed) {
                every.tick().await;
                let renewal = Renewal {
                    member: MemberNumber(number),
                    session,
                    process: Nonce(number),
                    sent: BootClock.now(),
                    applied: Position(u64::MAX),
                    unanswered: Duration::ZERO,
                    leaving: false,
                    reports: Vec::new(),
                };
                let request = Request::new(RENEW, encode(&renewal));
                let answer = transport.call(&to, request, terms.lease()).await;
                let answer = answer.ok().and_then(|(_, reply)| decode(&reply.payload));
                if matches!(answer, Some(Answer::Granted { .. })) {
                    granted.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
}

async fn register(leader: &Handle, number: u64) -> SessionId {
    let request = JoinRequest {
        node: node(number),
        display_name: String::new(),
        cluster_name: None,
        peer_address: format!("{LEADER}-{number}:1"),
        http_address: String::new(),
        weight: None,
        domain: None,
        services: Default::default(),
        labels: Default::default(),
        itself: Some(Itself {
            store: StoreId(number.into()),
            generation: Generation(1),
            homes: Vec::new(),
            process: Nonce(number),
            member: None,
            previous: None,
            durable: true,
            stopped: None,
            served: None,
            choices: ConfigChoices::default(),
            command_version: ck_control::COMMAND_VERSION,
            secret: None,
        }),
    };
    let operation = Operation::Register(request);
    let outcome = leader.execute(operation, "bench").await;
    match outcome {
        Ok(Outcome::Joined(joined)) => {
            assert_eq!(joined.member, MemberNumber(number));
            joined.session.expect("it registers itself")
        }
        // Registered, and not told in time that it is: the log goes to as many members by then.
        Err(OperationError::Unknown { .. }) => {
            let known = |state: &State| state.member(MemberNumber(number))?.session;
            let applied = leader.applied_until(|state| known(state).is_some());
            let applied = tokio::time::timeout(PATIENCE, applied).await;
            applied.expect("it is registered in the end");
            known(&leader.state()).expect("it was a moment ago")
        }
        other => panic!("{other:?}"),
    }
}

async fn start(network: &Arc<MemoryNetwork>, data: &std::path::Path) -> Handle {
    let mut config = Config::new(node(1), data);
    config.on_fatal = OnFatal::Report;
    config.choices = ConfigChoices {
        replication_factor: Some(1),
        auto_rebalance: Some(false),
        ..ConfigChoices::default()
    };
    let network = Arc::clone(network);
    let bind: ck_node::Bind = Box::new(move |me, service| {
        Box::pin(async move {
            let transport = network.join(LEADER, me, service);
            Ok((transport as Arc<dyn Transport>, LEADER.to_owned()))
        })
    });
    let handle = Node::start_with(config, bind).await.expect("it starts");
    handle.ready().await.expect("it goes on");
    handle
}

/// Seconds of processor time this process has taken.
fn processor() -> f64 {
    let reading = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID);
    Duration::from(reading.expect("the kernel has this clock")).as_secs_f64()
}

/// The share of a core this process takes, and what was granted meanwhile.
async fn share(span: Duration, granted: &AtomicU64) -> (f64, u64) {
    let (before, count) = (processor(), granted.load(Ordering::Relaxed));
    tokio::time::sleep(span).await;
    let share = (processor() - before) / span.as_secs_f64();
    (share, granted.load(Ordering::Relaxed) - count)
}

async fn measure(report: &mut Report, members: u64, span: Duration) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let network = MemoryNetwork::new(1);
    let leader = start(&network, folder.path()).await;
    let state = leader.state();
    let cluster = state.formed().expect("it has formed").cluster;
    let simulated = Members {
        network: Arc::clone(&network),
        cluster: ClusterId(cluster.0),
        ended: Arc::new(AtomicBool::new(false)),
        granted: Arc::default(),
        reached: Mutex::default(),
    };
    let (alone, _) = share(span, &simulated.granted).await;
    let null = network.join(NULL, peer(1, Some(simulated.cluster)), Arc::new(Null));
    for number in 2..=members + 1 {
        simulated.renew(number, SessionId(number), NULL);
    }
    let (against_null, answered_null) = share(span, &simulated.granted).await;
    simulated.ended.store(true, Ordering::Relaxed);
    null.shutdown().await;
    let simulated = Members {
        ended: Arc::default(),
        granted: Arc::default(),
        ..simulated
    };
    let began = Instant::now();
    for number in 2..=members + 1 {
        let session = register(&leader, number).await;
        simulated.renew(number, session, LEADER);
    }
    report.note(&format!(
        "{members} members joined within {:.0?}",
        began.elapsed()
    ));
    renewed_by_all(&simulated, members).await;
    let (renewing, answered) = share(span, &simulated.granted).await;
    let open = leader.state().sessions().count() as u64;
    // They stay members, and receive the log and its heartbeats; their sessions end.
    simulated.ended.store(true, Ordering::Relaxed);
    let expired = leader.applied_until(|state| state.sessions().count() == 1);
    let expired = tokio::time::timeout(PATIENCE, expired).await;
    expired.expect("the leader's own session is left");
    let (silent, _) = share(span, &simulated.granted).await;
    let itself = against_null - alone;
    let spent = renewing - silent - itself;
    report.share("leader, 1,000 sessions renew", spent, LIMIT);
    let percent = |share: f64| format!("{:.2} %", share * 100.0);
    report.note(&format!(
        "all while they renew {}, while nobody does {}; the members themselves {}; a leader without members {}",
        percent(renewing),
        percent(silent),
        percent(itself),
        percent(alone)
    ));
    report.note(&format!(
        "{open} sessions open, {answered} renewals granted in {span:?} ({answered_null} by the null)"
    ));
    // A few may have run out while the others joined: whoever joins is not waited for by the leases.
    assert!(open * 20 >= members * 19, "{open} of {members} are renewed");
    let expected = members * u64::try_from(span.as_millis() / 400).unwrap_or(0);
    assert!(answered * 10 >= expected * 9, "{answered} of {expected}");
    leader.stop().await;
}

/// Until twice as many renewals were granted as there are members: what their registration left
/// behind is done by then.
async fn renewed_by_all(simulated: &Members, members: u64) {
    let from = simulated.granted.load(Ordering::Relaxed);
    let enough = async {
        let mut every = tokio::time::interval(Duration::from_millis(50));
        while simulated.granted.load(Ordering::Relaxed) < from + 2 * members {
            every.tick().await;
        }
    };
    let enough = tokio::time::timeout(PATIENCE, enough).await;
    enough.expect("they are granted in the end");
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut report = Report::from_arguments();
    let (members, span) = if report.is_trial() {
        (8, Duration::from_millis(900))
    } else {
        (MEMBERS, SPAN)
    };
    runtime.block_on(measure(&mut report, members, span));
    report.verdict()
}
