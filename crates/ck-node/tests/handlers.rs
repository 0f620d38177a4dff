//! The application's handler: called, retried, contained.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ck_control::{BoxFuture, Copying, FencingToken, Handler, HandlerContext, HandlerError};
use ck_core::PartitionId;
use ck_node::NotOwner;
use parking_lot::Mutex;
use support::owners::{PARTITIONS, all_owned, cut_off, owners, partitions};
use support::{World, eventually, three_voters};

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

/// Copies slowly: says how far it is, and goes on when it is let.
struct Slow(tokio::sync::Semaphore);

impl Handler for Slow {
    fn prepare<'a>(
        &'a self,
        context: &'a dyn HandlerContext,
        _: Copying,
    ) -> BoxFuture<'a, Result<(), HandlerError>> {
        Box::pin(async move {
            context.progress(3, 8);
            self.0.acquire().await?.forget();
            Ok(())
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn how_far_a_copy_is_can_be_seen_from_every_node_and_limits_are_kept() {
    let world = World::new(39);
    let handles = world.cluster(3).await;
    let slow = Arc::new(Slow(tokio::sync::Semaphore::new(0)));
    let mut config = world.config(4, 1);
    config.handler = Arc::clone(&slow) as Arc<dyn Handler>;
    let fourth = world.start(4, config).await.unwrap();
    let copying = |handle: &ck_node::Handle| {
        let state = handle.state();
        let copies = state.transfers().filter(|one| one.is_copying());
        copies.map(|one| (one.done, one.total)).collect::<Vec<_>>()
    };
    for handle in &handles {
        eventually("two copies, each at three of eight", || {
            copying(handle) == [(3, 8), (3, 8)]
        })
        .await;
    }
    // However long it takes, there are no more than two at a time, and nothing is owned early.
    eventually("it has its share", || {
        slow.0.add_permits(1);
        assert!(copying(&handles[0]).len() <= 2);
        fourth.partitions_of("node-4").len() == 48
    })
    .await;
    eventually("the plan has ended", || {
        handles[0].state().rebalance().is_none()
    })
    .await;
}
