//! Data that cannot be used: a clear error, the cluster goes on, nothing is lost.

use std::fs;
use std::os::unix::fs::FileExt;

use redb::ReadableTable;
use serde_json::Value;

use crate::support::{BOUND, Cluster, Server, run};

/// Name of the database in a data directory.
const FILE: &str = "node.redb";

/// Starts a node that cannot use its data; returns what it says.
#[track_caller]
fn refused(server: &mut Server, code: i32) -> String {
    server.start();
    let ended = server.process().wait_for_end(BOUND);
    let said = server.process().printed();
    assert_eq!(ended.code(), Some(code), "{said}");
    server.process = None;
    said
}

#[track_caller]
fn assert_goes_on(cluster: &Cluster, key: &str) {
    let server = &cluster.servers[0];
    let reply = server.send("PUT", &format!("/v1/custom/{key}"), "x");
    assert!(matches!(reply.status, 200 | 201), "{}", reply.text());
    assert_eq!(server.get("/partitions").json()["count"], 64);
}

#[test]
fn a_damaged_store_is_an_error_and_the_cluster_goes_on() {
    let mut cluster = Cluster::ready(3, &[]);
    cluster.servers[2].kill();
    let file = cluster.servers[2].data.join(FILE);
    let whole = fs::read(&file).unwrap();

    fs::write(&file, &whole[..whole.len() / 3]).unwrap();
    let said = refused(&mut cluster.servers[2], 1);
    assert!(
        said.contains(FILE) && said.contains("ck remove"),
        "truncated: {said}"
    );
    assert_goes_on(&cluster, "truncated");

    fs::write(&file, []).unwrap();
    let said = refused(&mut cluster.servers[2], 1);
    assert!(said.contains(FILE), "emptied: {said}");

    fs::write(&file, &whole).unwrap();
    let open = fs::OpenOptions::new().write(true).open(&file).unwrap();
    for at in (0..whole.len()).step_by(4096) {
        open.write_all_at(&[0xa5; 64], at as u64 + 100).unwrap();
    }
    let said = refused(&mut cluster.servers[2], 1);
    assert!(said.contains(FILE), "garbled: {said}");
    assert_goes_on(&cluster, "garbled");

    fs::write(&file, &whole).unwrap();
    let server = &mut cluster.servers[2];
    server.start();
    server.wait_until_ready();
    assert_eq!(server.rows(), cluster.servers[0].rows());
}

#[test]
fn the_data_of_another_cluster_or_node_is_refused() {
    let mut cluster = Cluster::ready(1, &["--replication-factor", "1"]);
    let server = &mut cluster.servers[0];
    let mut twin = Server::new(
        "node-1",
        crate::support::ports::block(1),
        cluster.directory.path(),
    );
    let said = refused(&mut twin, 1);
    assert!(said.contains("in use"), "locked: {said}");
    server.kill();
    server.flags.extend(["--cluster".into(), "another".into()]);
    let said = refused(server, 1);
    assert!(
        said.contains("clusterkit") && said.contains("another"),
        "{said}"
    );
    server.flags.truncate(server.flags.len() - 2);
    server.id = "node-2".into();
    let said = refused(server, 1);
    assert!(said.contains("node-1") && said.contains("node-2"), "{said}");
    server.id = "node-1".into();
    server.start();
    server.wait_until_ready();
}

#[test]
fn the_data_of_another_cluster_of_the_same_name_is_refused() {
    let mut other = Cluster::ready(1, &["--replication-factor", "1"]);
    let uuid = |server: &Server| {
        let cluster = server.get("/cluster").json();
        cluster["cluster"]["uuid"]
            .as_str()
            .expect("a uuid")
            .to_owned()
    };
    let theirs = uuid(&other.servers[0]);
    other.servers[0].kill();
    let cluster = Cluster::ready(3, &[]);
    let ours = uuid(&cluster.servers[0]);
    let join = cluster.servers[0].http.to_string();
    other.servers[0].flags = vec!["--join".into(), join];
    let said = refused(&mut other.servers[0], 4);
    assert!(
        said.contains(&ours) && said.contains(&theirs) && said.contains("--data"),
        "{said}"
    );
    assert_goes_on(&cluster, "goes-on");
}

#[test]
fn the_data_of_a_newer_version_is_refused() {
    let mut cluster = Cluster::ready(1, &["--replication-factor", "1"]);
    let server = &mut cluster.servers[0];
    server.kill();
    let table: redb::TableDefinition<'_, &str, &[u8]> = redb::TableDefinition::new("meta");
    let db = redb::Database::open(server.data.join(FILE)).unwrap();
    let txn = db.begin_write().unwrap();
    {
        let mut meta = txn.open_table(table).unwrap();
        let known = meta.get("format").unwrap().unwrap().value().to_vec();
        // A digest, then the number.
        let (digest, format) = known.split_at(8);
        assert_eq!(digest, xxhash_rust::xxh3::xxh3_64(format).to_le_bytes());
        let newer = (u16::from_le_bytes([format[0], format[1]]) + 1).to_le_bytes();
        let record = [
            &xxhash_rust::xxh3::xxh3_64(&newer).to_le_bytes()[..],
            &newer,
        ]
        .concat();
        meta.insert("format", record.as_slice()).unwrap();
    }
    txn.commit().unwrap();
    drop(db);
    let said = refused(&mut cluster.servers[0], 1);
    assert!(
        said.contains("format 2") && said.contains("newer version"),
        "{said}"
    );
}

#[test]
fn a_wiped_disk_is_refused_until_the_node_is_removed() {
    let mut cluster = Cluster::ready(3, &[]);
    let rows = cluster.servers[0].rows();
    let server = &mut cluster.servers[2];
    server.kill();
    fs::remove_dir_all(&server.data).unwrap();
    let said = refused(server, 4);
    assert!(said.contains("ck remove node-3"), "{said}");
    assert_eq!(cluster.servers[0].rows(), rows);
    assert_goes_on(&cluster, "wiped");

    let removed = run(&[
        "remove",
        "node-3",
        "--server",
        &cluster.addresses(),
        "--json",
    ]);
    let removed_said = String::from_utf8_lossy(&removed.stderr).into_owned();
    assert_eq!(removed.status.code(), Some(0), "{removed_said}");
    let removed: Value = serde_json::from_slice(&removed.stdout).unwrap();
    assert_eq!(
        (&removed["node"], &removed["node_count"]),
        (&"node-3".into(), &2.into())
    );
    let server = &mut cluster.servers[2];
    fs::remove_dir_all(&server.data).unwrap();
    server.start();
    server.wait_until_ready();
    let node = server.get("/v1/nodes/node-3").json();
    assert_eq!(node["node"]["member"], 4, "{node}");
    assert_goes_on(&cluster, "back");
}
