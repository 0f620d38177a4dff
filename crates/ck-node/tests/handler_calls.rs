//! Calls of the handler that take too long, are too many, or break when they are dropped.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use ck_control::{BoxFuture, FencingToken, Handler, HandlerContext, HandlerError};
use ck_node::{Config, Handle};
use support::owners::{PARTITIONS, all_owned, partitions};
use support::{World, eventually};

/// What one call of `become_primary` does.
#[derive(Default)]
struct Slow {
    hangs: AtomicBool,
    /// How many futures panic when they are dropped.
    bombs: AtomicU64,
    begun: AtomicUsize,
    running: AtomicUsize,
    most: AtomicUsize,
}

struct Bomb(bool);

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(!self.0, "the handler panics when it is dropped");
    }
}

impl Handler for Slow {
    fn become_primary<'a>(
        &'a self,
        context: &'a dyn HandlerContext,
        token: FencingToken,
    ) -> BoxFuture<'a, Result<(), HandlerError>> {
        Box::pin(async move {
            let one_less = |count: u64| count.checked_sub(1);
            let (set, fetch) = (Ordering::SeqCst, Ordering::SeqCst);
            let armed = self.bombs.fetch_update(set, fetch, one_less).is_ok();
            let _bomb = Bomb(armed);
            self.begun.fetch_add(1, Ordering::SeqCst);
            let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(running, Ordering::SeqCst);
            context.sleep(Duration::from_millis(2)).await;
            if self.hangs.load(Ordering::SeqCst) && token.partition.0 == 0 {
                std::future::pending::<()>().await;
            }
            self.running.fetch_sub(1, Ordering::SeqCst);
            Ok(())
        })
    }
}

async fn alone(world: &World, slow: &Arc<Slow>, spoil: impl FnOnce(&mut Config)) -> Handle {
    let mut config = world.config(1, 1);
    config.choices.replication_factor = Some(1);
    config.handler = Arc::clone(slow) as Arc<dyn Handler>;
    spoil(&mut config);
    world.start(1, config).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_become_primary_that_hangs_is_called_again_and_status_says_why() {
    let world = World::new(81);
    let slow = Arc::new(Slow::default());
    slow.hangs.store(true, Ordering::SeqCst);
    let limit = Duration::from_millis(200);
    let handle = alone(&world, &slow, |config| {
        config.handler_limits.become_primary = limit;
    })
    .await;
    let others = || partitions().skip(1).all(|one| handle.owns(one));
    eventually("the others are served", others).await;
    let session = handle.status().session;
    eventually("status says that it hangs, twice", || {
        let reports = handle.handler_reports();
        let report = reports.iter().find(|one| one.partition.0 == 0);
        report.is_some_and(|one| {
            one.call == "become-primary" && one.failures >= 2 && one.error.contains("200ms")
        })
    })
    .await;
    assert!(others() && handle.status().session == session);
    slow.hangs.store(false, Ordering::SeqCst);
    eventually("it is served", || all_owned(std::slice::from_ref(&handle))).await;
    assert_eq!(handle.handler_reports(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_future_that_panics_when_it_is_dropped_ends_its_call_and_is_tried_again() {
    let world = World::new(82);
    let slow = Arc::new(Slow::default());
    slow.bombs.store(10, Ordering::SeqCst);
    let handle = alone(&world, &slow, |_| {}).await;
    eventually("all are served", || {
        all_owned(std::slice::from_ref(&handle))
    })
    .await;
    assert_eq!(slow.bombs.load(Ordering::SeqCst), 0);
    let begun = slow.begun.load(Ordering::SeqCst);
    assert!(begun >= PARTITIONS as usize + 10, "{begun}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_calls_run_at_once_than_are_allowed() {
    let world = World::new(83);
    let slow = Arc::new(Slow::default());
    let handle = alone(&world, &slow, |config| {
        config.handler_limits.calls_max = 3;
    })
    .await;
    eventually("all are served", || {
        all_owned(std::slice::from_ref(&handle))
    })
    .await;
    assert_eq!(slow.most.load(Ordering::SeqCst), 3);
    let mut none = world.config(2, 1);
    none.handler_limits.calls_max = 0;
    let refused = world.start(2, none).await.unwrap_err();
    assert!(refused.to_string().contains("calls_max"), "{refused}");
}
