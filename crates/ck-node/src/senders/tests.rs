//! Who is heard, and who speaks for whom, on nodes that trust each other's word.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ck_control::MemberNumber;
use ck_transport::{
    Address, BoxFuture, MemoryNetwork, MemoryTransport, PeerId, Reply, Request, Service,
    ServiceError, Transport, TransportError,
};

use crate::consensus::tests::{candidacy, heartbeat};
use crate::wire::{Forward, Forwarded, kind, refusal};
use crate::{Config, Handle, JoinRequest, Node, OnFatal, Operation, OperationError};
use crate::{codec, secret::Secret};
use crate::{forming, relay};

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
    let me = identity(of, node, member, store);
    network.join("elsewhere:9", me, Arc::new(Deaf))
}

fn identity(of: &Handle, node: &str, member: Option<u64>, store: u128) -> PeerId {
    let cluster = of.state().formed().unwrap().cluster;
    PeerId {
        node: node.parse().unwrap(),
        member,
        store,
        cluster: Some(ck_transport::ClusterId(cluster.0)),
        cluster_name: "clusterkit".to_owned(),
    }
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

/// Consensus messages of each kind that would begin a term, in the name of `member`.
fn takeovers(member: u64) -> [(u16, Vec<u8>); 3] {
    [
        (kind::VOTE, candidacy(member, FAR_TERM)),
        (kind::APPEND, heartbeat(member, FAR_TERM)),
        // Refused before it is read.
        (kind::SNAPSHOT, heartbeat(member, FAR_TERM)),
    ]
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
    for (member, store) in [
        // The number of another, with its own store and with that one's.
        (second, own),
        (second, store),
        // A number that nobody has.
        (newest + 7, own),
        // Its own number, with another store.
        (fourth, store),
    ] {
        let asking = speaks(member, store);
        for (kind, payload) in takeovers(member) {
            let code = refused(&asking, kind, payload).await;
            assert_eq!(code, Some(refusal::STRANGER), "{member} {kind}");
        }
    }
    let asking = speaks(fourth, own);
    for (kind, payload) in takeovers(second).into_iter().take(2) {
        let code = refused(&asking, kind, payload).await;
        assert_eq!(code, Some(refusal::STRANGER), "it speaks as another");
    }
    let garbage = refused(&asking, kind::VOTE, vec![0xff]).await;
    assert_eq!(
        garbage,
        Some(refusal::MALFORMED),
        "under its own it is heard"
    );
    asking.identify(PeerId {
        cluster: None,
        ..identity(&handles[0], "node-4", Some(fourth), own)
    });
    let nowhere = refused(&asking, kind::VOTE, candidacy(fourth, FAR_TERM)).await;
    assert_eq!(nowhere, Some(refusal::STRANGER), "it is of no cluster");
    assert!(handles[0].status().term < FAR_TERM);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_removed_is_heard_no_more_and_begins_no_term() {
    let directory = tempfile::tempdir().unwrap();
    let network = MemoryNetwork::new(45);
    let handles = cluster(&network, directory.path(), 4).await;
    let state = handles[0].state();
    let fourth = state.member_by_node("node-4").unwrap();
    let (number, own) = (fourth.number, fourth.store.0);
    loop {
        match handles[1].remove("node-4".parse().unwrap()).await {
            Ok(()) => break,
            Err(OperationError::Draining { copies, .. }) => assert!(copies > 0),
            Err(source) => panic!("{source}"),
        }
    }
    let first = handles[0].shared();
    let asking = speaker(&network, &handles[0], "node-4", Some(number.0), own);
    let refuses = async || {
        for (kind, payload) in takeovers(number.0).into_iter().take(2) {
            let code = refused(&asking, kind, payload).await;
            assert_eq!(code, Some(refusal::STRANGER), "{kind}");
        }
    };
    eventually("it votes no more", || {
        let gone = first.state().is_removed(number);
        gone && !first.status().voters.contains(&number)
    })
    .await;
    // The log is still sent to it, so that it hears of it.
    refuses().await;
    eventually("the log of the first has it no more", || {
        !first.status().members.contains(&number)
    })
    .await;
    refuses().await;
    // Not even where nobody else is heard, and a number that is not known yet is.
    network.partition(&["node-1:1"], &["node-2:1", "node-3:1"]);
    let unknown = speaker(&network, &handles[0], "node-4", Some(number.0 + 7), own);
    eventually_heard(&unknown).await;
    let asking = speaker(&network, &handles[0], "node-4", Some(number.0), own);
    for (kind, payload) in takeovers(number.0) {
        let code = refused(&asking, kind, payload).await;
        assert_eq!(code, Some(refusal::STRANGER), "{kind}");
    }
    let term = handles[0].status().term;
    assert!(term < FAR_TERM, "its term counted: {term}");
}

/// Waits until it is heard: malformed is what it is only then.
async fn eventually_heard(asking: &MemoryTransport) {
    let started = tokio::time::Instant::now();
    while refused(asking, kind::APPEND, vec![0xff]).await != Some(refusal::MALFORMED) {
        assert!(started.elapsed() < PATIENCE, "it is not heard");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_node_at_a_members_address_is_not_taken_for_it() {
    let directory = tempfile::tempdir().unwrap();
    let network = MemoryNetwork::new(46);
    let mut handles = cluster(&network, directory.path(), 3).await;
    let second = handles.remove(1);
    let me = second.shared().peer_id();
    second.stop().await;
    let impostor = PeerId {
        node: "node-9".parse().unwrap(),
        ..me.clone()
    };
    let _there = network.join("node-2:1", impostor, Arc::new(Deaf));
    let state = handles[0].state();
    let member = state.member(MemberNumber(me.member.unwrap())).unwrap();
    let (to, hello) = (relay::address_of(member), vec![0xff]);
    let call =
        handles[0]
            .shared()
            .transport()
            .call(&to, Request::new(kind::HELLO, hello), PATIENCE);
    let refused = call.await.unwrap_err();
    assert!(
        matches!(&refused, TransportError::WrongNode { expected, got, .. }
            if expected.as_str() == "node-2" && got.as_str() == "node-9"),
        "{refused}"
    );
    let asked = forming::hello(handles[0].shared(), &to).await.unwrap_err();
    assert!(
        asked.contains("node-2") && asked.contains("node-9"),
        "{asked}"
    );
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
    eventually_heard(&asking).await;
    network.heal_all();
    let started = tokio::time::Instant::now();
    while garbage().await != Some(refusal::STRANGER) {
        assert!(started.elapsed() < PATIENCE, "it is not in contact again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
