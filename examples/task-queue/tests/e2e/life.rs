//! A task from its producer to its end, without failures.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{BOUND, Client, Cluster, wait_for};

#[test]
fn a_task_is_leased_acknowledged_given_back_and_buried() {
    let cluster = Cluster::ready(3);
    let mut client = cluster.client();
    order_by_key(&mut client);
    given_back(&mut client);
    superseded(&mut client);
    extended(&mut client);
    delayed(&mut client);
    dead(&mut client);
    repeated(&mut client);
    whole_payloads(&mut client);
    fenced(&cluster, &mut client);
}

/// The same key, the same partition, oldest first; without a key, spread over all.
fn order_by_key(client: &mut Client) {
    for number in 0..9 {
        client.enqueue("order", "key=one", format!("{number}").as_bytes());
    }
    assert_eq!(client.counts("order"), [9, 0, 0, 0]);
    let mut came = Vec::new();
    while came.len() < 9 {
        let tasks = client.lease("order", "max=4");
        assert!(!tasks.is_empty() && tasks.len() <= 4, "{tasks:?}");
        for task in tasks {
            assert_eq!(task.attempts, 1);
            came.push(String::from_utf8(task.payload.clone()).unwrap());
            client.acknowledge(&task);
            assert_eq!(client.say("ack", &task, "").status, 404);
        }
    }
    assert_eq!(came.join(""), "012345678");
    assert_eq!(client.counts("order"), [0, 0, 0, 0]);
    assert_eq!(client.lease("order", "max=4"), []);
    let spread: std::collections::BTreeSet<_> = (0..32)
        .map(|_| client.enqueue("spread", "", b""))
        .map(|task| task.split('-').next().unwrap().to_owned())
        .collect();
    assert_eq!(spread.len(), 8, "{spread:?}");
}

fn given_back(client: &mut Client) {
    client.enqueue("back", "", b"x");
    let first = client.lease_one("back", "");
    assert_eq!(client.say("nack", &first, "").status, 204);
    let second = client.lease_one("back", "");
    assert_eq!((second.attempts, &second.task), (2, &first.task));
    let late = client.say("ack", &first, "");
    assert_eq!(late.status, 409);
    assert_eq!(late.json()["code"], "receipt-superseded");
    assert_eq!(client.say("nack", &second, "&delay_ms=600000").status, 204);
    assert_eq!(client.lease("back", ""), []);
    assert_eq!(client.counts("back"), [0, 1, 0, 0]);
}

/// A lease that runs out is given to the next, and who comes late is told.
fn superseded(client: &mut Client) {
    client.enqueue("late", "", b"x");
    let begun = Instant::now();
    let first = client.lease_one("late", "visibility_ms=400");
    assert_eq!(client.lease("late", ""), []);
    let second = client.lease_one("late", "wait_ms=20000");
    assert!(begun.elapsed() >= Duration::from_millis(400));
    assert_eq!((second.attempts, &second.task), (2, &first.task));
    assert_ne!(second.receipt, first.receipt);
    for verb in ["ack", "nack", "extend"] {
        let late = client.say(verb, &first, "");
        assert_eq!(late.status, 409, "{verb}");
        assert_eq!(late.json()["code"], "receipt-superseded");
    }
    client.acknowledge(&second);
    // One that ran out and that nobody has leased since is still its worker's.
    client.enqueue("late", "", b"y");
    let alone = client.lease_one("late", "visibility_ms=100");
    wait_for("the lease runs out", BOUND, || {
        (client.counts("late") == [1, 0, 0, 0]).then_some(())
    });
    client.acknowledge(&alone);
    assert_eq!(client.counts("late"), [0, 0, 0, 0]);
}

fn extended(client: &mut Client) {
    client.enqueue("long", "", b"x");
    let begun = Instant::now();
    let first = client.lease_one("long", "visibility_ms=500");
    let more = client.say("extend", &first, "&visibility_ms=1500");
    assert_eq!(more.status, 204, "{}", more.text());
    let second = client.lease_one("long", "wait_ms=20000");
    assert!(begun.elapsed() >= Duration::from_millis(1_500));
    client.acknowledge(&second);
}

fn delayed(client: &mut Client) {
    let begun = Instant::now();
    client.enqueue("delay", "delay_ms=500", b"x");
    assert_eq!(client.counts("delay"), [0, 1, 0, 0]);
    assert_eq!(client.lease("delay", ""), []);
    let task = client.lease_one("delay", "wait_ms=20000");
    assert!(begun.elapsed() >= Duration::from_millis(500));
    client.acknowledge(&task);
}

fn dead(client: &mut Client) {
    let expired = client.enqueue("dead", "max_attempts=2&key=a", b"expired");
    for attempts in 1..=2 {
        let task = client.lease_one("dead", "visibility_ms=100&wait_ms=20000");
        assert_eq!((task.attempts, &task.task), (attempts, &expired));
    }
    wait_for("the task is dead", BOUND, || {
        (client.counts("dead") == [0, 0, 0, 1]).then_some(())
    });
    let rejected = client.enqueue("dead", "max_attempts=1&key=b", b"rejected");
    let task = client.lease_one("dead", "");
    assert_eq!(task.task, rejected);
    assert_eq!(client.say("nack", &task, "").status, 204);
    assert_eq!(client.counts("dead"), [0, 0, 0, 2]);
    assert_eq!(client.lease("dead", "max=9"), []);
    let list = client.ask("GET", "/queues/dead/dead?limit=9", b"").json();
    let list = list["tasks"].as_array().unwrap().clone();
    assert_eq!(list.len(), 2);
    assert!(list.contains(&json!({"task": expired, "attempts": 2, "reason": "lease-expired"})));
    assert!(list.contains(&json!({"task": rejected, "attempts": 1, "reason": "rejected"})));
    let limited = client.ask("GET", "/queues/dead/dead?limit=1", b"").json();
    assert_eq!(limited["tasks"].as_array().unwrap().len(), 1);
    // The dead are kept with what they hold, until somebody decides.
    let shown = client.ask("GET", &format!("/tasks/{rejected}"), b"").json();
    assert_eq!(shown["state"], "dead");
    assert_eq!(shown["payload"], "cmVqZWN0ZWQ=");
    let retry = client.ask("POST", &format!("/tasks/{expired}/retry"), b"");
    assert_eq!(retry.status, 204, "{}", retry.text());
    let again = client.ask("POST", &format!("/tasks/{expired}/retry"), b"");
    assert_eq!(
        (again.status, again.json()["code"].as_str()),
        (409, Some("not-dead"))
    );
    let discard = client.ask("POST", &format!("/tasks/{rejected}/discard"), b"");
    assert_eq!(discard.status, 204, "{}", discard.text());
    let revived = client.lease_one("dead", "");
    assert_eq!((&revived.task, revived.attempts), (&expired, 1));
    client.acknowledge(&revived);
    assert_eq!(client.counts("dead"), [0, 0, 0, 0]);
}

/// An enqueue whose outcome is not known is repeated under its key, on any node, done or not.
fn repeated(client: &mut Client) {
    let headers = [("Idempotency-Key", "order-7")];
    let enqueue = |client: &mut Client, queue: &str, status| {
        let path = format!("/queues/{queue}");
        let reply = client.once("POST", &path, &headers, b"x").unwrap();
        assert_eq!(reply.status, status, "{}", reply.text());
        reply.json()["task"].as_str().unwrap().to_owned()
    };
    let task = enqueue(client, "once", 201);
    for _ in 0..3 {
        assert_eq!(enqueue(client, "once", 200), task);
    }
    assert_eq!(client.counts("once"), [1, 0, 0, 0]);
    // Another queue's keys are its own.
    assert_ne!(enqueue(client, "twice", 201), task);
    let leased = client.lease_one("once", "");
    client.acknowledge(&leased);
    assert_eq!(enqueue(client, "once", 200), task);
    assert_eq!(client.counts("once"), [0, 0, 0, 0]);
    assert_eq!(client.lease("once", ""), []);
}

fn whole_payloads(client: &mut Client) {
    let largest: Vec<u8> = (0..1_u32 << 20).map(|at| (at % 251) as u8).collect();
    for payload in [&b""[..], b"\0\xff", &largest] {
        client.enqueue("sizes", "", payload);
        let task = client.lease_one("sizes", "");
        assert!(task.payload == payload, "{} bytes", task.payload.len());
        client.acknowledge(&task);
    }
    // As much as an answer holds, and the rest with the next.
    for _ in 0..6 {
        client.enqueue("sizes", "key=a", &largest);
    }
    let first = client.lease("sizes", "max=64").len();
    assert!((1..6).contains(&first), "{first} of 6");
    assert_eq!(client.lease("sizes", "max=64").len(), 6 - first);
}

/// A caller that names a grant is answered by its holder alone.
fn fenced(cluster: &Cluster, client: &mut Client) {
    let task = client.enqueue("fence", "key=f", b"x");
    let at = cluster.primary_of("f");
    let owned = cluster.nodes[at].get("/v1/owned").json();
    let partition: u64 = task.split('-').next().unwrap().parse().unwrap();
    let own = owned["owned"].as_array().unwrap().iter();
    let own = own
        .clone()
        .find(|one| one["id"] == format!("partition-{partition}"));
    let epoch = own.unwrap()["epoch"].as_u64().unwrap();
    let token = format!("{}.{partition}.{epoch}", owned["incarnation"]);
    let headers = [("CK-Fence", token.as_str())];
    let ask = |node: usize, headers: &[(&str, &str)]| {
        let mut one = Client::of(vec![cluster.nodes[node].http]);
        one.once("POST", "/queues/fence?key=f", headers, b"y")
            .unwrap()
    };
    assert_eq!(ask(at, &headers).status, 201);
    let elsewhere = ask((at + 1) % 3, &headers);
    assert_eq!(elsewhere.status, 421, "{}", elsewhere.text());
    let primary = cluster.nodes[at].http.to_string();
    assert_eq!(elsewhere.json()["newest"]["primary_address"], primary);
    let old = format!("{}.{partition}.{}", owned["incarnation"], epoch - 1);
    if epoch > 1 {
        assert_eq!(ask(at, &[("CK-Fence", &old)]).status, 409);
    }
    assert_eq!(client.counts("fence"), [2, 0, 0, 0]);
}
