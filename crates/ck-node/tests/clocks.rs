//! The clock that leases are counted on, when it misbehaves.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use ck_control::Time;
use ck_core::PartitionId;
use ck_node::{BootClock, Clock};
use support::owners::{all_owned, cut_off, owners, partitions};
use support::{World, eventually, three_voters};

/// The real clock, moved, or broken once.
#[derive(Default)]
struct Hands {
    back_ns: AtomicU64,
    breaks: AtomicBool,
}

struct Watch(Arc<Hands>);

impl Clock for Watch {
    fn now(&self) -> Time {
        let broken = self.0.breaks.swap(false, Ordering::SeqCst);
        assert!(!broken, "the clock broke");
        let back = self.0.back_ns.load(Ordering::SeqCst);
        Time(BootClock.now().0.saturating_sub(back))
    }
}

const P: PartitionId = PartitionId(0);

async fn owner(world: &World, hands: &Arc<Hands>) -> ck_node::Handle {
    let mut config = world.config(1, 1);
    config.choices.replication_factor = Some(1);
    config.clock = Arc::new(Watch(Arc::clone(hands)));
    let handle = world.start(1, config).await.unwrap();
    eventually("it is owned", || handle.owns(P)).await;
    handle
}

/// The store's lock goes with the loop, and whoever holds it next counts this process as dead.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_control_loop_that_dies_takes_every_right_with_it() {
    let world = World::new(41);
    let hands = Arc::new(Hands::default());
    let handle = owner(&world, &hands).await;
    let own = handle.acquire(P).unwrap();
    drop(own.check().unwrap());
    hands.breaks.store(true, Ordering::SeqCst);
    let ended = handle.terminated().await;
    let failure = ended.failure.unwrap();
    assert!(failure.contains("the control loop has died"), "{failure}");
    assert!(own.check().is_err());
    assert!(!handle.owns(P));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_goes_back_owns_nothing_until_a_renewal_was_answered_again() {
    let world = World::new(42);
    let hands = Arc::new(Hands::default());
    let handle = owner(&world, &hands).await;
    let own = handle.acquire(P).unwrap();
    hands.back_ns.store(500_000_000, Ordering::SeqCst);
    eventually("nothing is owned", || !handle.owns(P)).await;
    assert!(own.check().is_err());
    // It catches up by itself, within half a second.
    eventually("it is owned again", || handle.owns(P)).await;
    assert!(
        own.check().is_ok(),
        "the session went on, and so did the grant"
    );
    assert!(handle.stop().await);
}

/// The lease of before may have been another's end by then: a clock that has caught up revives it
/// for nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_has_caught_up_does_not_revive_the_lease_of_before() {
    let world = World::new(43);
    let hands = Arc::new(Hands::default());
    let mut handles = Vec::new();
    for number in 1..=3 {
        let mut config = world.config(number, 3);
        if number == 3 {
            config.clock = Arc::new(Watch(Arc::clone(&hands)));
        }
        handles.push(world.start(number, config).await.unwrap());
    }
    three_voters(&handles).await;
    eventually("all are owned", || all_owned(&handles)).await;
    cut_off(&world, 2, 3);
    hands.back_ns.store(1_000_000_000, Ordering::SeqCst);
    let third = &handles[2];
    eventually("nothing is owned", || {
        partitions().all(|one| !third.owns(one))
    })
    .await;
    eventually("others own all", || {
        assert!(partitions().all(|one| !third.owns(one)), "it was revived");
        partitions().all(|one| owners(&handles[..2], one).len() == 1)
    })
    .await;
}
