//! Three nodes in one process, so that a copy can be brought where only a failure would bring it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ck_http::{Server, Surface, SurfaceConfig};
use ck_node::{
    Config, ConfigChoices, Epoch, FencingToken, Handle, Handler, Node, OnFatal, PartitionId,
    Profile,
};
use tempfile::TempDir;

use crate::answer::AnswerError;
use crate::http::problems;
use crate::kv::{Kv, KvConfig, Replication};
use crate::ops::{Condition, Consistency};
use crate::part::Serving;
use crate::record::{Effect, Record};
use crate::stamp::{Grant, Stamp};
use crate::store::Job;
use crate::wire::{Covered, Envelope, Fenced, Refused, Section, frame};

mod joining;

/// The only partition.
const P: PartitionId = PartitionId(0);

/// Most time anything may take, on a loaded machine.
const BOUND: Duration = Duration::from_secs(30);

struct Member {
    node: Handle,
    kv: Kv,
    _directory: TempDir,
}

async fn start(number: u8, join: Vec<String>) -> Member {
    start_with(number, join, |handler| handler).await
}

/// A node whose handler is the store's, with something around it.
async fn start_with(
    number: u8,
    join: Vec<String>,
    around: impl FnOnce(Arc<dyn Handler>) -> Arc<dyn Handler>,
) -> Member {
    let directory = tempfile::tempdir().unwrap();
    let kv = Kv::open(directory.path(), KvConfig::default()).unwrap();
    let server = Server::bind("127.0.0.1:0").await.unwrap();
    let id = format!("node-{number}").parse().unwrap();
    let mut config = Config::new(id, directory.path());
    config.http_address = server.local_address().to_string();
    config.join = join;
    config.handler = around(kv.handler());
    config.on_fatal = OnFatal::Report;
    config.choices = ConfigChoices {
        partitions: Some(1),
        replication_factor: Some(3),
        profile: Some(Profile::Fast),
        ..ConfigChoices::default()
    };
    let node = Node::start(config).await.unwrap();
    kv.attach(node.clone());
    let surface = Surface::new(SurfaceConfig::default(), Arc::new(node.clone())).unwrap();
    let server = server.with_routes(Arc::new(kv.clone()));
    tokio::spawn(server.run(surface, std::future::pending()));
    Member {
        node,
        kv,
        _directory: directory,
    }
}

async fn until<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let found = tokio::time::timeout(BOUND, async {
        loop {
            if let Some(found) = probe().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    found
        .await
        .unwrap_or_else(|_| panic!("not within {BOUND:?}: {what}"))
}

/// A cluster whose partition is served, with the primary first.
async fn cluster() -> Vec<Member> {
    let first = start(1, Vec::new()).await;
    let join = vec![first.node.peer_address()];
    cluster_of(first, join).await
}

async fn cluster_of(first: Member, join: Vec<String>) -> Vec<Member> {
    let mut members = vec![first, start(2, join.clone()).await, start(3, join).await];
    for member in &members {
        member.node.ready().await.unwrap();
    }
    let at = serving(&members).await;
    members.swap(0, at);
    members
}

/// Which of them serves.
async fn serving(members: &[Member]) -> usize {
    until("the partition is served", async || {
        members
            .iter()
            .position(|one| one.node.owns(P) && one.kv.core.part(P).lock().is_some())
    })
    .await
}

async fn put(member: &Member, key: &str, value: &str) -> Stamp {
    let effect = Effect::Put(Bytes::copy_from_slice(value.as_bytes()));
    let key = Bytes::copy_from_slice(key.as_bytes());
    let write = member
        .kv
        .core
        .write(P, key, effect, Condition::Always, None);
    write.await.unwrap()
}

fn record(after: Stamp, key: &str, effect: Effect) -> Arc<Record> {
    Arc::new(Record {
        stamp: Stamp {
            seq: after.seq + 1,
            ..after
        },
        key: Bytes::copy_from_slice(key.as_bytes()),
        effect,
    })
}

/// What only one copy was sent before its primary was lost.
async fn reach_one_copy(member: &Member, after: Stamp) -> Stamp {
    let value = |text: &'static str| Effect::Put(Bytes::from_static(text.as_bytes()));
    let first = record(after, "under-way", value("1"));
    let second = record(first.stamp, "before", Effect::Delete);
    let third = record(second.stamp, "under-way", value("2"));
    let last = third.stamp;
    let section = Section {
        partition: P.0,
        grant: after.grant,
        after,
        records: vec![first, second, third],
        stable: 0,
    };
    let received = member.kv.core.store.run(|reply| Job::Receive {
        sections: vec![section],
        reply,
    });
    received.await.unwrap().remove(0).unwrap();
    last
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_reached_one_copy_is_on_all_before_the_next_primary_serves() {
    let members = cluster().await;
    let last = put(&members[0], "before", "1").await;
    let ahead = reach_one_copy(&members[1], last).await;
    // Nobody else has it, and it was acknowledged to nobody.
    let position = |member: &Member| member.kv.core.store.meta(P.0).unwrap().unwrap().position;
    assert_eq!(position(&members[2]), last);
    members[0].node.stop().await;
    let left = &members[1..];
    let at = serving(left).await;
    for member in left {
        assert_eq!(position(member), ahead);
    }
    let core = &left[at].kv.core;
    let read = async |key: &'static [u8]| {
        let read = core.read(P, key, Consistency::Barrier, None).await;
        read.unwrap().map(|(_, value)| value)
    };
    assert_eq!(read(b"under-way").await, Some(Bytes::from_static(b"2")));
    assert_eq!(read(b"before").await, None);
    let next = put(&left[at], "after", "1").await;
    assert_eq!(next.seq, ahead.seq + 1);
    assert!(next.grant > ahead.grant);
    let figures = |member: &Member| member.kv.core.store.figures(P.0).unwrap();
    assert_eq!(figures(&left[0]), figures(&left[1]));
}

/// The primary that was paused comes back with a batch of its own grant: too late.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_of_an_earlier_grant_or_round_is_taken_by_no_copy() {
    let members = cluster().await;
    let last = put(&members[0], "a", "1").await;
    let token = members[0].node.acquire(P).unwrap().token();
    // Told to serve anew at the same epoch: another round.
    let core = &members[0].kv.core;
    core.become_primary(&members[0].node, token).await.unwrap();
    let effect = Effect::Put(Bytes::from_static(b"late"));
    let section = Section {
        partition: P.0,
        grant: last.grant,
        after: last,
        records: vec![record(last, "a", effect)],
        stable: 0,
    };
    for member in &members {
        let sections = vec![section.clone()];
        let received = member
            .kv
            .core
            .store
            .run(|reply| Job::Receive { sections, reply });
        let verdict = received.await.unwrap().remove(0);
        assert!(
            matches!(verdict, Err(Refused::Fenced { .. })),
            "{verdict:?}"
        );
    }
    // That the lease had lapsed is heard of only now, under the next one.
    core.lapsed(&core.served());
    let next = put(&members[0], "a", "2").await;
    assert_eq!(
        (next.seq, next.grant.round),
        (last.seq + 1, last.grant.round + 1)
    );
}

/// A copy that is not what it was must not pass for a full one, nor cost those that are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_lost_its_data_does_not_become_the_primary_and_takes_nobody_out() {
    let members = cluster().await;
    put(&members[0], "a", "1").await;
    put(&members[0], "b", "2").await;
    let token = members[0].node.acquire(P).unwrap().token();
    let partition = P.0;
    let core = &members[0].kv.core;
    // Every copy is known to have the records, so nobody keeps their places.
    until("the records are settled", async || {
        put(&members[0], "c", "3").await;
        let few = |member: &Member| {
            let meta = member.kv.core.store.meta(partition).ok()??;
            (meta.traces.len() <= 1).then_some(())
        };
        members
            .iter()
            .all(|member| few(member).is_some())
            .then_some(())
    })
    .await;
    while core
        .store
        .run(|reply| Job::Drop { partition, reply })
        .await
        .unwrap()
    {}
    let error = core
        .become_primary(&members[0].node, token)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("is not what it was"), "{error}");
    let state = members[0].node.state();
    assert_eq!(state.partition(P).unwrap().in_sync.len(), 3);
}

/// Two tasks take in the table, and the one with the older state comes last.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_state_takes_nothing_back_that_a_newer_one_has_said() {
    let first = start(1, Vec::new()).await;
    let alone = first.node.state();
    let join = vec![first.node.peer_address()];
    let members = cluster_of(first, join).await;
    let (node, core) = (&members[0].node, &members[0].kv.core);
    let older = node.state();
    let out = members[2].node.member().unwrap();
    // It cannot come in again.
    members[2].node.stop().await;
    until("the copy that is gone is out of sync", async || {
        let state = node.state();
        (!state.partition(P).unwrap().is_in_sync(out)).then_some(())
    })
    .await;
    let part = core.part(P);
    let in_sync = || part.lock().as_ref().map(|serving| serving.in_sync().0);
    core.reassess(node, &node.state());
    assert_eq!(in_sync(), Some(2));
    let peer = core.peer(out);
    core.reassess(node, &older);
    core.reassess(node, &alone);
    assert_eq!(in_sync(), Some(2));
    // Nor does a member that has joined since lose what is to be sent to it.
    assert!(Arc::ptr_eq(&peer, &core.peer(out)));
}

/// The request was let in at a grant, and gets its turn when there is another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_names_a_grant_is_done_at_no_later_one() {
    let members = cluster().await;
    let (node, core) = (&members[0].node, &members[0].kv.core);
    let present = node.acquire(P).unwrap().token();
    let epoch = Epoch(present.epoch.0 - 1);
    let ended = FencingToken { epoch, ..present };
    let write = async |key: &'static [u8], fence| {
        let effect = Effect::Put(Bytes::from_static(b"1"));
        let write = core.write(P, key.into(), effect, Condition::Absent, fence);
        write.await
    };
    let error = write(b"late", Some(ended)).await.unwrap_err();
    assert!(error.is_unapplied(), "{error}");
    let problem = problems::of(node, &error, Some(ended));
    assert_eq!((problem.status, &*problem.code), (409, "epoch-old"));
    let read = async |key: &'static [u8], fence| {
        let read = core.read(P, key, Consistency::Lease, fence).await;
        read.map(|found| found.is_some())
    };
    assert!(!read(b"late", None).await.unwrap());
    let error = read(b"late", Some(ended)).await.unwrap_err();
    assert_eq!(problems::of(node, &error, Some(ended)).status, 409);
    write(b"in-time", Some(present)).await.unwrap();
    assert!(read(b"in-time", Some(present)).await.unwrap());
}

/// From the first moment: a write that comes at once must not be taken on too few copies.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn how_many_copies_a_write_needs_is_known_as_soon_as_the_partition_is_served() {
    let members = cluster().await;
    let (node, part) = (&members[0].node, members[0].kv.core.part(P));
    let least = usize::from(node.state().config().min_in_sync);
    assert!(least > 1);
    let token = node.acquire(P).unwrap().token();
    let me = node.member().unwrap();
    let holder = node.state().partition(P).unwrap().holder.unwrap();
    let grant = Grant {
        incarnation: token.incarnation.0,
        epoch: token.epoch.0,
        round: u32::MAX,
    };
    let (session, at) = (holder.session, Stamp::ZERO);
    // Nobody else had answered, and all are in sync still by the table.
    let alone = Serving::new(grant, token, session, me, at, &[me], Replication::Sync);
    assert_eq!(alone.in_sync(), (1, 1));
    part.begin(alone, || node.state());
    let in_sync = part.lock().as_ref().map(Serving::in_sync);
    assert_eq!(in_sync, Some((3, least)));
}

/// A fence that nobody was granted would end the rounds of the one who was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fence_counts_only_from_whom_the_grant_is() {
    let members = cluster().await;
    let last = put(&members[0], "a", "1").await;
    let asked = members[1].node.member().unwrap();
    let fence = async |from: &Member, epoch, round| {
        let grant = Grant {
            epoch,
            round,
            ..last.grant
        };
        let partition = P.0;
        let core = &from.kv.core;
        let question = Fenced { partition, grant };
        let answer = core.ask(asked, question, BOUND).await;
        answer.unwrap().map(|standing| standing.position)
    };
    let epoch = last.grant.epoch;
    let refused = fence(&members[2], epoch, u32::MAX).await;
    assert_eq!(refused, Err(Refused::NotServing));
    let refused = fence(&members[2], epoch - 1, 1).await;
    assert!(
        matches!(refused, Err(Refused::Fenced { .. })),
        "{refused:?}"
    );
    let fenced = members[1].kv.core.store.meta(P.0).unwrap().unwrap().fence;
    assert_eq!(fenced, last.grant);
    // It goes on at its round, and may begin another.
    let next = put(&members[0], "a", "2").await;
    assert_eq!(next.grant, last.grant);
    let round = next.grant.round + 1;
    assert_eq!(fence(&members[0], epoch, round).await, Ok(next));
    // The table here may be behind that of whom it was granted to.
    assert_eq!(fence(&members[2], epoch + 1, 1).await, Ok(next));
    // Where nodes prove who they are, nobody asks in another's name.
    let state = members[0].node.state();
    let envelope = frame(&Envelope {
        cluster: state.formed().unwrap().cluster.0,
        from: members[0].node.member().unwrap().0,
        to: asked.0,
        content: Covered {
            partition: P.0,
            grant: next.grant,
        },
    });
    let core = &members[1].kv.core;
    let as_node = async |member: &Member| {
        let caller = Some(member.node.node_id());
        core.answer("covered", caller, envelope.clone()).await
    };
    assert!(as_node(&members[0]).await.is_ok());
    let refused = as_node(&members[2]).await.unwrap_err();
    assert!(matches!(refused, AnswerError::NotItsNumber { .. }));
}
