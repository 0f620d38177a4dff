//! What is asked, or was just changed, when the leader goes.

mod support;

use std::time::{Duration, Instant};

use ck_control::{ConfigChange, MemberChange, Profile};
use ck_node::OperationError;
use support::owners::{cut_off, leader_of};
use support::{World, eventually, three_voters};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operation_passed_on_to_a_leader_that_hangs_is_carried_out_by_the_next_one() {
    let world = World::new(91);
    let handles = world.cluster(3).await;
    three_voters(&handles).await;
    let leader = leader_of(&handles);
    let other = &handles[(leader + 1) % 3];
    // It takes what it is asked, and answers nothing any more.
    cut_off(&world, leader, 3);
    let began = Instant::now();
    let change = ConfigChange {
        settle_ms: Some(123),
        ..ConfigChange::default()
    };
    other.configure(change).await.unwrap();
    let took = began.elapsed();
    assert!(took < Duration::from_secs(6), "{took:?}");
    // Once more, for one that may not be done twice: whether it was is not known.
    world.network.heal_all();
    eventually("it follows", || {
        handles[leader].state().config().settle_ms == 123
    })
    .await;
    three_voters(&handles).await;
    let leader = leader_of(&handles);
    let other = &handles[(leader + 1) % 3];
    cut_off(&world, leader, 3);
    let began = Instant::now();
    let failed = other.set_custom("k", b"v".to_vec(), None).await;
    if let Err(failed) = failed {
        assert_eq!(failed.code(), "outcome-unknown", "{failed}");
    }
    let took = began.elapsed();
    assert!(took < Duration::from_secs(6), "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_weight_changed_right_before_the_leader_goes_is_planned_for_by_the_next_one() {
    let world = World::new(92);
    let mut handles = Vec::new();
    for number in 1..=3 {
        let mut config = world.config(number, 3);
        config.choices.replication_factor = Some(1);
        // Long enough that the first leader has not planned yet.
        config.choices.settle_ms = Some(1_500);
        handles.push(world.start(number, config).await.unwrap());
    }
    for handle in &handles {
        eventually("every node is ready", || handle.unready().is_empty()).await;
    }
    three_voters(&handles).await;
    let copies = |at: usize| {
        let node = handles[at].node_id().as_str();
        handles[at].partitions_of(node).len()
    };
    eventually("they share evenly", || {
        (0..3).all(|at| (21..=22).contains(&copies(at))) && handles[0].state().rebalance().is_none()
    })
    .await;
    let leader = leader_of(&handles);
    let heavy = (leader + 1) % 3;
    let name = handles[heavy].node_id().clone();
    let change = MemberChange {
        weight: Some(4),
        ..MemberChange::default()
    };
    handles[heavy].update(name.clone(), change).await.unwrap();
    let others: Vec<String> = (1..=3)
        .filter(|n| *n != leader + 1)
        .map(support::address)
        .collect();
    let others: Vec<&str> = others.iter().map(String::as_str).collect();
    world
        .network
        .partition(&[&support::address(leader + 1)], &others);
    let other = &handles[heavy];
    eventually("another leads", || {
        other
            .leader()
            .is_some_and(|now| now.node != *handles[leader].node_id())
    })
    .await;
    // It comes back, so that nothing else asks for a plan.
    world.network.heal_all();
    eventually("the heavier one has what its weight earns", || {
        (42..=44).contains(&copies(heavy))
    })
    .await;
}

/// Both directions between two nodes.
fn heal(world: &World, one: usize, other: usize) {
    let (one, other) = (support::address(one), support::address(other));
    world.network.heal(&one, &other);
    world.network.heal(&other, &one);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_lags_hears_a_leader_that_joined_meanwhile() {
    let world = World::new(94);
    let config = |number| {
        let mut config = world.config(number, 3);
        config.choices.voters = Some(5);
        config.choices.profile = Some(Profile::Fast);
        config
    };
    let mut handles = Vec::new();
    for number in 1..=3 {
        handles.push(world.start(number, config(number)).await.unwrap());
    }
    three_voters(&handles).await;
    eventually("the third knows the others", || {
        handles[2].state().members().len() == 3
    })
    .await;
    // The third is cut off, and two more join and vote; then the first two go.
    cut_off(&world, 2, 5);
    for number in 4..=5 {
        handles.push(world.start(number, config(number)).await.unwrap());
    }
    for at in [0, 1, 3, 4] {
        eventually("five voters", || {
            let status = handles[at].status();
            status.voters.len() == 5 && !status.joint
        })
        .await;
    }
    let (gone, staying) = ([1, 2].map(support::address), [4, 5].map(support::address));
    world.network.partition(
        &gone.each_ref().map(String::as_str),
        &staying.each_ref().map(String::as_str),
    );
    let third = &handles[2];
    assert_eq!(third.state().members().len(), 3, "it knows of neither");
    // Three of five voters: without the one that lags there is no majority.
    heal(&world, 3, 4);
    heal(&world, 3, 5);
    eventually("it knows of both", || third.state().members().len() == 5).await;
    // Who leads may change once more meanwhile, so that an outcome is not known; then it is said again.
    let committed = async {
        while let Err(error) = third
            .set_custom("still", b"committing".to_vec(), None)
            .await
        {
            assert!(matches!(error, OperationError::Unknown { .. }), "{error}");
        }
    };
    let committed = tokio::time::timeout(support::PATIENCE, committed);
    committed.await.expect("it commits");
}
