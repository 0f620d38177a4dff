//! Nodes that form, join, stop, come back and leave, on a network in memory.

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use ck_control::{MemberChange, PartitionState};
use ck_core::{NodeId, PartitionId, Version};
use ck_node::{EventKind, Handle, Next, OperationError};
use support::{World, address, eventually, remove_when_empty, three_voters};

fn rows(handle: &Handle) -> Vec<ck_node::Partition> {
    handle.partitions()
}

/// Who holds a copy of each partition, whoever leads it.
fn copies(handle: &Handle) -> Vec<BTreeSet<NodeId>> {
    let nodes = |row: ck_node::Partition| row.primary.into_iter().chain(row.replicas).collect();
    rows(handle).into_iter().map(nodes).collect()
}

/// Whether three nodes lead 64 partitions as evenly as can be.
fn is_balanced(handle: &Handle) -> bool {
    let counts = handle.distribution();
    counts
        .primaries
        .values()
        .all(|count| [21, 22].contains(count))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_form_one_cluster_and_agree() {
    let world = World::new(1);
    let handles = world.cluster(3).await;
    let clusters: BTreeSet<_> = handles
        .iter()
        .map(|h| h.state().formed().unwrap().cluster)
        .collect();
    assert_eq!(clusters.len(), 1);
    for handle in &handles {
        eventually("all see three sessions", || {
            handle
                .nodes()
                .iter()
                .filter(|member| member.session.is_some())
                .count()
                == 3
        })
        .await;
        assert_eq!(rows(handle), rows(&handles[0]));
        assert_eq!(handle.partitions().len(), 64);
        for partition in handle.partitions() {
            assert_eq!(partition.replicas.len(), 2, "{partition:?}");
        }
        let (of_key, first) = (handle.partition_for_key(b"user:1001"), &handles[0]);
        assert_eq!(of_key, first.partition_for_key(b"user:1001"));
        assert!(
            handle
                .distribution()
                .primaries
                .values()
                .all(|count| (21..=22).contains(count))
        );
    }
    three_voters(&handles).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_node_joins_and_gets_its_share() {
    let world = World::new(2);
    let handles = world.cluster(3).await;
    let fourth = world.start(4, world.config(4, 1)).await.unwrap();
    eventually("the fourth holds its share", || {
        fourth.partitions_of("node-4").len() == 48
    })
    .await;
    eventually("everybody leads as many", || {
        let counts = handles[0].distribution();
        counts.primaries.values().all(|count| *count == 16)
    })
    .await;
    eventually("a learner, not a fourth voter", || {
        let status = fourth.status();
        status.voters.len() == 3 && status.peers == 3
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operations_work_through_any_node() {
    let world = World::new(3);
    let handles = world.cluster(3).await;
    for (at, handle) in handles.iter().enumerate() {
        let key = format!("key-{at}");
        let version = handle
            .set_custom(key.clone(), vec![at as u8], Some(Version(0)))
            .await
            .unwrap();
        for other in &handles {
            eventually("the value is everywhere", || {
                other
                    .custom(&key)
                    .is_some_and(|(value, at)| value.len() == 1 && at == version)
            })
            .await;
        }
        let again = handle
            .set_custom(key.clone(), vec![9], Some(Version(0)))
            .await;
        assert!(
            matches!(again, Err(OperationError::Rejected(_))),
            "{again:?}"
        );
        assert!(!handle.create_partitions().await.unwrap());
        let plan = handle.rebalance(false).await.unwrap();
        assert!(
            !plan.applied && plan.copies_moved == 0,
            "nothing has changed"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_node_comes_back_with_its_data() {
    let world = World::new(4);
    let handles = world.cluster(3).await;
    let before = copies(&handles[0]);
    handles[1]
        .set_custom("kept", b"value".to_vec(), None)
        .await
        .unwrap();
    assert!(
        handles[2].stop().await,
        "the end of the session is committed"
    );
    eventually("its session has ended", || {
        handles[0].state().open_session_of("node-3").is_none()
    })
    .await;
    handles[0]
        .set_custom("meanwhile", b"written".to_vec(), None)
        .await
        .unwrap();
    let mut handles = handles;
    drop(handles.pop());
    let third = world.restart(3, world.config(3, 3)).await;
    eventually("it is ready", || third.unready().is_empty()).await;
    eventually("it has what was written while it was away", || {
        third.custom("meanwhile").is_some()
    })
    .await;
    eventually("everything is as it should be, its roles are back", || {
        let stable =
            |one| third.state().partition_state(PartitionId(one)) == PartitionState::Stable;
        (0..64).all(stable) && is_balanced(&third)
    })
    .await;
    assert_eq!(copies(&third), before, "a restart copies nothing");
    assert_eq!(
        third.state().member_by_node("node-3").unwrap().generation.0,
        2
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_stopped_and_started_again_have_the_same_table() {
    let world = World::new(5);
    let handles = world.cluster(3).await;
    let before = copies(&handles[0]);
    let cluster = handles[0].state().formed().unwrap().cluster;
    for handle in &handles {
        handle.stop().await;
    }
    drop(handles);
    let mut handles = Vec::new();
    for number in 1..=3 {
        handles.push(world.restart(number, world.config(number, 3)).await);
    }
    for handle in &handles {
        eventually("ready again", || handle.unready().is_empty()).await;
        eventually("the roles are spread again", || is_balanced(handle)).await;
        assert_eq!(copies(handle), before);
        assert_eq!(handle.state().formed().unwrap().cluster, cluster);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_off_leader_is_replaced_and_the_others_commit() {
    let world = World::new(6);
    let handles = world.cluster(3).await;
    three_voters(&handles).await;
    let leader = handles[0].leader().unwrap().node;
    let at = handles
        .iter()
        .position(|handle| *handle.node_id() == leader)
        .unwrap();
    let others: Vec<&Handle> = handles
        .iter()
        .filter(|handle| *handle.node_id() != leader)
        .collect();
    let names: Vec<String> = (1..=3)
        .filter(|number| *number != at + 1)
        .map(address)
        .collect();
    let cut = address(at + 1);
    world.network.partition(
        &[&cut],
        &names.iter().map(String::as_str).collect::<Vec<_>>(),
    );
    eventually("another one leads", || {
        others
            .iter()
            .all(|h| h.status().leader.is_some_and(|l| l != leader))
    })
    .await;
    others[0]
        .set_custom("after", b"the cut".to_vec(), None)
        .await
        .unwrap();
    assert!(handles[at].custom("after").is_none());
    world.network.heal_all();
    eventually("the old leader follows", || {
        handles[at].custom("after").is_some()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_leader_ends_and_the_others_go_on() {
    let world = World::new(8);
    let handles = world.cluster(3).await;
    three_voters(&handles).await;
    let leader = handles[0].leader().unwrap().node;
    let (gone, stay): (Vec<&Handle>, Vec<&Handle>) = handles
        .iter()
        .partition(|handle| *handle.node_id() == leader);
    support::remove_when_empty(stay[0], leader.as_str()).await;
    let ended = gone[0].terminated().await;
    assert!(ended.failure.unwrap().contains("removed from the cluster"));
    for handle in &stay {
        eventually("the others lead and commit", || {
            handle.status().leader.is_some_and(|now| now != leader) && handle.nodes().len() == 2
        })
        .await;
        assert!(
            handle
                .partitions()
                .iter()
                .all(|partition| partition.primary.is_some())
        );
    }
    stay[1]
        .set_custom("still", b"committing".to_vec(), None)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_node_tells_each_event_once() {
    let world = World::new(12);
    let handles = world.cluster(3).await;
    let mut streams: Vec<_> = handles.iter().map(Handle::events).collect();
    let fourth = world.start(4, world.config(4, 1)).await.unwrap();
    eventually("it has its share", || {
        fourth.partitions_of("node-4").len() == 48
    })
    .await;
    remove_when_empty(&handles[0], "node-4").await;
    for stream in &mut streams {
        let (mut joined, mut started, mut completed, mut moved) = (0, 0, 0, 0);
        loop {
            let next = tokio::time::timeout(Duration::from_secs(20), stream.next()).await;
            let Next::Event(event) = next.unwrap().unwrap() else {
                panic!("nothing is missed")
            };
            match &event.kind {
                EventKind::Joined {
                    node,
                    cluster_size,
                    founder,
                    ..
                } => {
                    assert_eq!(
                        (node.as_str(), *cluster_size, *founder),
                        ("node-4", 4, false)
                    );
                    joined += 1;
                }
                EventKind::RebalanceStarted { .. } => started += 1,
                EventKind::RebalanceCompleted { .. } => completed += 1,
                EventKind::PartitionChanged {
                    copy_from, copy_to, ..
                } => {
                    assert!(copy_to.is_empty() || !copy_from.is_empty());
                    moved += 1;
                }
                EventKind::Left { node, .. } => {
                    assert_eq!(node.as_str(), "node-4");
                    break;
                }
                _ => {}
            }
        }
        assert_eq!((joined, started, completed), (1, 2, 2));
        assert!(moved >= 96, "{moved}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_weight_changed_while_running_outlasts_a_restart() {
    let world = World::new(13);
    let mut handles = world.cluster(3).await;
    let node: ck_core::NodeId = "node-3".parse().unwrap();
    let change = MemberChange {
        weight: Some(5),
        ..MemberChange::default()
    };
    handles[0].update(node.clone(), change).await.unwrap();
    handles.pop().unwrap().stop().await;
    let third = world.restart(3, world.config(3, 3)).await;
    eventually("it is ready", || third.unready().is_empty()).await;
    assert_eq!(third.state().member_by_node("node-3").unwrap().weight, 5);
    let mut config = world.config(3, 3);
    config.weight = Some(2);
    third.stop().await;
    drop(third);
    let third = world.restart(3, config).await;
    eventually("it is ready", || third.unready().is_empty()).await;
    assert_eq!(
        third.state().member_by_node("node-3").unwrap().weight,
        2,
        "what it says counts"
    );
}
