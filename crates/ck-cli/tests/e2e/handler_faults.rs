//! An application beside the node that is late, wrong, failing, hanging or dead: what it does is
//! contained, said, and loses nothing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::application::{Application, Does, acknowledge};
use crate::support::owners::{claims, settle, wait_for_owners};
use crate::support::watch::Watch;
use crate::support::{BOUND, Cluster, Server, wait_for};

const PARTITIONS: usize = 8;

/// Time a release may take before its move is aborted, and what a slow machine adds.
const RELEASE: Duration = Duration::from_secs(10);

/// Three nodes with an application each; two copies, so that a drained node's have a place to go.
fn ready() -> (Cluster, Vec<Application>) {
    let flags = ["--partitions", "8", "--replication-factor", "2"];
    let cluster = Cluster::ready(3, &flags);
    settle(PARTITIONS, &servers(&cluster), BOUND);
    let applications = cluster.servers.iter().map(Application::of).collect();
    (cluster, applications)
}

fn servers(cluster: &Cluster) -> Vec<&Server> {
    cluster.servers.iter().collect()
}

#[track_caller]
fn drain(cluster: &Cluster, node: &str) {
    let told = cluster.servers[0].send("POST", &format!("/v1/nodes/{node}/drain"), "");
    assert!(matches!(told.status, 200 | 202), "{}", told.text());
}

/// Waits until a node holds no copy.
#[track_caller]
fn wait_until_empty(cluster: &Cluster, node: &str, bound: Duration) {
    wait_for(&format!("{node} is empty"), bound, || {
        let stats = cluster.servers[0].try_get("/partitions/stats")?.json();
        let none = |field: &str| stats[field][node] == 0;
        (none("partitions_per_node") && none("replicas_per_node")).then_some(())
    });
}

/// Lets an application keep its release orders to itself, and waits for the first.
fn first_release(held: &Application, begin: impl FnOnce()) -> Value {
    held.does(|order| match order["event"].as_str() {
        Some("release") => Does::Hang,
        _ => Does::Ack,
    });
    begin();
    wait_for("a release is ordered", BOUND, || {
        let told = held.told();
        told.into_iter().find(|order| order["event"] == "release")
    })
}

#[test]
fn an_acknowledgement_of_something_else_releases_nothing() {
    let (cluster, applications) = ready();
    let watch = Watch::start(&cluster.servers);
    let order = first_release(&applications[2], || drain(&cluster, "node-3"));
    let (epoch, switch) = (order["epoch"].as_u64().unwrap(), order["switch"].as_u64());
    let session = order["session"].as_u64().unwrap();
    for wrong in [
        json!({ "epoch": epoch + 1 }),
        json!({ "epoch": epoch - 1 }),
        json!({ "session": session + 1 }),
        json!({ "switch": switch.unwrap() + 1 }),
        json!({ "stage": "become-replica", "switch": null }),
    ] {
        let reply = applications[2].acknowledge(&order, &wrong);
        assert_eq!(reply.status, 409, "{wrong}: {}", reply.text());
        assert_eq!(reply.json()["code"], "order-superseded", "{wrong}");
    }
    let missing = applications[2].acknowledge(&order, &json!({ "switch": null }));
    assert_eq!(missing.status, 400, "{}", missing.text());
    // Told to another node, it is nobody's order.
    for other in &cluster.servers[..2] {
        let reply = acknowledge(other.http, &order, &json!({})).unwrap();
        assert_eq!(reply.status, 404, "{}", reply.text());
        assert_eq!(reply.json()["code"], "order-unknown");
    }
    // None of it moved the partition.
    let partition = order["partition"].as_str().unwrap();
    let page = cluster.servers[0].get(&format!("/v1/partitions/{partition}"));
    assert_eq!(page.json()["primary_node"], "node-3", "{}", page.text());
    assert_eq!(page.json()["epoch"], epoch, "{}", page.text());
    // The right one is taken, and taken once however often it comes.
    applications[2].does(|_| Does::Ack);
    for _ in 0..3 {
        let reply = applications[2].acknowledge(&order, &json!({}));
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(reply.json()["state"], "done");
    }
    wait_for("it has moved, once", BOUND, || {
        let page = cluster.servers[0].try_get(&format!("/v1/partitions/{partition}"))?;
        (page.json()["epoch"] == epoch + 1).then_some(())
    });
    wait_until_empty(&cluster, "node-3", BOUND);
    watch.stop();
}

#[test]
fn an_application_that_hangs_in_a_release_keeps_its_partition_and_a_late_word_changes_nothing() {
    let (cluster, applications) = ready();
    let watch = Watch::start(&cluster.servers);
    let order = first_release(&applications[2], || drain(&cluster, "node-3"));
    let partition = order["partition"].as_str().unwrap().to_owned();
    let epoch = order["epoch"].as_u64().unwrap();
    // What is waited for is said, by the partition and by the node that waits.
    let explained = cluster.servers[0].get(&format!("/v1/explain/{partition}"));
    assert!(explained.text().contains("node-3"), "{}", explained.text());
    assert!(!explained.json()["transfer"].is_null());
    let calls = cluster.servers[2].get("/health/detailed").json();
    let call = calls["handler"].as_array().unwrap().iter();
    let mut call = call.filter(|call| call["call"] == "release" && call["running"] == true);
    assert!(call.any(|call| call["partition"] == *partition), "{calls}");
    // The deadline passes: the move is aborted, and the node is granted its partition again.
    let granted = wait_for("the partition is served again", RELEASE, || {
        let owners = claims(&[&cluster.servers[2]]);
        owners
            .get(&partition)
            .filter(|owner| owner.1 > epoch)
            .cloned()
    });
    assert_eq!(granted.0, "node-3");
    let late = applications[2].acknowledge(&order, &json!({}));
    assert_eq!(late.status, 409, "{}", late.text());
    let problem = late.json();
    assert_eq!(problem["code"], "order-superseded", "{problem}");
    assert!(
        problem["newest"]["epoch"].as_u64() > Some(epoch),
        "{problem}"
    );
    // It is tried again by itself, and done once the application is well. Orders that it was told
    // of and kept to itself are told again to whoever subscribes.
    drop(applications);
    let _well: Vec<_> = cluster.servers.iter().map(Application::of).collect();
    wait_until_empty(&cluster, "node-3", BOUND + RELEASE);
    wait_for_owners(PARTITIONS, &servers(&cluster), BOUND);
    watch.stop();
}

#[test]
fn an_application_that_fails_is_tried_again_and_status_says_why() {
    let (cluster, applications) = ready();
    let failing = Arc::new(AtomicBool::new(true));
    let refused = Arc::new(Mutex::new(Vec::new()));
    for application in &applications[..2] {
        let (failing, refused) = (Arc::clone(&failing), Arc::clone(&refused));
        application.does(move |order| {
            if order["event"] == "prepare" && failing.load(Ordering::Relaxed) {
                let partition = order["partition"].as_str().unwrap().to_owned();
                refused.lock().unwrap().push(partition);
                return Does::Fail("the disk is full");
            }
            Does::Ack
        });
    }
    let watch = Watch::start(&cluster.servers);
    let before = claims(&servers(&cluster));
    drain(&cluster, "node-3");
    wait_for("it was tried more than once", BOUND, || {
        let refused = refused.lock().unwrap();
        let twice = |one: &String| refused.iter().filter(|other| *other == one).count() > 1;
        refused.iter().any(twice).then_some(())
    });
    let said = wait_for("the node says why", BOUND, || {
        cluster.servers[..2].iter().find_map(|server| {
            let health = server.try_get("/health/detailed")?.json();
            let calls = health["handler"].as_array()?.clone();
            let failed = |call: &&Value| call["failures"].as_u64() > Some(0);
            calls.iter().find(failed).cloned()
        })
    });
    assert!(
        said["error"].as_str().unwrap().contains("the disk is full"),
        "{said}"
    );
    // Whatever could not be copied is where it was, and served.
    let refused = refused.lock().unwrap().clone();
    let during = wait_for_owners(PARTITIONS, &servers(&cluster), BOUND);
    assert!(refused.iter().all(|one| during[one].0 == before[one].0));
    failing.store(false, Ordering::Relaxed);
    wait_until_empty(&cluster, "node-3", BOUND);
    watch.stop();
}

#[test]
fn an_application_that_dies_is_given_its_open_orders_when_it_returns() {
    let (cluster, mut applications) = ready();
    let watch = Watch::start(&cluster.servers);
    let hang = |order: &Value| match order["event"].as_str() {
        Some("prepare") => Does::Hang,
        _ => Does::Ack,
    };
    applications.iter().for_each(|one| one.does(hang));
    drain(&cluster, "node-3");
    let at = wait_for("a copy is ordered", BOUND, || {
        let prepares = |one: &Application| {
            let told = one.told();
            told.iter().any(|order| order["event"] == "prepare")
        };
        applications.iter().position(prepares)
    });
    let orders = applications[at].told();
    let open = orders.iter().find(|order| order["event"] == "prepare");
    let open = open.unwrap().clone();
    drop(applications.remove(at));
    // Meanwhile everything has an owner, and the node lives.
    wait_for_owners(PARTITIONS, &servers(&cluster), BOUND);
    let returned = Application::of(&cluster.servers[at]);
    wait_for("it is told again", BOUND, || {
        let told = returned.told();
        told.iter()
            .any(|order| order["id"] == open["id"])
            .then_some(())
    });
    drop(applications);
    let others = cluster.servers.iter().enumerate();
    let others = others.filter(|(other, _)| *other != at);
    let _others: Vec<_> = others.map(|(_, server)| Application::of(server)).collect();
    wait_until_empty(&cluster, "node-3", BOUND);
    wait_for_owners(PARTITIONS, &servers(&cluster), BOUND);
    watch.stop();
}
