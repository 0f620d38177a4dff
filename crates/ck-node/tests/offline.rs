//! Data directories made while no node runs.

mod support;

use std::time::Duration;

use ck_node::{Backup, NodeId, OperationError, offline};
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
