//! The seven hooks of the guide. Of the Go library's, three never fired and the reason was always
//! "rebalance" (the eighth fault of the list this project was founded on).

mod support;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use ck_control::PartitionState;
use ck_core::PartitionId;
use ck_node::{EventKind, Handle};
use support::{World, eventually, remove_when_empty, three_voters};

/// What a hook was told: what happened, why, and at which position of the log.
type Told = Arc<Mutex<Vec<(u64, &'static str, String)>>>;

/// The hook of that kind of event, as the guide names it, and its reason.
fn hook(kind: &EventKind) -> Option<(&'static str, String)> {
    Some(match kind {
        EventKind::PartitionChanged {
            partition, reason, ..
        } => ("partition-change", format!("{reason} {partition}")),
        EventKind::Joined { node, .. } => ("node-join", node.to_string()),
        EventKind::Rejoined { node, .. } => ("node-rejoin", node.to_string()),
        EventKind::Left { node, reason, .. } => ("node-leave", format!("{node} {reason}")),
        EventKind::RebalanceStarted { trigger, .. } => ("rebalance-start", trigger.to_string()),
        EventKind::RebalanceCompleted { trigger, .. } => {
            ("rebalance-complete", trigger.to_string())
        }
        EventKind::HealthChanged {
            node,
            healthy,
            status,
        } => ("health-change", format!("{node} {healthy} {status}")),
        _ => return None,
    })
}

fn listen(handle: &Handle) -> Told {
    let told = Told::default();
    let tells = Arc::clone(&told);
    handle.on_event(move |event| {
        if let Some((hook, reason)) = hook(&event.kind) {
            tells.lock().unwrap().push((event.position.0, hook, reason));
        }
    });
    told
}

fn is_calm(handle: &Handle, primaries: &[&str]) -> bool {
    let state = handle.state();
    (0..64).all(|one| state.partition_state(PartitionId(one)) == PartitionState::Stable)
        && state.rebalance().is_none()
        && primaries.iter().all(|node| {
            let rows = handle.partitions_of(node).into_iter();
            rows.count() > 0
        })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_seven_fire_on_every_node_once_and_say_why() {
    let world = World::new(21);
    let mut handles = world.cluster(3).await;
    three_voters(&handles).await;
    let told: Vec<Told> = handles[..2].iter().map(listen).collect();
    let fourth = world.start(4, world.config(4, 1)).await.unwrap();
    let all = ["node-1", "node-2", "node-3", "node-4"];
    eventually("it has its share", || {
        fourth.partitions_of("node-4").len() == 48 && is_calm(&handles[0], &all)
    })
    .await;
    // Away, and back.
    assert!(handles[2].stop().await);
    drop(handles.pop());
    let third = world.restart(3, world.config(3, 3)).await;
    eventually("it is back, with its roles", || {
        third.unready().is_empty() && is_calm(&third, &all)
    })
    .await;
    remove_when_empty(&handles[0], "node-4").await;
    let last = |told: &Told| {
        let told = told.lock().unwrap();
        told.iter().any(|(_, hook, _)| *hook == "node-leave")
    };
    eventually("all have heard of the end", || told.iter().all(last)).await;
    let heard: Vec<_> = told.iter().map(|one| one.lock().unwrap().clone()).collect();
    let until = |told: &[(u64, &'static str, String)]| {
        let end = told.iter().position(|(_, hook, _)| *hook == "node-leave");
        told[..=end.unwrap()].to_vec()
    };
    assert_eq!(until(&heard[0]), until(&heard[1]), "told alike, in order");
    let mut reasons: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (position, hook, reason) in &heard[0] {
        let same = (position, hook, reason);
        let times = heard[0]
            .iter()
            .filter(|(p, h, r)| (p, h, r) == same)
            .count();
        assert_eq!(times, 1, "told once: {same:?}");
        reasons.entry(hook).or_default().push(reason);
    }
    for (hook, reason) in [
        ("partition-change", "join "),
        ("partition-change", "drain "),
        ("node-join", "node-4"),
        ("node-rejoin", "node-3"),
        ("node-leave", "node-4 removed"),
        ("rebalance-start", "join"),
        ("rebalance-start", "drain"),
        ("rebalance-complete", "join"),
        ("rebalance-complete", "drain"),
        ("health-change", "node-3 false stopped"),
        ("health-change", "node-3 true active"),
    ] {
        let said = reasons.get(hook).map_or(&[][..], Vec::as_slice);
        let found = said.iter().any(|one| one.starts_with(reason));
        assert!(found, "{hook}: no {reason:?} in {said:?}");
    }
}
