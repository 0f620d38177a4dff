//! Who may belong to a cluster, who waits, and who is turned away.

mod support;

use ck_node::{Handle, Phase, StartError};
use support::{World, eventually, remove_when_empty, three_voters};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wiped_disk_is_refused_until_the_node_is_removed() {
    let world = World::new(7);
    let mut handles = world.cluster(4).await;
    let number = 4;
    handles.pop().unwrap().stop().await;
    world.wipe(number).await;
    let wiped = world.start(number, world.config(number, 3)).await.unwrap();
    let ended = wiped.terminated().await;
    let failure = ended.failure.unwrap();
    assert!(failure.contains("ck remove node-4"), "{failure}");
    handles[0].remove("node-4".parse().unwrap()).await.unwrap();
    eventually("its partitions are elsewhere", || {
        handles[0].partitions_of("node-4").is_empty() && handles[0].nodes().len() == 3
    })
    .await;
    std::fs::remove_dir_all(world.data(number)).unwrap();
    let back = world.restart(number, world.config(number, 3)).await;
    eventually("it is a new member", || {
        back.member().is_some_and(|member| member.0 == 5)
    })
    .await;
    eventually("and gets its share", || {
        back.partitions_of("node-4").len() == 48
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_names_and_values_are_refused() {
    let world = World::new(9);
    let handles = world.cluster(3).await;
    let mut other_cluster = world.config(4, 3);
    other_cluster.cluster_name = "elsewhere".to_owned();
    let ended = world
        .start(4, other_cluster)
        .await
        .unwrap()
        .terminated()
        .await;
    let failure = ended.failure.unwrap();
    assert!(
        failure.contains("clusterkit") && failure.contains("elsewhere"),
        "{failure}"
    );

    let mut other_count = world.config(5, 3);
    other_count.choices.partitions = Some(128);
    let ended = world
        .start(5, other_count)
        .await
        .unwrap()
        .terminated()
        .await;
    let failure = ended.failure.unwrap();
    assert!(
        failure.contains("128") && failure.contains("64"),
        "{failure}"
    );

    // Another store under an id in use.
    let mut taken = world.config(6, 3);
    taken.node = "node-2".parse().unwrap();
    let ended = world.start(6, taken).await.unwrap().terminated().await;
    assert!(ended.failure.unwrap().contains("ck remove node-2"));
    assert_eq!(handles[0].nodes().len(), 3, "nothing of it was admitted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_few_nodes_is_an_answer_and_holds_nothing_up() {
    let world = World::new(10);
    let mut config = world.config(1, 1);
    config.choices.auto_create = Some(false);
    let first = world.start(1, config).await.unwrap();
    eventually("it leads", || first.status().session.is_some()).await;
    for _ in 0..3 {
        let refused = first.create_partitions().await.unwrap_err();
        assert_eq!(refused.code(), "too-few-nodes");
        assert!(
            refused.to_string().contains('1') && refused.to_string().contains('3'),
            "{refused}"
        );
    }
    first
        .set_custom("still", b"working".to_vec(), None)
        .await
        .unwrap();
    let second = world.start(2, world.config(2, 1)).await.unwrap();
    let third = world.start(3, world.config(3, 1)).await.unwrap();
    for handle in [&second, &third] {
        eventually("they join", || handle.status().session.is_some()).await;
    }
    assert!(third.create_partitions().await.unwrap());
    eventually("everybody sees it", || first.partitions().len() == 64).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_waits_for_the_others_and_says_for_whom() {
    let world = World::new(11);
    let first = world.start(1, world.config(1, 3)).await.unwrap();
    let second = world.start(2, world.config(2, 3)).await.unwrap();
    for handle in [&first, &second] {
        eventually("it says who is missing", || {
            matches!(handle.status().phase, Phase::Waiting { waiting_for }
                if waiting_for.contains("2 of 3 up") && waiting_for.contains("node-3:1"))
        })
        .await;
        let refused = handle.create_partitions().await.unwrap_err();
        assert_eq!(refused.code(), "not-formed");
    }
    let third = world.start(3, world.config(3, 3)).await.unwrap();
    for handle in [&first, &second, &third] {
        eventually("now it forms", || handle.unready().is_empty()).await;
    }
    assert_eq!(
        first.member().unwrap().0,
        1,
        "the smallest address formed it"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wiped_node_that_formed_a_cluster_of_its_own_ends_when_its_peers_find_it() {
    let world = World::new(14);
    let mut handles = world.cluster(3).await;
    three_voters(&handles).await;
    let leads = |handle: &Handle| {
        handle
            .leader()
            .is_some_and(|leader| leader.node == *handle.node_id())
    };
    let victim = handles.iter().position(|handle| !leads(handle)).unwrap();
    let number = victim + 1;
    handles.remove(victim).stop().await;
    world.wipe(number).await;
    let mut alone = world.config(number, 0);
    alone.choices.auto_create = Some(false);
    let wiped = world.start(number, alone).await.unwrap();
    let failure = wiped.terminated().await.failure.unwrap();
    let cluster = handles[0].state().formed().unwrap().cluster.to_string();
    assert!(
        failure.contains(&cluster) && failure.contains("ck remove"),
        "{failure}"
    );
    handles[0]
        .set_custom("unharmed", b"yes".to_vec(), None)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_removed_while_it_was_cut_off_finds_out_and_changes_nothing_more() {
    let world = World::new(16);
    let handles = world.cluster(3).await;
    let fourth = world.start(4, world.config(4, 1)).await.unwrap();
    eventually("it is a member", || fourth.status().session.is_some()).await;
    let (away, others) = (support::address(4), [1, 2, 3].map(support::address));
    world
        .network
        .partition(&[&away], &others.each_ref().map(String::as_str));
    handles[1].remove("node-4".parse().unwrap()).await.unwrap();
    eventually("the others no longer send it the log", || {
        handles[1].status().peers == 2
    })
    .await;
    world.network.heal_all();
    let (changed, ended) = tokio::join!(
        fourth.set_custom("from", b"a stranger".to_vec(), None),
        fourth.terminated()
    );
    assert!(ended.failure.unwrap().contains("removed from the cluster"));
    assert!(changed.is_err(), "{changed:?}");
    assert!(handles[0].custom("from").is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_node_finds_out_though_all_that_it_knew_were_replaced() {
    let world = World::new(29);
    let few = |number, initial| {
        let mut config = world.config(number, initial);
        config.choices.partitions = Some(4);
        config
    };
    let mut handles = Vec::new();
    for number in 1..=3 {
        handles.push(world.start(number, few(number, 3)).await.unwrap());
    }
    three_voters(&handles).await;
    handles.pop().unwrap().stop().await;
    remove_when_empty(&handles[0], "node-3").await;
    let newcomer = world.start(4, few(4, 1)).await.unwrap();
    eventually("it is a member", || newcomer.status().session.is_some()).await;
    let mut news = Vec::new();
    for (at, former) in handles.into_iter().enumerate() {
        let number = at + 1;
        remove_when_empty(&newcomer, &format!("node-{number}")).await;
        former.terminated().await;
        drop(former);
        world.wipe(number).await;
        let mut again = few(number, 0);
        again.join = vec![support::address(4)];
        let again = world.restart(number, again).await;
        eventually("it is a new member", || again.status().session.is_some()).await;
        news.push(again);
    }
    let back = world.restart(3, few(3, 1)).await;
    let ended = tokio::time::timeout(support::PATIENCE, back.terminated());
    let failure = ended.await.expect("it finds out").failure.unwrap();
    assert!(failure.contains("removed from the cluster"), "{failure}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_without_a_majority_says_that_it_is_not_ready() {
    let world = World::new(18);
    let handles = world.cluster(3).await;
    three_voters(&handles).await;
    let leader = handles[0].leader().unwrap().node;
    let at = handles
        .iter()
        .position(|handle| *handle.node_id() == leader)
        .unwrap()
        + 1;
    let others: Vec<String> = (1..=3).filter(|n| *n != at).map(support::address).collect();
    let cut = support::address(at);
    world.network.partition(
        &[&cut],
        &others.iter().map(String::as_str).collect::<Vec<_>>(),
    );
    eventually("it says so", || {
        handles[at - 1]
            .unready()
            .iter()
            .any(|reason| reason.contains("no majority"))
    })
    .await;
    world.network.heal_all();
    for handle in &handles {
        eventually("ready again", || handle.unready().is_empty()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_only_voter_is_not_removed() {
    let world = World::new(20);
    let mut handles = Vec::new();
    for number in 1..=2 {
        let mut config = world.config(number, 2);
        config.choices.replication_factor = Some(1);
        handles.push(world.start(number, config).await.unwrap());
    }
    for handle in &handles {
        eventually("every node is ready", || handle.unready().is_empty()).await;
    }
    assert_eq!(handles[0].status().voters.len(), 1);
    handles.pop().unwrap().stop().await;
    eventually("the other is stopped", || {
        handles[0].state().open_session_of("node-2").is_none()
    })
    .await;
    let refused = handles[0]
        .remove("node-1".parse().unwrap())
        .await
        .unwrap_err();
    assert_eq!(refused.code(), "last-voter", "{refused}");
    handles[0]
        .set_custom("still", b"committing".to_vec(), None)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_table_that_no_message_could_hold_is_refused_before_anything_is_made() {
    let world = World::new(22);
    let mut config = world.config(1, 1);
    config.choices.partitions = Some(1 << 24);
    let refused = world.start(1, config).await.unwrap_err();
    assert!(matches!(refused, StartError::Config(_)), "{refused}");
    assert!(
        refused.to_string().contains("payload_bytes_max"),
        "{refused}"
    );
    assert!(!world.data(1).exists());
}
