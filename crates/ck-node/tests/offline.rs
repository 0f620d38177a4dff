//! Data directories made while no node runs.

mod support;

use std::time::Duration;

use ck_node::offline::{OfflineError, Survivor};
use ck_node::{Backup, Incarnation, NodeId, OperationError, offline};
use support::{World, eventually};

fn node(number: usize) -> NodeId {
    format!("node-{number}").parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_founder_that_awaits_the_log_forms_nothing_of_its_own() {
    let world = World::new(3);
    let handles = world.cluster(3).await;
    let bytes = Backup::encode(&handles[2].state(), node(3), 0).unwrap();
    let backup = Backup::decode(&bytes).unwrap();
    // New disks on a network of their own: those of before are not heard.
    let world = World::new(4);
    let begun = offline::restore(&backup, &node(2), &world.data(2), None, true)
        .await
        .unwrap();
    offline::restore_into(&backup, &node(1), &world.data(1), begun.cluster)
        .await
        .unwrap();
    let config = |number: usize| {
        let mut config = world.config(number, 3);
        config.operation_timeout = Duration::from_secs(1);
        config
    };
    let first = world.start(1, config(1)).await.unwrap();
    // As long as nobody has sent it the log, it decides nothing.
    let refused = first.set_custom("mine", b"x".to_vec(), None).await;
    assert!(
        matches!(refused, Err(OperationError::NoLeader { .. })),
        "{refused:?}"
    );
    assert!(first.status().voters.is_empty());

    let second = world.start(2, config(2)).await.unwrap();
    for handle in [&first, &second] {
        eventually("both are of the new incarnation", || {
            let state = handle.state();
            state.incarnation() == begun.incarnation
                && state.sessions().len() == 2
                && state
                    .formed()
                    .is_some_and(|one| one.cluster == begun.cluster)
        })
        .await;
    }
    first.set_custom("ours", b"x".to_vec(), None).await.unwrap();
}

/// The directories of three nodes that have ended.
async fn three_stopped(world: &World) {
    let handles = world.cluster(3).await;
    for handle in &handles {
        handle.stop().await;
    }
    drop(handles);
    for number in 1..=3 {
        let file = world.data(number).join("node.redb");
        eventually("the store is let go of", || {
            std::fs::File::open(&file).unwrap().try_lock().is_ok()
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn survivors_that_both_begin_anew_have_tokens_of_different_incarnations() {
    let world = World::new(5);
    three_stopped(&world).await;
    let [first, second] = [1, 2].map(|number| Survivor::open(&world.data(number)).unwrap());
    // Within one second, and with one number asked for.
    for wanted in [None, Some(Incarnation(1 << 50))] {
        let [one, other] = [&first, &second].map(|one| one.plan(&[], wanted).unwrap());
        assert_ne!(one.cluster, other.cluster);
        assert_ne!(one.incarnation, other.incarnation);
        let before = first.state().incarnation();
        assert!(one.incarnation > before && other.incarnation > before);
        let least = wanted.unwrap_or_default();
        assert!(one.incarnation >= least && other.incarnation >= least);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_survivor_that_is_not_kept_is_refused_and_does_not_wait_for_a_log_for_ever() {
    let world = World::new(6);
    three_stopped(&world).await;
    let [first, second] = [1, 2].map(|number| Survivor::open(&world.data(number)).unwrap());
    let anew = first.plan(&[node(3)], None).unwrap();
    let cluster = anew.cluster;
    first.begin(&anew).await.unwrap();
    let refused = second.follow(cluster, &[node(3)]).await.unwrap_err();
    let said = refused.to_string();
    assert!(matches!(refused, OfflineError::NotKept { .. }), "{said}");
    for part in [
        "node-2",
        "node-3",
        "empty data directory",
        &cluster.to_string(),
    ] {
        assert!(said.contains(part), "{part:?}: {said}");
    }
    // Whoever says that it stays, though it does not, hears so from the first one.
    let second = Survivor::open(&world.data(2)).unwrap();
    assert_ne!(second.cluster(), cluster, "it was left as it was");
    second.follow(cluster, &[node(2)]).await.unwrap();
    let begun = world.start(1, world.config(1, 3)).await.unwrap();
    eventually("it leads", || begun.leader().is_some()).await;
    let waits = world.start(2, world.config(2, 3)).await.unwrap();
    let ended = waits.terminated().await.failure.unwrap();
    assert!(ended.contains("removed from the cluster"), "{ended}");
    assert!(ended.contains("empty data directory"), "{ended}");
}
