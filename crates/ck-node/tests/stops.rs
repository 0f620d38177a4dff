//! Planned stops of all nodes, where what they acknowledged is on no disk but by a clean stop.

mod support;

use std::sync::Arc;

use ck_control::Profile;
use ck_node::{Bind, Config, Handle, Node, StartError, StoreError};
use ck_transport::TransportError;
use support::owners::all_owned;
use support::{World, eventually, three_voters};

fn volatile(world: &World, number: usize) -> Config {
    let mut config = world.config(number, 3);
    config.durable = false;
    config.choices.profile = Some(Profile::Fast);
    config
}

async fn start_all(world: &World) -> Vec<Handle> {
    let mut handles = Vec::new();
    for number in 1..=3 {
        handles.push(world.restart(number, volatile(world, number)).await);
    }
    handles
}

async fn served(handles: &[Handle]) {
    for handle in handles {
        eventually("every node is ready", || handle.unready().is_empty()).await;
    }
    eventually("every partition is served", || all_owned(handles)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_stop_of_one_after_the_other_every_partition_is_served_without_an_order() {
    let world = World::new(71);
    let handles = start_all(&world).await;
    served(&handles).await;
    three_voters(&handles).await;
    let mut committed = Vec::new();
    for handle in handles {
        committed.push(handle.stop().await);
    }
    assert_eq!(
        committed,
        [true, true, false],
        "the last one has no majority"
    );
    let handles = start_all(&world).await;
    served(&handles).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_stop_of_all_at_once_every_partition_is_served_without_an_order() {
    let world = World::new(72);
    let handles = start_all(&world).await;
    served(&handles).await;
    three_voters(&handles).await;
    // Nobody reaches anybody: no stop is committed.
    let address = [1, 2, 3].map(support::address);
    for [one, other] in [[0, 1], [1, 2], [2, 0]] {
        world
            .network
            .partition(&[&address[one]], &[&address[other]]);
    }
    let [first, second, third] = <[Handle; 3]>::try_from(handles).unwrap();
    let committed = tokio::join!(first.stop(), second.stop(), third.stop());
    assert_eq!(committed, (false, false, false));
    drop((first, second, third));
    world.network.heal_all();
    let handles = start_all(&world).await;
    served(&handles).await;
    // And again: the marks of the first time are gone by now.
    let [first, second, third] = <[Handle; 3]>::try_from(handles).unwrap();
    tokio::join!(first.stop(), second.stop(), third.stop());
    drop((first, second, third));
    served(&start_all(&world).await).await;
}

/// All three have started, served, and were stopped one after the other.
async fn all_stopped(world: &World) {
    let handles = start_all(world).await;
    served(&handles).await;
    three_voters(&handles).await;
    for handle in handles {
        handle.stop().await;
    }
}

/// A start whose address is taken.
async fn start_in_vain(world: &World, number: usize) {
    loop {
        let bind: Bind = Box::new(|_, _| {
            Box::pin(async {
                Err(TransportError::Bind {
                    address: "node:1".to_owned(),
                    source: Arc::new(std::io::ErrorKind::AddrInUse.into()),
                })
            })
        });
        match Node::start_with(volatile(world, number), bind).await {
            Err(StartError::Transport(_)) => return,
            // The one before is letting go of it.
            Err(StartError::Store(StoreError::Locked { .. })) => tokio::task::yield_now().await,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_cannot_listen_does_not_use_a_stop_up() {
    let world = World::new(73);
    all_stopped(&world).await;
    for number in 1..=3 {
        start_in_vain(&world, number).await;
        start_in_vain(&world, number).await;
    }
    served(&start_all(&world).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_never_had_a_session_and_is_stopped_passes_the_stop_on() {
    let world = World::new(74);
    all_stopped(&world).await;
    for number in [1, 2, 3, 3] {
        let alone = world.restart(number, volatile(&world, number)).await;
        assert!(!alone.stop().await, "it had no majority, and no session");
    }
    served(&start_all(&world).await).await;
}
