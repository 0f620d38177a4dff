//! Who is heard, and who speaks for whom.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ck_control::MemberNumber;
use ck_transport::{
    Address, BoxFuture, MemoryNetwork, MemoryTransport, PeerId, Reply, Request, Service,
    ServiceError, Transport, TransportError,
};

use crate::consensus::tests::candidacy;
use crate::wire::{Forward, Forwarded, kind, refusal};
use crate::{Config, Handle, JoinRequest, Node, OnFatal, Operation, OperationError};
use crate::{codec, secret::Secret};

const PATIENCE: Duration = Duration::from_secs(30);

/// A term that no election here reaches by itself.
const FAR_TERM: u64 = 1_000_000;

/// Who only asks.
struct Deaf;

impl Service for Deaf {
    fn handle(&self, _: PeerId, _: Request) -> BoxFuture<'static, Result<Reply, ServiceError>> {
        Box::pin(async { Err(ServiceError::new(refusal::KIND, "deaf")) })
    }
}

async fn start(network: &Arc<MemoryNetwork>, directory: &Path, number: usize) -> Handle {
    let name = format!("node-{number}");
    let mut config = Config::new(name.parse().unwrap(), directory.join(&name));
    config.join = (1..=3).map(|number| format!("node-{number}:1")).collect();
    config.on_fatal = OnFatal::Report;
    config.pace.clean_up = Duration::from_millis(100);
    config.choices.settle_ms = Some(100);
    let (network, at) = (Arc::clone(network), format!("{name}:1"));
    let bind: crate::Bind = Box::new(move |me, service| {
        Box::pin(async move {
            let transport = network.join(at.clone(), me, service);
            Ok((transport as Arc<dyn Transport>, at))
        })
    });
    Node::start_with(config, bind).await.unwrap()
}

async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let started = tokio::time::Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn cluster(network: &Arc<MemoryNetwork>, directory: &Path, count: usize) -> Vec<Handle> {
    let mut handles = Vec::new();
    for number in 1..=count {
        handles.push(start(network, directory, number).await);
    }
    for handle in &handles {
        eventually("every node is ready", || handle.unready().is_empty()).await;
    }
    handles
}

/// A process that says it is `node`, and member `member` of the cluster, with the store of `like`.
fn speaker(
    network: &Arc<MemoryNetwork>,
    of: &Handle,
    node: &str,
    member: Option<u64>,
    store: u128,
) -> Arc<MemoryTransport> {
    let cluster = of.state().formed().unwrap().cluster;
    let me = PeerId {
        node: node.parse().unwrap(),
        member,
        store,
        cluster: Some(ck_transport::ClusterId(cluster.0)),
        cluster_name: "clusterkit".to_owned(),
    };
    network.join("elsewhere:9", me, Arc::new(Deaf))
}

/// The code of the refusal, or none.
async fn refused(asking: &MemoryTransport, kind: u16, payload: Vec<u8>) -> Option<u16> {
    let to = Address::anyone("node-1:1");
    match asking
        .call(&to, Request::new(kind, payload), PATIENCE)
        .await
    {
        Ok(_) => None,
        Err(TransportError::Refused { code, .. }) => Some(code),
        Err(source) => panic!("{source}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_is_heard_under_its_own_number_alone_and_for_itself() {
    let directory = tempfile::tempdir().unwrap();
    let network = MemoryNetwork::new(41);
    let handles = cluster(&network, directory.path(), 4).await;
    let state = handles[0].state();
    let of = |node: &str| {
        let member = state.member_by_node(node).unwrap();
        (member.number.0, member.store.0)
    };
    let ((second, store), (fourth, own)) = (of("node-2"), of("node-4"));
    let newest = state.members().map(|member| member.number.0).max().unwrap();
    let speaks = |member, store| speaker(&network, &handles[0], "node-4", Some(member), store);
    let term = || handles[0].status().term;
    let before = term();
    for (member, store, speaks_for) in [
        // The number and the store of another.
        (second, store, second),
        // A number that nobody has.
        (newest + 7, own, newest + 7),
        // Its own number, in the name of another.
        (fourth, own, second),
    ] {
        let asking = speaks(member, store);
        for kind in [kind::APPEND, kind::VOTE, kind::SNAPSHOT] {
            if speaks_for != member && kind != kind::VOTE {
                continue;
            }
            let code = refused(&asking, kind, candidacy(speaks_for, FAR_TERM)).await;
            assert_eq!(code, Some(refusal::STRANGER), "{member} {kind}");
        }
    }
    let garbage = refused(&speaks(fourth, own), kind::VOTE, vec![0xff]).await;
    assert_eq!(
        garbage,
        Some(refusal::MALFORMED),
        "under its own it is heard"
    );

    loop {
        match handles[1].remove("node-4".parse().unwrap()).await {
            Ok(()) => break,
            Err(OperationError::Draining { copies, .. }) => assert!(copies > 0),
            Err(source) => panic!("{source}"),
        }
    }
    eventually("neither state nor log of the first has it", || {
        let node = handles[0].shared();
        let members = node.status().members;
        node.state().member_by_node("node-4").is_none() && !members.contains(&MemberNumber(fourth))
    })
    .await;
    let code = refused(
        &speaks(fourth, own),
        kind::VOTE,
        candidacy(fourth, FAR_TERM),
    )
    .await;
    assert_eq!(code, Some(refusal::STRANGER), "it was removed");
    // Not even where nobody else is heard, and a number that is not known yet is.
    network.partition(&["node-1:1"], &["node-2:1", "node-3:1"]);
    let started = tokio::time::Instant::now();
    let unknown = || async { refused(&speaks(newest + 7, own), kind::VOTE, vec![0xff]).await };
    while unknown().await != Some(refusal::MALFORMED) {
        assert!(started.elapsed() < PATIENCE, "it stays deaf");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let code = refused(&speaks(fourth, own), kind::VOTE, vec![0xff]).await;
    assert_eq!(code, Some(refusal::STRANGER), "it was removed");
    assert!(term() < before + 1_000, "nobody's term counted: {}", term());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_opens_the_session_of_another() {
    let directory = tempfile::tempdir().unwrap();
    let network = MemoryNetwork::new(42);
    let handles = cluster(&network, directory.path(), 3).await;
    let other = handles[1].shared().request(None, None);
    let asked = |operation, relayed| {
        let forward = Forward {
            operation,
            actor: "node-4".to_owned(),
            relayed,
        };
        codec::encode(&forward).unwrap()
    };
    let asking = speaker(&network, &handles[0], "node-4", None, 4);
    let mut announced: JoinRequest = other.clone();
    announced.itself.as_mut().unwrap().secret = Some(Secret::new("any"));
    for operation in [
        Operation::Register(announced.clone()),
        Operation::Join(announced.clone()),
        Operation::Join(JoinRequest {
            itself: None,
            ..announced
        }),
    ] {
        for relayed in [false, true] {
            let to = Address::anyone("node-1:1");
            let request = Request::new(kind::OPERATE, asked(operation.clone(), relayed));
            let (_, reply) = asking.call(&to, request, PATIENCE).await.unwrap();
            let done: Forwarded = codec::decode(&reply.payload).unwrap();
            let Err(OperationError::NoLeader { reason, .. }) = done else {
                panic!("{operation:?}: {done:?}");
            };
            assert!(reason.contains("node-4"), "{reason}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_hears_none_it_knows_hears_a_leader_it_does_not_know_yet() {
    let directory = tempfile::tempdir().unwrap();
    let network = MemoryNetwork::new(43);
    let handles = cluster(&network, directory.path(), 3).await;
    let asking = speaker(&network, &handles[0], "node-9", Some(99), 9);
    let garbage = || refused(&asking, kind::APPEND, vec![0xff]);
    assert_eq!(garbage().await, Some(refusal::STRANGER));
    network.partition(&["node-1:1"], &["node-2:1", "node-3:1"]);
    let started = tokio::time::Instant::now();
    // Malformed is what it is only once it is heard.
    while garbage().await != Some(refusal::MALFORMED) {
        assert!(started.elapsed() < PATIENCE, "it stays deaf");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    network.heal_all();
    while garbage().await != Some(refusal::STRANGER) {
        assert!(started.elapsed() < PATIENCE, "it is not in contact again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
