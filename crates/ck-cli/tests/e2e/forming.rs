//! How nodes find each other, and what is refused at the door.

use std::net::TcpListener;
use std::time::Duration;

use serde_json::Value;

use crate::support::{BOUND, Cluster, Server, ports, run, wait_for};

/// The same everywhere: the cluster's UUID and the owner of a key.
#[track_caller]
fn assert_one_cluster(cluster: &Cluster, nodes: u64) {
    let seen: Vec<(Value, Value)> = cluster
        .servers
        .iter()
        .map(|server| {
            wait_for(&format!("{} lists {nodes} nodes", server.id), BOUND, || {
                let page = server.try_get("/nodes")?.json();
                (page["total"] == nodes).then_some(())
            });
            let uuid = server.get("/cluster").json()["cluster"]["uuid"].clone();
            let owner = server.get("/partitions/key?key=user:1001").json()["primary_node"].clone();
            (uuid, owner)
        })
        .collect();
    assert!(
        seen[0].0.as_str().is_some_and(|uuid| !uuid.is_empty()),
        "{seen:?}"
    );
    assert!(seen.iter().all(|one| *one == seen[0]), "{seen:?}");
}

#[test]
fn nodes_started_together_form_one_cluster() {
    let cluster = Cluster::ready(3, &[]);
    assert_one_cluster(&cluster, 3);
    let rows = cluster.servers[0].rows();
    assert_eq!(rows.len(), 64);
    for (at, (id, primary, replicas)) in rows.iter().enumerate() {
        assert_eq!(*id, format!("partition-{at}"));
        assert_eq!(replicas.as_array().unwrap().len(), 2);
        assert!(
            !replicas
                .as_array()
                .unwrap()
                .contains(&Value::from(primary.as_str()))
        );
    }
}

#[test]
fn nodes_started_one_after_another_form_one_cluster() {
    let mut cluster = Cluster::of(3, &[]);
    for at in 0..2 {
        cluster.servers[at].start();
        let absent = cluster.servers[2].http.to_string();
        let said = format!("no answer from {}", if at == 0 { "" } else { &absent });
        cluster.servers[at].process().wait_for_text(&said, BOUND);
        let server = &cluster.servers[at];
        let peer = server.get("/v1/peer").json();
        assert_eq!(peer["formed"], false, "{peer}");
        assert_eq!(peer["node"], server.id.as_str());
        assert_eq!(server.get("/health").status, 200);
        let ready = server.get("/ready");
        assert_eq!(ready.status, 503);
        assert!(!ready.json()["reasons"].as_array().unwrap().is_empty());
    }
    cluster.servers[2].start();
    cluster.wait_until_ready();
    assert_one_cluster(&cluster, 3);
}

#[test]
fn a_node_alone_is_a_cluster_and_others_may_join_any_time_later() {
    let mut cluster = Cluster::of(4, &[]);
    let first = cluster.servers[0].http.to_string();
    for (at, server) in cluster.servers.iter_mut().enumerate() {
        server.flags = vec!["--partitions".into(), "16".into()];
        if at > 0 {
            server.flags.extend(["--join".into(), first.clone()]);
        }
    }
    cluster.servers[0].start();
    wait_for("the first node lists itself", BOUND, || {
        let page = cluster.servers[0].try_get("/nodes")?.json();
        (page["total"] == 1).then_some(())
    });
    // Too few nodes for three copies: asked for, it is refused, and everything goes on.
    let refused = cluster.servers[0].send("POST", "/partitions", "");
    assert_eq!(refused.status, 409, "{}", refused.text());
    let problem = refused.json();
    assert_eq!(
        (&problem["have"], &problem["need"]),
        (&Value::from(1), &Value::from(3))
    );
    let at = cluster.servers[0].get("/partitions/key?key=a");
    assert_eq!(at.status, 409, "{}", at.text());
    for at in 1..3 {
        cluster.servers[at].start();
        wait_for("it has joined", BOUND, || {
            let page = cluster.servers[0].try_get("/nodes")?.json();
            (page["total"] == at as u64 + 1).then_some(())
        });
    }
    for server in &mut cluster.servers[..3] {
        server.wait_until_ready();
    }
    cluster.servers[3].start();
    cluster.servers[3].wait_until_ready();
    assert_one_cluster(&cluster, 4);
}

#[test]
fn a_fourth_node_gets_its_share_without_being_asked_and_does_not_vote() {
    let mut cluster = Cluster::ready(3, &["--partitions", "32"]);
    let join = cluster.servers[0].http.to_string();
    let mut fourth = Server::new("node-4", ports::block(1), cluster.directory.path()).with(&[
        "--join",
        &join,
        "--service",
        "kv=127.0.0.1:7",
        "--domain",
        "d/r",
    ]);
    fourth.start();
    fourth.wait_until_ready();
    wait_for("the fourth node has its share", BOUND, || {
        let stats = fourth.get("/partitions/stats").json();
        let primaries = stats["partitions_per_node"]["node-4"].as_u64()?;
        let replicas = stats["replicas_per_node"]["node-4"].as_u64()?;
        (primaries == 8 && primaries + replicas == 24).then_some(())
    });
    let node = fourth.get("/v1/nodes/node-4").json();
    assert_eq!(node["node"]["services"]["kv"], "127.0.0.1:7");
    assert_eq!(node["node"]["domain"], "d/r");
    let consensus = fourth.get("/consensus/stats").json();
    assert_eq!(consensus["state"], "Learner", "{consensus}");
    cluster.servers[0].process().signal("TERM");
    let ended = cluster.servers[0].process().wait_for_end(BOUND);
    assert_eq!(ended.code(), Some(0));
}

#[test]
fn a_node_of_another_cluster_name_is_refused_with_both_names() {
    let cluster = Cluster::ready(1, &["--replication-factor", "1", "--cluster", "ours"]);
    let join = cluster.servers[0].http.to_string();
    let mut other = Server::new("node-9", ports::block(1), cluster.directory.path()).with(&[
        "--join",
        &join,
        "--cluster",
        "theirs",
    ]);
    other.start();
    let ended = other.process().wait_for_end(BOUND);
    let said = other.process().printed();
    assert_eq!(ended.code(), Some(4), "{said}");
    let reason = said.lines().filter(|line| line.starts_with("error: "));
    let reason: Vec<&str> = reason.collect();
    assert_eq!(reason.len(), 1, "{said}");
    let reason = reason[0].trim_start_matches("error: ");
    assert_eq!(said.matches(reason).count(), 1, "said twice: {said}");
    assert!(said.contains("ours") && said.contains("theirs"), "{said}");
    assert_eq!(cluster.servers[0].get("/ready").status, 200);
}

#[test]
fn an_id_that_is_in_use_is_refused_with_the_remedy() {
    let cluster = Cluster::ready(3, &["--partitions", "8"]);
    let join = cluster.servers[0].http.to_string();
    let elsewhere = tempfile::tempdir().unwrap();
    let mut twin =
        Server::new("node-2", ports::block(1), elsewhere.path()).with(&["--join", &join]);
    twin.start();
    let ended = twin.process().wait_for_end(BOUND);
    let said = twin.process().printed();
    assert_eq!(ended.code(), Some(4), "{said}");
    let reason = said.lines().filter(|line| line.starts_with("error: "));
    let reason: Vec<&str> = reason.collect();
    assert_eq!(reason.len(), 1, "{said}");
    let reason = reason[0].trim_start_matches("error: ");
    assert_eq!(said.matches(reason).count(), 1, "said twice: {said}");
    assert!(
        said.contains("node-2") && said.contains("ck remove"),
        "{said}"
    );
    for server in &cluster.servers {
        assert_eq!(server.get("/ready").status, 200);
        assert_eq!(server.get("/nodes").json()["total"], 3);
    }
}

#[test]
fn a_configuration_that_differs_is_refused_with_both_values() {
    let cluster = Cluster::ready(1, &["--replication-factor", "1", "--partitions", "16"]);
    let join = cluster.servers[0].http.to_string();
    let mut other = Server::new("node-2", ports::block(1), cluster.directory.path()).with(&[
        "--join",
        &join,
        "--partitions",
        "48",
    ]);
    other.start();
    let ended = other.process().wait_for_end(BOUND);
    let said = other.process().printed();
    assert_eq!(ended.code(), Some(4), "{said}");
    let reason = said.lines().filter(|line| line.starts_with("error: "));
    let reason: Vec<&str> = reason.collect();
    assert_eq!(reason.len(), 1, "{said}");
    let reason = reason[0].trim_start_matches("error: ");
    assert_eq!(said.matches(reason).count(), 1, "said twice: {said}");
    assert!(
        said.contains("partitions") && said.contains("48") && said.contains("16"),
        "{said}"
    );
}

#[test]
fn an_address_that_does_not_answer_is_named_and_tried_for_ever() {
    let directory = tempfile::tempdir().unwrap();
    let base = ports::block(2);
    let absent = format!("127.0.0.1:{}", base + 1);
    let mut server = Server::new("node-1", base, directory.path()).with(&["--join", &absent]);
    server.start();
    server.process().wait_for_text(&absent, BOUND);
    assert!(server.process().is_running());
    assert_eq!(server.get("/ready").status, 503);
    server.process().signal("TERM");
    assert_eq!(server.process().wait_for_end(BOUND).code(), Some(0));
}

#[test]
fn a_taken_port_ends_the_process_with_the_reason() {
    let directory = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for flag in ["--http", "--peer"] {
        let other = if flag == "--http" { "--peer" } else { "--http" };
        let data = directory.path().join(flag);
        let output = run(&[
            "serve",
            "--id",
            "n",
            flag,
            &address,
            other,
            "127.0.0.1:0",
            "--data",
            data.to_str().unwrap(),
        ]);
        assert_eq!(output.status.code(), Some(1), "{flag}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(&address), "{flag}: {said}");
    }
}

#[test]
fn a_configuration_that_contradicts_itself_forms_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("n");
    let output = run(&[
        "serve",
        "--id",
        "n",
        "--http",
        "127.0.0.1:0",
        "--spread",
        "9",
        "--data",
        data.to_str().unwrap(),
    ]);
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty() && !data.exists());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("spread 9"), "{said}");
    // Corrected, the same directory does.
    let mut server = Server::new("n", ports::block(1), directory.path()).with(&[
        "--replication-factor",
        "1",
        "--spread",
        "1",
    ]);
    server.start();
    server.wait_until_ready();
}

#[test]
fn listening_beyond_loopback_needs_consent() {
    let output = run(&["serve", "--id", "n", "--http", "0.0.0.0:0"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--insecure"));
    let output = run(&["serve", "--id", "n", "--http", "0.0.0.0:0", "--insecure"]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("--advertise"),
        "others would dial themselves: {said}"
    );
}

#[test]
fn the_environment_of_the_guide_starts_a_node() {
    let mut cluster = Cluster::of(1, &[]);
    let server = &mut cluster.servers[0];
    server.flags = vec!["--replication-factor".into(), "1".into()];
    server.environment = vec![
        ("KNOWN_NODES".into(), server.http.to_string()),
        ("CK_PARTITIONS".into(), "12".into()),
    ];
    server.start();
    server.wait_until_ready();
    assert_eq!(server.get("/partitions").json()["count"], 12);
    server.process().wait_for_text(
        "node-1 is ready: 1 node, 12 partitions",
        Duration::from_secs(5),
    );
}

#[test]
fn a_node_without_the_token_is_no_way_around_it() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    std::fs::write(&file, "s3cret\n").unwrap();
    let token = ["--token-file", file.to_str().unwrap()];
    let guarded = Cluster::ready(1, &[&["--replication-factor", "1"], &token[..]].concat());
    let join = guarded.servers[0].http.to_string();
    let mut other =
        Server::new("node-9", ports::block(1), directory.path()).with(&["--join", &join]);
    other.start();
    let ended = other.process().wait_for_end(BOUND);
    let said = other.process().printed();
    assert!(ended.code().is_some_and(|code| code != 0), "{said}");
    assert!(
        said.contains("--token-file") && !said.contains("s3cret"),
        "{said}"
    );
    let mut other = other.with(&token);
    other.start();
    other.wait_until_ready();
}
