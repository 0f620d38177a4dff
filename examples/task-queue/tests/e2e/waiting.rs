//! Workers that wait for a task.

use std::time::{Duration, Instant};

use crate::support::{Client, Cluster, answer, send};

/// Below the time after which who waits looks again by itself: that is 5 s.
const WOKEN: Duration = Duration::from_millis(3_500);

/// Long enough for a request to have arrived and to wait; if it has not, it finds the task at once.
const ARRIVES: Duration = Duration::from_millis(150);

#[test]
fn who_waits_is_woken_wherever_the_task_is() {
    let cluster = Cluster::ready(3);
    for round in 0..4 {
        // Waits at the first node, while the task comes to a partition of its own or another's.
        let key = cluster.key_at(0, round % 2 == 0);
        let path = "/queues/wake/lease?wait_ms=20000";
        let bound = Duration::from_secs(25);
        let waiting = send(cluster.nodes[0].http, "POST", path, &[], b"", bound).unwrap();
        std::thread::sleep(ARRIVES);
        let mut client = cluster.client();
        let begun = Instant::now();
        let task = client.enqueue("wake", &format!("key={key}"), b"x");
        let reply = answer(waiting).unwrap();
        let took = begun.elapsed();
        let given = &reply.json()["tasks"][0];
        assert_eq!(given["task"], task.as_str(), "{}", reply.text());
        assert!(took < WOKEN, "round {round}: woken after {took:?}");
    }
    nothing_comes(&cluster);
    a_stop_ends_the_wait(cluster);
}

/// An empty answer when the time is over, not before.
fn nothing_comes(cluster: &Cluster) {
    let mut client = cluster.client();
    let begun = Instant::now();
    assert_eq!(client.lease("nothing", "wait_ms=700"), []);
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(700), "after {took:?}");
    assert!(took < Duration::from_secs(5), "after {took:?}");
    too_many(cluster);
}

/// One more than may wait is told so at once.
fn too_many(cluster: &Cluster) {
    let address = cluster.nodes[0].http;
    let ask = || {
        let path = "/queues/crowded/lease?wait_ms=3000";
        send(address, "POST", path, &[], b"", Duration::from_secs(25)).unwrap()
    };
    let waiting: Vec<_> = (0..70).map(|_| ask()).collect();
    let replies: Vec<_> = waiting
        .into_iter()
        .map(|one| answer(one).unwrap())
        .collect();
    let of = |status| replies.iter().filter(|one| one.status == status).count();
    assert_eq!((of(200), of(503)), (64, 6));
    let refused = replies.iter().find(|one| one.status == 503).unwrap();
    assert_eq!(refused.json()["code"], "overloaded");
    assert_eq!(refused.headers["retry-after"], "1");
}

fn a_stop_ends_the_wait(mut cluster: Cluster) {
    let path = "/queues/stopped/lease?wait_ms=20000";
    let bound = Duration::from_secs(25);
    let waiting = send(cluster.nodes[1].http, "POST", path, &[], b"", bound).unwrap();
    std::thread::sleep(ARRIVES);
    let begun = Instant::now();
    assert_eq!(cluster.nodes[1].stop(), Some(0));
    let reply = answer(waiting).unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(begun.elapsed() < Duration::from_secs(10));
    // What it served is served by the others, at once.
    let mut others = Client::of(vec![cluster.nodes[0].http, cluster.nodes[2].http]);
    for _ in 0..16 {
        others.enqueue("stopped", "", b"x");
    }
    assert_eq!(others.counts("stopped"), [16, 0, 0, 0]);
}
