//! `ck backup` of a running cluster, and `ck restore` of another incarnation of it.

use std::path::Path;

use crate::support::owners::wait_for_owners;
use crate::support::{BOUND, Cluster, Server, argument, json, run, said};

const PARTITIONS: usize = 64;

#[track_caller]
fn refused(args: &[&str], code: i32, part: &str) {
    let output = run(args);
    assert_eq!(
        output.status.code(),
        Some(code),
        "{args:?}: {}",
        said(&output)
    );
    assert!(said(&output).contains(part), "{part:?}: {}", said(&output));
}

#[track_caller]
fn put(server: &Server, key: &str) {
    let reply = server.send("PUT", &format!("/v1/custom/{key}"), "x");
    assert!(matches!(reply.status, 200 | 201), "{}", reply.text());
}

fn epochs(server: &Server) -> Vec<u64> {
    let answer = server.get("/partitions").json();
    let rows = answer["partitions"].as_array().unwrap().iter();
    rows.map(|row| row["epoch"].as_u64().unwrap()).collect()
}

#[test]
fn a_restored_cluster_goes_on_from_its_backup_and_refuses_its_past() {
    let mut cluster = Cluster::ready(3, &[]);
    let all: Vec<&Server> = cluster.servers.iter().collect();
    wait_for_owners(PARTITIONS, &all, BOUND);
    put(&cluster.servers[0], "before");
    let rows = cluster.servers[0].copies();
    let (file, addresses) = (cluster.directory.path().join("kept"), cluster.addresses());
    let take = ["backup", argument(&file), "--server", &addresses];
    let taken = json(&take);
    assert_eq!(
        (&taken["members"], &taken["partitions"]),
        (&3.into(), &64.into())
    );
    refused(&take, 4, "--force");
    json(&[&take[..], &["--force"]].concat());
    let before = epochs(&cluster.servers[0]);
    put(&cluster.servers[0], "after");
    cluster.servers.iter_mut().for_each(Server::kill);
    let data = [0, 1].map(|at: usize| cluster.servers[at].data.clone());
    // The founder is not the one that begins: it must not form the cluster a second time.
    let restore = ["restore", argument(&file), "--id", "node-2", "--data"];
    let restore = [&restore[..], &[argument(&data[1]), "--trust-copies"]].concat();
    refused(&restore, 4, "is there already");
    for data in &data {
        std::fs::remove_dir_all(data).unwrap();
    }
    let restored = json(&restore);
    let uuid = restored["uuid"].as_str().unwrap();
    assert_ne!(taken["uuid"], uuid);
    assert!(restored["incarnation"].as_u64() > taken["incarnation"].as_u64());
    let other = ["restore", argument(&file), "--id", "node-1", "--data"];
    json(&[&other[..], &[argument(&data[0]), "--into", uuid]].concat());
    for server in &mut cluster.servers[..2] {
        server.start();
    }
    let alive: Vec<&Server> = cluster.servers[..2].iter().collect();
    wait_for_owners(PARTITIONS, &alive, BOUND);
    for server in &alive {
        assert_eq!(server.copies(), rows, "every copy is where it was");
        assert_eq!(server.get("/v1/custom/before").text(), "x");
        assert_eq!(server.get("/v1/custom/after").status, 404);
        let now = epochs(server);
        assert!(
            now.iter().zip(&before).all(|(now, before)| now > before),
            "{now:?}"
        );
    }

    // What was not restored is refused.
    let third = &mut cluster.servers[2];
    third.start();
    assert!(!third.process().wait_for_end(BOUND).success());
    let printed = third.process().printed();
    assert!(printed.contains(uuid), "{printed}");
}

#[test]
fn a_file_that_is_no_whole_backup_makes_no_directory() {
    let cluster = Cluster::ready(1, &["--replication-factor", "1"]);
    let directory = cluster.directory.path();
    let (file, data) = (directory.join("kept"), directory.join("restored"));
    json(&["backup", argument(&file), "--server", &cluster.addresses()]);
    let whole = std::fs::read(&file).unwrap();
    let (file, data) = (argument(&file), argument(&data));
    let restore = ["restore", file, "--data", data, "--id", "node-1"];
    let middle = whole.len() / 2;
    let changed = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        bytes
    };
    for (bytes, part) in [
        (Vec::new(), "no backup"),
        (b"hello, world, what is this?".to_vec(), "no backup"),
        (whole[..middle].to_vec(), "damaged"),
        (changed(middle), "damaged"),
        (changed(whole.len() - 1), "damaged"),
        (changed(9), "newer"),
        ([&whole[..], b"x"].concat(), "damaged"),
    ] {
        std::fs::write(file, bytes).unwrap();
        refused(&restore, 1, part);
        assert!(!Path::new(data).exists(), "{part}");
    }
    std::fs::write(file, &whole).unwrap();
    let other = ["restore", file, "--data", data, "--id", "node-7"];
    refused(&other, 4, "the members are node-1");
    assert!(!Path::new(data).exists());
    let nowhere = cluster.directory.path().join("no-such-folder").join("kept");
    refused(
        &[
            "backup",
            argument(&nowhere),
            "--server",
            &cluster.addresses(),
        ],
        1,
        "cannot write",
    );
}
