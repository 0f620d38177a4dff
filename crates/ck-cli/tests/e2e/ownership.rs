//! Ownership as operators and applications meet it: real nodes, real moves.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::mpsc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::owners::wait_for_owners;
use crate::support::{BOUND, Cluster, Server, run, wait_for};

/// Runs a command that succeeds; its JSON. Nothing is said on standard error.
#[track_caller]
fn done(cluster: &Cluster, args: &[&str]) -> Value {
    let (code, answer, said) = command(cluster, args);
    assert_eq!((code, said.as_str()), (0, ""), "ck {args:?}");
    answer
}

/// Runs a command that is refused; its exit code and the code of its error.
#[track_caller]
fn refused(cluster: &Cluster, args: &[&str]) -> (i32, String) {
    let (code, _, said) = command(cluster, args);
    let error: Value =
        serde_json::from_str(&said).unwrap_or_else(|_| panic!("ck {args:?}: {said}"));
    (code, error["error"]["code"].as_str().unwrap().to_owned())
}

fn command(cluster: &Cluster, args: &[&str]) -> (i32, Value, String) {
    let server = cluster.servers[0].http.to_string();
    let output = run(&[args, &["--server", &server, "--json"]].concat());
    let answer = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code().unwrap(), answer, said)
}

/// The text of a command that succeeds, which fits a pager.
#[track_caller]
fn text(cluster: &Cluster, args: &[&str]) -> String {
    let server = cluster.servers[0].http.to_string();
    let output = run(&[args, &["--server", &server]].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "ck {args:?}: {said}");
    let text = String::from_utf8(output.stdout).unwrap();
    let wide = text.lines().find(|line| line.chars().count() > 100);
    assert_eq!(wide, None, "ck {args:?}");
    text
}

/// Waits until nothing moves and no plan is under way.
#[track_caller]
fn settled(cluster: &Cluster) {
    wait_for("everything rests", BOUND, || {
        let server = &cluster.servers[0];
        let rests = server.try_get("/v1/transfers")?.json()["count"] == 0;
        let planned = server.try_get("/v1/plans/current")?.status == 200;
        (rests && !planned).then_some(())
    });
}

fn held(cluster: &Cluster, node: &str) -> u64 {
    let answer = cluster.servers[0].get(&format!("/v1/nodes/{node}")).json();
    answer["primaries"].as_u64().unwrap() + answer["replicas"].as_u64().unwrap()
}

#[test]
fn every_question_is_answered() {
    let mut cluster = Cluster::ready(3, &["--partitions", "16"]);
    settled(&cluster);
    let all: Vec<&Server> = cluster.servers.iter().collect();
    wait_for_owners(16, &all, BOUND);
    assert!(text(&cluster, &["owned"]).starts_with("node-1 may act on"));
    assert_eq!(done(&cluster, &["config"])["config"]["min_in_sync"], 2);
    assert!(text(&cluster, &["config"]).contains("max_transfers_per_node"));
    let history = done(&cluster, &["history", "--from", "0", "--limit", "3"]);
    assert_eq!(
        (&history["count"], &history["entries"][0]["kind"]),
        (&json!(3), &json!("genesis"))
    );
    assert!(text(&cluster, &["history"]).contains("commands; kept from version"));
    let newest = done(&cluster, &["history", "--limit", "1"]);
    assert_ne!(newest["entries"][0]["kind"], json!("genesis"));
    assert!(text(&cluster, &["resume", "--brake"]).contains("was not on"));
    let status = done(&cluster, &["status"]);
    assert_eq!(
        (&status["braked"], &status["paused"]),
        (&json!(false), &json!(false))
    );
    let told = done(&cluster, &["explain", "3"]);
    assert_eq!(
        (&told["state"], &told["reasons"]),
        (&json!("stable"), &json!([]))
    );
    let primary = told["primary"].as_str().unwrap().to_owned();
    let why = done(&cluster, &["why-not", "3", &primary]);
    assert_eq!(why["reasons"], json!(["it is the primary"]));
    assert!(text(&cluster, &["explain", "3"]).contains("partition-3 is stable"));
    assert_eq!(
        refused(&cluster, &["explain", "99"]),
        (1, "partition-unknown".into())
    );
    assert_eq!(
        refused(&cluster, &["why-not", "3", "ghost"]),
        (1, "node-unknown".into())
    );

    assert_eq!(done(&cluster, &["may-stop", "node-2"])["allowed"], true);
    cluster.servers[2].kill();
    wait_for("the loss of node-3", BOUND, || {
        let (code, answer, _) = command(&cluster, &["may-stop", "node-2"]);
        (code == 4 && answer["blocking_partitions"].as_array()?.len() == 16).then_some(())
    });
    let down = text(&cluster, &["explain", "3"]);
    assert!(down.contains("node-3 is down"), "{down}");
    // It may be stopped, since it is not up.
    assert_eq!(done(&cluster, &["may-stop", "node-3"])["allowed"], true);
    let output = run(&["drain", "node-2", "--server", &cluster.addresses()]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.success() && said.contains("1 node can hold copies"),
        "{said}"
    );
}

#[test]
fn a_node_is_drained_taken_back_and_removed() {
    let cluster = Cluster::ready(4, &["--partitions", "16"]);
    settled(&cluster);
    assert_eq!(
        done(&cluster, &["cordon", "node-2"])["node"]["status"],
        "cordoned"
    );
    let drained = done(&cluster, &["drain", "node-2", "--wait", "--timeout", "60s"]);
    assert_eq!(
        (&drained["primaries"], &drained["replicas"]),
        (&json!(0), &json!(0))
    );
    assert_eq!(held(&cluster, "node-2"), 0);
    let again = text(&cluster, &["drain", "node-2"]);
    assert!(again.starts_with("node-2 is empty"), "{again}");
    done(&cluster, &["set", "auto_rebalance=false"]);
    done(&cluster, &["uncordon", "node-2"]);
    assert_eq!(
        refused(&cluster, &["drain", "ghost"]),
        (1, "node-unknown".into())
    );
    let removed = done(&cluster, &["remove", "node-4", "--timeout", "60s"]);
    assert_eq!(
        (&removed["node"], &removed["node_count"]),
        (&json!("node-4"), &json!(3))
    );
    let unavailable = done(&cluster, &["stats"])["unavailable"].clone();
    assert_eq!(unavailable, 0);
}

#[test]
fn a_plan_is_looked_at_applied_and_never_applied_twice() {
    let flags = [
        "--partitions",
        "16",
        "--no-auto-rebalance",
        "--replication-factor",
        "2",
    ];
    let cluster = Cluster::ready(3, &flags);
    settled(&cluster);
    done(&cluster, &["drain", "node-3", "--wait", "--timeout", "60s"]);
    done(&cluster, &["uncordon", "node-3"]);
    let shown = text(&cluster, &["plan"]);
    assert!(
        shown.contains("ROUNDS") && shown.contains("node-3: new"),
        "{shown}"
    );
    let old = done(&cluster, &["plan"]);
    done(&cluster, &["cordon", "node-1"]);
    let id = |plan: &Value| plan["id"].as_str().unwrap().to_owned();
    assert_eq!(
        refused(&cluster, &["apply", &id(&old)]),
        (4, "plan-stale".into())
    );
    done(&cluster, &["uncordon", "node-1"]);
    let plan = done(&cluster, &["plan"]);
    assert_eq!(
        (&plan["status"], &plan["optimal"]),
        (&json!("preview"), &json!(true))
    );
    let applied = done(&cluster, &["apply", &id(&plan), "--timeout", "60s"]);
    assert_eq!(applied["status"], "done");
    assert_eq!(done(&cluster, &["plan"])["status"], "empty");
    assert_eq!(
        refused(&cluster, &["apply", &id(&plan)]),
        (4, "plan-stale".into())
    );
    for order in ["pause", "resume", "abort"] {
        assert_eq!(
            refused(&cluster, &[order]),
            (4, "plan-not-under-way".into())
        );
    }
    assert_eq!(
        refused(&cluster, &["apply", "nonsense"]),
        (1, "plan-unknown".into())
    );
}

#[test]
fn a_partition_that_nobody_serves_is_promoted_by_order() {
    let flags = [
        "--partitions",
        "4",
        "--no-auto-rebalance",
        "--replication-factor",
        "2",
    ];
    let mut cluster = Cluster::ready(3, &flags);
    settled(&cluster);
    assert_eq!(
        refused(&cluster, &["promote", "0", "node-1"]),
        (4, "partition-held".into())
    );
    // A partition of node-2 and node-3: node-2 goes and comes back without its application, so it
    // does not catch up; then node-3, which has everything, goes.
    let rows = cluster.servers[0].copies();
    let pair = vec!["node-2".to_owned(), "node-3".to_owned()];
    let Some((id, _)) = rows.into_iter().find(|(_, nodes)| *nodes == pair) else {
        panic!("no partition is on node-2 and node-3");
    };
    cluster.servers[1].kill();
    let state = |cluster: &Cluster| cluster.servers[0].get(&format!("/v1/explain/{id}")).json();
    wait_for("node-3 alone", BOUND, || {
        let told = state(&cluster);
        let alone = told["primary"] == "node-3" && told["state"] == "degraded";
        alone.then_some(())
    });
    cluster.servers[1]
        .flags
        .extend(["--application".to_owned(), "volatile".to_owned()]);
    cluster.servers[1].start();
    wait_for("node-2 is back", BOUND, || {
        let copies = state(&cluster)["copies"].as_array()?.clone();
        let back = copies.iter().find(|copy| copy["node"] == "node-2")?;
        (back["status"] == "active" && back["in_sync"] == false).then_some(())
    });
    cluster.servers[2].kill();
    wait_for("nobody serves it", BOUND, || {
        (state(&cluster)["state"] == "unavailable").then_some(())
    });
    let told = text(&cluster, &["explain", &id]);
    assert!(told.contains("start one of node-3,"), "{told}");
    let promote = ["promote", &id, "node-2"];
    assert_eq!(refused(&cluster, &promote), (4, "loss-not-accepted".into()));
    done(&cluster, &[&promote[..], &["--accept-data-loss"]].concat());
    assert_eq!(state(&cluster)["primary"], "node-2");
}

/// An application beside a node: follows its orders and acknowledges each, until the node ends.
fn application(server: &Server) -> mpsc::Receiver<Value> {
    let address = server.http;
    let mut stream = TcpStream::connect(address).expect("the node listens");
    stream.set_read_timeout(Some(BOUND)).unwrap();
    write!(stream, "GET /v1/orders HTTP/1.1\r\nHost: {address}\r\n\r\n").unwrap();
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let Some(data) = line.strip_prefix("data: ") else {
                continue;
            };
            let order: Value = serde_json::from_str(data).expect("data is JSON");
            if order["event"].is_string() && acknowledge(address, &order) != 200 {
                continue;
            }
            if sender.send(order).is_err() {
                return;
            }
        }
    });
    receiver
}

fn acknowledge(address: std::net::SocketAddr, order: &Value) -> u16 {
    let mut ack = json!({
        "stage": order["event"], "session": order["session"], "epoch": order["epoch"],
    });
    if !order["switch"].is_null() {
        ack["switch"] = order["switch"].clone();
    }
    let path = format!("/v1/orders/{}/ack", order["id"].as_str().unwrap());
    let headers = [("Content-Type", "application/json")];
    let body = ack.to_string();
    let bound = Duration::from_secs(10);
    crate::support::request(address, "POST", &path, &headers, body.as_bytes(), bound)
        .map_or(0, |reply| reply.status)
}

#[test]
fn an_application_of_any_language_carries_the_moves_out() {
    let flags = [
        "--partitions",
        "8",
        "--no-auto-rebalance",
        "--replication-factor",
        "2",
    ];
    let cluster = Cluster::ready(3, &flags);
    settled(&cluster);
    let told: Vec<_> = cluster.servers.iter().map(application).collect();
    for one in &told {
        let state = one.recv_timeout(BOUND).expect("where the node stands");
        assert!(
            state["owned"].is_array() && state["replicas"].is_array(),
            "{state}"
        );
    }
    let drained = done(&cluster, &["drain", "node-3", "--wait", "--timeout", "60s"]);
    assert_eq!(drained["primaries"], 0);
    assert!(cluster.servers[2].get("/v1/owned").json()["owned"] == json!([]));
    // An order is told here a moment after it was acknowledged.
    let (third, others) = (&told[2..], &told[..2]);
    for (applications, wanted) in [
        (third, &["release", "clean-up"][..]),
        (others, &["prepare", "catch-up", "become-primary"]),
    ] {
        let mut seen: Vec<String> = Vec::new();
        wait_for(&format!("{wanted:?}"), BOUND, || {
            let orders = applications.iter().flat_map(mpsc::Receiver::try_iter);
            seen.extend(orders.filter_map(|order| Some(order["event"].as_str()?.to_owned())));
            let has = |event: &&str| seen.iter().any(|one| one == event);
            wanted.iter().all(has).then_some(())
        });
    }
}

#[test]
fn an_expected_application_is_waited_for_from_the_start() {
    let flags = [
        "--partitions",
        "4",
        "--replication-factor",
        "1",
        "--application",
        "durable",
    ];
    let mut cluster = Cluster::ready(1, &flags);
    let owned = |cluster: &Cluster| cluster.servers[0].get("/v1/owned").json()["owned"].clone();
    for _ in 0..2 {
        assert_eq!(owned(&cluster), json!([]), "nobody has said that it serves");
        wait_for("the reason", BOUND, || {
            let told = done(&cluster, &["explain", "0"]);
            let told = told["reasons"].to_string();
            told.contains("not connected, and become-primary waits")
                .then_some(())
        });
        let told = application(&cluster.servers[0]);
        let mut served = 0;
        while served < 4 {
            let order = told
                .recv_timeout(BOUND)
                .expect("an order for each partition");
            served += usize::from(order["event"] == "become-primary");
        }
        wait_for("it owns what its application serves", BOUND, || {
            (owned(&cluster).as_array()?.len() == 4).then_some(())
        });
        // Whatever was said before, the next start waits for it again.
        cluster.servers[0].kill();
        cluster.servers[0].start();
        cluster.servers[0].wait_until_ready();
    }
}
