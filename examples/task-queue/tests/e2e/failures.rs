//! Nodes that are killed while tasks are on their way.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::support::{BOUND, Client, Cluster, Crowd, Told, wait_for};

const VISIBILITY_MS: u32 = 2_000;

#[test]
fn nothing_that_was_taken_is_lost_when_a_primary_is_killed() {
    let mut cluster = Cluster::ready(3);
    let mut client = cluster.client();
    // Leased before its primary dies, acknowledged by the same receipt after.
    let key = cluster.key_at(1, true);
    client.enqueue("before", &format!("key={key}"), b"x");
    let task = client.lease_one("before", "");
    let crowd = Crowd::start(&client, 2, 3, VISIBILITY_MS);
    crowd.wait_for_more(60);
    cluster.nodes[1].kill();
    let mut others = Client::of(vec![cluster.nodes[0].http, cluster.nodes[2].http]);
    let path = format!("/tasks/{}/ack?receipt={}", task.task, task.receipt);
    let said = others.follow("POST", &path, &[], b"");
    assert!(said.is_ok(), "{said:?}");
    crowd.wait_for_more(60);
    cluster.nodes[1].start();
    crowd.wait_for_more(60);
    let told = crowd.finish();
    assert_at_least_once(&told);
    cluster.wait_until_serving();
    assert_eq!(client.counts("crowd"), [0, 0, 0, 0]);
    assert_eq!(client.counts("before"), [0, 0, 0, 0]);
}

/// A primary that sleeps is replaced. When it wakes it has the tasks in memory as they were, and gives
/// none of them to anybody.
#[test]
fn a_primary_that_slept_gives_out_nothing_twice() {
    let cluster = Cluster::ready(3);
    let others: Vec<_> = [0, 2].map(|at: usize| cluster.nodes[at].http).to_vec();
    let crowd = Crowd::start(&Client::of(others.clone()), 2, 3, VISIBILITY_MS);
    crowd.wait_for_more(40);
    let key = cluster.key_at(1, true);
    cluster.nodes[1].signal("STOP");
    let path = format!("/queues/asleep?key={key}");
    let mut client = Client::of(others);
    let taken = wait_for("another node serves", BOUND, || {
        // Who asks the sleeper does not learn what becomes of it.
        client.follow("POST", &path, &[], b"x").ok()
    });
    cluster.nodes[1].signal("CONT");
    // Asked first of all, before it has learnt what it missed, perhaps.
    let mut sleeper = Client::of(vec![cluster.nodes[1].http]);
    let lease = "/queues/crowd/lease?max=1&visibility_ms=2000";
    let woken = sleeper.follow("POST", lease, &[], b"");
    assert!(woken.is_ok(), "{woken:?}");
    assert_eq!(taken.status, 201);
    crowd.wait_for_more(40);
    let told = crowd.finish();
    assert_at_least_once(&told);
    cluster.wait_until_serving();
    let [ready, _, leased, _] = client.counts("asleep");
    assert!(ready >= 1 && leased == 0, "{ready} ready, {leased} leased");
}

/// Every task that was taken was delivered and acknowledged, and a second time only after its lease
/// had run out.
fn assert_at_least_once(told: &Told) {
    let visibility = Duration::from_millis(VISIBILITY_MS.into());
    let mut again = 0;
    for (payload, task) in &told.enqueued {
        let deliveries = &told.delivered[payload];
        let tasks: BTreeSet<_> = deliveries.iter().map(|one| &one.task).collect();
        // One enqueue, repeated or not, is one task.
        assert_eq!(tasks, BTreeSet::from([task]), "{payload}");
        let mut in_order = deliveries.clone();
        in_order.sort_by_key(|one| one.came);
        for pair in in_order.windows(2) {
            let apart = pair[1].came.duration_since(pair[0].asked);
            assert!(apart >= visibility, "{payload}: {apart:?} apart: {pair:?}");
            assert_ne!(pair[0].receipt, pair[1].receipt);
            again += 1;
        }
        let acknowledged = deliveries.iter().filter(|one| one.acknowledged).count();
        assert!(acknowledged >= 1, "{payload}: {deliveries:?}");
    }
    let taken = told.enqueued.len();
    assert!(taken >= 80, "{taken} were taken");
    eprintln!(
        "{taken} taken, {again} delivered again, {} open",
        told.failed.len()
    );
}

#[test]
fn a_restart_of_all_nodes_keeps_everything() {
    let mut cluster = Cluster::ready(3);
    let mut client = cluster.client();
    let numbers: BTreeSet<_> = (0..24).map(|_| client.enqueue("kept", "", b"x")).collect();
    client.enqueue("other", "max_attempts=1", b"dead");
    let dead = client.lease_one("other", "");
    assert_eq!(client.say("nack", &dead, "").status, 204);
    client.enqueue("other", "delay_ms=600000", b"delayed");
    client.enqueue("other", "", b"leased");
    let leased = client.lease_one("other", "visibility_ms=60000");
    let headers = [("Idempotency-Key", "7")];
    let enqueue = |client: &mut Client| {
        let reply = client.once("POST", "/queues/once", &headers, b"x").unwrap();
        (reply.status, reply.json()["task"].clone())
    };
    let (status, once) = enqueue(&mut client);
    assert_eq!(status, 201);
    let done = client.lease_one("once", "");
    client.acknowledge(&done);
    let number = client.enqueue("number", "key=n", b"x");
    let gone = client.lease_one("number", "");
    client.acknowledge(&gone);
    for node in &mut cluster.nodes {
        node.kill();
    }
    for node in &mut cluster.nodes {
        node.start();
    }
    cluster.wait_until_serving();
    assert_eq!(client.counts("kept"), [24, 0, 0, 0]);
    assert_eq!(client.counts("other"), [0, 1, 1, 1]);
    assert_eq!(enqueue(&mut client), (200, once));
    // The receipt is as good as before: nobody has leased the task since.
    client.acknowledge(&leased);
    let came: BTreeSet<_> = wait_for("all tasks come", BOUND, || {
        let tasks = client.lease("kept", "max=64&visibility_ms=60000");
        (!tasks.is_empty()).then_some(tasks)
    })
    .into_iter()
    .chain(std::iter::from_fn(|| {
        let mut more = client.lease("kept", "max=1&visibility_ms=60000");
        more.pop()
    }))
    .map(|task| task.task)
    .collect();
    assert_eq!(came, numbers);
    // Numbers go on: none is given twice, although nothing is left of the one before.
    assert_ne!(client.enqueue("number", "key=n", b"x"), number);
    assert_eq!(client.counts("number"), [1, 0, 0, 0]);
    let retry = client.ask("POST", &format!("/tasks/{}/retry", dead.task), b"");
    assert_eq!(retry.status, 204, "{}", retry.text());
    assert_eq!(client.lease_one("other", "").payload, b"dead");
}
