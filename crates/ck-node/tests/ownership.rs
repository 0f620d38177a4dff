//! Who may act: leases, failover, handoff and handlers, on real nodes and a network in memory.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ck_control::{
    BoxFuture, Copying, FencingToken, Handler, HandlerContext, HandlerError, PartitionState,
};
use ck_core::PartitionId;
use ck_node::{Handle, NotOwner};
use parking_lot::Mutex;
use support::{World, eventually, three_voters};

const PARTITIONS: u32 = 64;

fn partitions() -> impl Iterator<Item = PartitionId> {
    (0..PARTITIONS).map(PartitionId)
}

/// Everybody that owns a partition at this instant, as far as one look after the other can tell:
/// no more than one of them is right, and a later one has the higher epoch.
fn owners(handles: &[Handle], partition: PartitionId) -> Vec<(usize, u64)> {
    let own = |(at, handle): (usize, &Handle)| {
        let own = handle.acquire(partition).ok()?;
        let proof = own.check().ok()?;
        Some((at, proof.token().epoch.0))
    };
    handles.iter().enumerate().filter_map(own).collect()
}

fn all_owned(handles: &[Handle]) -> bool {
    partitions().all(|partition| owners(handles, partition).len() == 1)
}

/// Watches from a thread of its own whether two nodes ever hold a proof of one partition at once.
struct Watch {
    over: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<(u64, Vec<String>)>>,
}

impl Watch {
    fn begin(handles: &[Handle]) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let (ends, handles) = (Arc::clone(&over), handles.to_vec());
        let thread = std::thread::spawn(move || {
            let (mut looks, mut overlaps) = (0, Vec::new());
            while !ends.load(Ordering::SeqCst) {
                for partition in partitions() {
                    looks += 1;
                    // Proofs that are held together were valid together: the first one was
                    // checked, and then the second while its node still vouched for the first.
                    let owned: Vec<_> = handles
                        .iter()
                        .filter_map(|handle| handle.acquire(partition).ok())
                        .collect();
                    let proofs: Vec<_> = owned.iter().filter_map(|own| own.check().ok()).collect();
                    let still = owned.iter().filter(|own| own.check().is_ok()).count();
                    if proofs.len() > 1 && still > 1 {
                        overlaps.push(format!("{partition}: {proofs:?}"));
                    }
                }
            }
            (looks, overlaps)
        });
        Self {
            over,
            thread: Some(thread),
        }
    }

    fn end(mut self) -> u64 {
        self.over.store(true, Ordering::SeqCst);
        let (looks, overlaps) = self.thread.take().unwrap().join().unwrap();
        assert!(overlaps.is_empty(), "{overlaps:?}");
        looks
    }
}

fn leader_of(handles: &[Handle]) -> usize {
    let leader = handles.iter().find_map(Handle::leader).unwrap().node;
    handles
        .iter()
        .position(|handle| *handle.node_id() == leader)
        .unwrap()
}

fn cut_off(world: &World, at: usize, of: usize) {
    let others: Vec<String> = (1..=of)
        .filter(|n| *n != at + 1)
        .map(support::address)
        .collect();
    let others: Vec<&str> = others.iter().map(String::as_str).collect();
    world
        .network
        .partition(&[&support::address(at + 1)], &others);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_partition_is_owned_by_its_primary_and_by_nobody_else() {
    let world = World::new(30);
    let handles = world.cluster(3).await;
    eventually("all are owned", || all_owned(&handles)).await;
    for partition in partitions() {
        let [(at, _)] = owners(&handles, partition)[..] else {
            panic!("one owner")
        };
        assert_eq!(
            handles[at].primary(partition).as_ref(),
            Some(handles[at].node_id())
        );
        assert!(handles[at].owns(partition));
        let other = &handles[(at + 1) % 3];
        assert!(!other.owns(partition));
        assert_eq!(
            other.acquire(partition).unwrap_err(),
            NotOwner::Elsewhere {
                partition,
                primary: Some(handles[at].node_id().clone()),
            }
        );
    }
    let owned = handles[0].owned().await.unwrap();
    assert!(owned.lease_remaining > Duration::ZERO);
    assert_eq!(owned.session, handles[0].status().session);
    assert!(
        owned
            .tokens
            .iter()
            .all(|token| handles[0].owns(token.partition))
    );
    assert!((21..=22).contains(&owned.tokens.len()));
    let unknown = handles[0].acquire(PartitionId(PARTITIONS)).unwrap_err();
    assert!(matches!(
        unknown,
        NotOwner::Unknown {
            partitions: PARTITIONS,
            ..
        }
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_off_minority_drops_every_claim_before_others_take_over_and_comes_back() {
    let world = World::new(31);
    let handles = world.cluster(3).await;
    three_voters(&handles).await;
    eventually("all are owned", || all_owned(&handles)).await;
    for round in 0..2 {
        // Once a follower, once the leader.
        let leader = leader_of(&handles);
        let at = if round == 0 { (leader + 1) % 3 } else { leader };
        let held: Vec<_> = partitions().filter(|one| handles[at].owns(*one)).collect();
        assert!(!held.is_empty());
        let watch = Watch::begin(&handles);
        cut_off(&world, at, 3);
        let began = Instant::now();
        eventually("others own what it had", || {
            held.iter().all(|partition| {
                let owners = owners(&handles, *partition);
                owners.len() == 1 && owners[0].0 != at
            })
        })
        .await;
        let took = began.elapsed();
        assert!(
            took > Duration::from_millis(1_500),
            "no lease was waited for: {took:?}"
        );
        assert!(held.iter().all(|one| !handles[at].owns(*one)));
        assert!(watch.end() > 1_000);
        world.network.heal_all();
        eventually("it is back, in sync and with roles", || {
            let state = handles[at].state();
            handles[at].unready().is_empty()
                && partitions().all(|one| state.partition_state(one) == PartitionState::Stable)
                && partitions().any(|one| handles[at].owns(one))
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_hands_every_role_over_without_waiting_for_a_lease() {
    let world = World::new(32);
    let handles = world.cluster(3).await;
    three_voters(&handles).await;
    eventually("all are owned", || all_owned(&handles)).await;
    let at = (leader_of(&handles) + 1) % 3;
    let held: Vec<_> = partitions().filter(|one| handles[at].owns(*one)).collect();
    let watch = Watch::begin(&handles);
    let mut longest = Duration::ZERO;
    let stopping = handles[at].clone();
    let stop = tokio::spawn(async move { stopping.stop().await });
    let mut unowned: BTreeMap<PartitionId, Instant> = BTreeMap::new();
    while !stop.is_finished() {
        for partition in &held {
            if owners(&handles, *partition).is_empty() {
                unowned.entry(*partition).or_insert_with(Instant::now);
            } else if let Some(since) = unowned.remove(partition) {
                longest = longest.max(since.elapsed());
            }
        }
        tokio::task::yield_now().await;
    }
    assert!(stop.await.unwrap(), "the end of the session is committed");
    eventually("the others own them", || {
        held.iter().all(|one| !owners(&handles, *one).is_empty())
    })
    .await;
    assert!(watch.end() > 1_000);
    // A lease is 2 s: far from waited for, however loaded the machine is.
    assert!(
        longest < Duration::from_millis(1_500),
        "{longest:?} without an owner"
    );
    println!(
        "longest without an owner: {longest:?}, {} handed over",
        held.len()
    );
}

/// A proof that is held keeps the role where it is; once dropped, the role goes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_is_not_given_up_while_a_proof_is_held() {
    let world = World::new(33);
    let handles = world.cluster(3).await;
    three_voters(&handles).await;
    eventually("all are owned", || all_owned(&handles)).await;
    let at = (leader_of(&handles) + 1) % 3;
    let partition = partitions().find(|one| handles[at].owns(*one)).unwrap();
    let own = handles[at].acquire(partition).unwrap();
    let proof = own.check().unwrap();
    let stopping = handles[at].clone();
    let stop = tokio::spawn(async move { stopping.stop().await });
    eventually("its gate is shut", || own.check().is_err()).await;
    eventually("the other roles have gone", || {
        partitions()
            .filter(|one| *one != partition)
            .all(|one| !handles[at].owns(one))
    })
    .await;
    let elsewhere = |handles: &[Handle]| {
        owners(handles, partition)
            .iter()
            .any(|(owner, _)| *owner != at)
    };
    assert!(!elsewhere(&handles), "an effect may be under way");
    let epoch = proof.token().epoch;
    drop(proof);
    eventually("the role has gone", || elsewhere(&handles)).await;
    assert!(stop.await.unwrap());
    let [(_, next)] = owners(&handles, partition)[..] else {
        panic!("one owner")
    };
    assert!(next > epoch.0);
}

/// What a handler does wrong, and what it was called with.
#[derive(Default)]
struct Clumsy {
    errs: AtomicU64,
    panics: AtomicU64,
    hangs: AtomicBool,
    lost: AtomicU64,
    primary: Mutex<BTreeMap<PartitionId, FencingToken>>,
    prepared: AtomicU64,
}

/// Whether one more is due.
fn next(left: &AtomicU64) -> bool {
    let one_less = |count: u64| count.checked_sub(1);
    left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less)
        .is_ok()
}

impl Handler for Clumsy {
    fn prepare<'a>(
        &'a self,
        context: &'a dyn HandlerContext,
        copying: Copying,
    ) -> BoxFuture<'a, Result<(), HandlerError>> {
        Box::pin(async move {
            assert!(!copying.source.as_str().is_empty());
            context.progress(1, 2);
            self.prepared.fetch_add(1, Ordering::SeqCst);
            Ok(())
        })
    }

    fn become_primary<'a>(
        &'a self,
        context: &'a dyn HandlerContext,
        token: FencingToken,
    ) -> BoxFuture<'a, Result<(), HandlerError>> {
        assert!(
            !next(&self.panics),
            "the handler panics before it returns a future"
        );
        Box::pin(async move {
            if next(&self.errs) {
                return Err("the disk is full".into());
            }
            if self.hangs.load(Ordering::SeqCst) && token.partition.0.is_multiple_of(2) {
                context.cancelled().await;
                std::future::pending::<()>().await;
            }
            self.primary.lock().insert(token.partition, token);
            Ok(())
        })
    }

    fn lease_lost<'a>(&'a self, _: &'a dyn HandlerContext) -> BoxFuture<'a, ()> {
        self.lost.fetch_add(1, Ordering::SeqCst);
        Box::pin(std::future::ready(()))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_errs_or_panics_is_tried_again_and_status_says_why() {
    let world = World::new(34);
    let clumsy = Arc::new(Clumsy::default());
    clumsy.errs.store(40, Ordering::SeqCst);
    clumsy.panics.store(3, Ordering::SeqCst);
    let mut config = world.config(1, 1);
    config.choices.replication_factor = Some(1);
    config.handler = Arc::clone(&clumsy) as Arc<dyn Handler>;
    let handle = world.start(1, config).await.unwrap();
    let failed = |wanted: &str| {
        let reports = handle.handler_reports();
        reports
            .iter()
            .any(|report| report.call == "become-primary" && report.error.contains(wanted))
    };
    eventually("status shows what failed", || failed("the disk is full")).await;
    let handles = [handle.clone()];
    eventually("all are owned", || all_owned(&handles)).await;
    assert_eq!(clumsy.primary.lock().len(), PARTITIONS as usize);
    assert_eq!(
        clumsy.lost.load(Ordering::SeqCst),
        0,
        "it never cost the lease"
    );
    assert_eq!(handle.handler_reports(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_hangs_keeps_its_own_partitions_from_being_served_and_no_others() {
    let world = World::new(35);
    let clumsy = Arc::new(Clumsy::default());
    clumsy.hangs.store(true, Ordering::SeqCst);
    let mut config = world.config(1, 1);
    config.choices.replication_factor = Some(1);
    config.handler = Arc::clone(&clumsy) as Arc<dyn Handler>;
    let handle = world.start(1, config).await.unwrap();
    eventually("the odd ones are served", || {
        partitions().all(|one| one.0.is_multiple_of(2) || handle.owns(one))
    })
    .await;
    let began = Instant::now();
    let session = handle.status().session;
    while began.elapsed() < Duration::from_secs(5) {
        assert!(partitions().all(|one| handle.owns(one) != one.0.is_multiple_of(2)));
        tokio::task::yield_now().await;
    }
    assert_eq!(
        handle.status().session,
        session,
        "a hanging handler costs no session"
    );
    assert_eq!(
        handle.acquire(PartitionId(0)).unwrap_err(),
        NotOwner::Moving {
            partition: PartitionId(0)
        }
    );
    assert!(handle.handler_reports().iter().all(|report| report.running));
    // A stop does not wait for it either.
    assert!(
        tokio::time::timeout(Duration::from_secs(5), handle.stop())
            .await
            .unwrap()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lapsed_lease_is_told_and_what_was_held_is_granted_anew() {
    let world = World::new(36);
    let clumsy = Arc::new(Clumsy::default());
    let mut handles = Vec::new();
    for number in 1..=3 {
        let mut config = world.config(number, 3);
        if number == 3 {
            config.handler = Arc::clone(&clumsy) as Arc<dyn Handler>;
        }
        handles.push(world.start(number, config).await.unwrap());
    }
    eventually("all are owned", || all_owned(&handles)).await;
    three_voters(&handles).await;
    let before = clumsy.primary.lock().clone();
    let prepared = clumsy.prepared.load(Ordering::SeqCst);
    cut_off(&world, 2, 3);
    eventually("it is told", || clumsy.lost.load(Ordering::SeqCst) == 1).await;
    eventually("others own all", || {
        partitions().all(|one| owners(&handles[..2], one).len() == 1)
    })
    .await;
    world.network.heal_all();
    eventually("it has roles again", || {
        partitions().any(|one| handles[2].owns(one))
    })
    .await;
    let prepared = clumsy.prepared.load(Ordering::SeqCst) - prepared;
    assert!(prepared > 0, "it was brought up to date first");
    let after = clumsy.primary.lock().clone();
    for (partition, token) in &after {
        let earlier = before.get(partition).map_or(0, |token| token.epoch.0);
        assert!(token.epoch.0 >= earlier, "epochs never fall");
    }
    for one in partitions().filter(|one| handles[2].owns(*one)) {
        let now = handles[2].acquire(one).unwrap().token();
        assert!(before.get(&one).is_none_or(|token| token.epoch < now.epoch));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_majority_a_node_boots_and_routes_from_its_disk_and_owns_nothing() {
    let world = World::new(37);
    let handles = world.cluster(3).await;
    three_voters(&handles).await;
    let rows = handles[0].partitions();
    for handle in &handles {
        handle.stop().await;
    }
    drop(handles);
    let alone = world.restart(2, world.config(2, 3)).await;
    eventually("it routes", || alone.partitions().len() == rows.len()).await;
    let copies =
        |rows: &[ck_node::Partition]| rows.iter().map(|row| row.replicas.len()).sum::<usize>();
    assert_eq!(copies(&alone.partitions()), copies(&rows));
    assert!(alone.partition_for_key(b"user:1001").is_some());
    assert!(!alone.unready().is_empty());
    assert!(partitions().all(|one| !alone.owns(one)));
    assert!(alone.owned().await.unwrap().tokens.is_empty());
}
