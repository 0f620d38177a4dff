//! Nodes that were away for longer than the log reaches, and networks that lose and delay.

mod support;

use std::time::Duration;

use ck_core::Version;
use ck_node::{Config, Next, Phase};
use ck_transport::Faults;
use support::{World, eventually};

fn short_log(world: &World, number: usize, initial: usize) -> Config {
    let mut config = world.config(number, initial);
    config.snapshot_every = 100;
    config
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_behind_the_log_takes_a_snapshot() {
    let world = World::new(21);
    let mut handles = Vec::new();
    for number in 1..=3 {
        handles.push(
            world
                .start(number, short_log(&world, number, 3))
                .await
                .unwrap(),
        );
    }
    for handle in &handles {
        eventually("every node is ready", || handle.unready().is_empty()).await;
    }
    handles.pop().unwrap().stop().await;
    for number in 0..450_u32 {
        let key = format!("key-{}", number % 50);
        handles[0]
            .set_custom(key, number.to_le_bytes().to_vec(), None)
            .await
            .unwrap();
    }
    eventually("the log was cut", || {
        handles[0].status().snapshot_index > 300
    })
    .await;
    let third = world.restart(3, short_log(&world, 3, 3)).await;
    let mut events = third.events();
    eventually("it has the last value", || {
        third
            .custom("key-49")
            .is_some_and(|(value, _)| *value == 449_u32.to_le_bytes())
    })
    .await;
    let mut skipped = false;
    while let Ok(Some(next)) = tokio::time::timeout(Duration::from_millis(50), events.next()).await
    {
        skipped |= matches!(next, Next::Skipped { .. });
    }
    assert!(
        skipped,
        "the stream says that a snapshot took the place of events"
    );
    eventually("its state is the others'", || {
        let (ours, theirs) = (third.state(), handles[0].state());
        ours.applied() == theirs.applied() && ours == theirs
    })
    .await;
    // From its own disk alone, the snapshot and the log behind it give the same state.
    let before = third.state();
    third.stop().await;
    drop(third);
    for handle in &handles {
        handle.stop().await;
    }
    let alone = world.restart(3, short_log(&world, 3, 3)).await;
    eventually("it has its own state back without the others", || {
        alone.state().applied() >= before.applied()
    })
    .await;
    assert_eq!(alone.partitions().len(), 64, "it still routes");
    assert!(matches!(alone.status().phase, Phase::Member));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_values_reach_every_node_and_new_ones() {
    let world = World::new(22);
    let handles = world.cluster(3).await;
    let value = vec![0xab; 1 << 20];
    for number in 0..12 {
        handles[number % 3]
            .set_custom(format!("large-{number}"), value.clone(), None)
            .await
            .unwrap();
    }
    let refused = handles[0]
        .set_custom("too-large", vec![0; (1 << 20) + 1], None)
        .await;
    assert_eq!(refused.unwrap_err().code(), "length");
    let fourth = world.start(4, world.config(4, 1)).await.unwrap();
    for handle in handles.iter().chain([&fourth]) {
        eventually("all values are there", || handle.custom_keys().len() == 12).await;
        assert_eq!(handle.custom("large-11").unwrap().0.len(), 1 << 20);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_and_late_messages_delay_but_lose_nothing() {
    let world = World::new(23);
    let mut handles = Vec::new();
    for number in 1..=3 {
        let mut config = world.config(number, 3);
        // A lost message is noticed by its deadline alone.
        config.operation_timeout = Duration::from_secs(2);
        handles.push(world.start(number, config).await.unwrap());
    }
    for handle in &handles {
        eventually("every node is ready", || handle.unready().is_empty()).await;
    }
    world.network.set_faults(Faults {
        loss: 0.02,
        duplication: 0.02,
        delay: Duration::from_millis(1)..=Duration::from_millis(15),
        ..Faults::default()
    });
    let mut written = Vec::new();
    for number in 0..60_u64 {
        let key = format!("key-{number}");
        let value = number.to_le_bytes().to_vec();
        if handles[(number % 3) as usize]
            .set_custom(key.clone(), value, Some(Version(0)))
            .await
            .is_ok()
        {
            written.push((key, number));
        }
    }
    assert!(
        written.len() > 30,
        "most of it goes through: {}",
        written.len()
    );
    world.network.set_faults(Faults::default());
    for handle in &handles {
        for (key, number) in &written {
            eventually("what was acknowledged is everywhere", || {
                handle
                    .custom(key)
                    .is_some_and(|(value, _)| *value == number.to_le_bytes())
            })
            .await;
        }
    }
    eventually("all agree", || {
        let states: Vec<_> = handles.iter().map(ck_node::Handle::state).collect();
        states[0] == states[1] && states[1] == states[2]
    })
    .await;
}
