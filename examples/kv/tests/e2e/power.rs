//! Power loss on every node at once, and a disk that fails: a preloaded library drops what was not
//! synced.

use std::path::{Path, PathBuf};

use crate::support::{BOUND, Cluster, Node, Writers, preloaded, wait_for};

/// Three nodes, each on a disk that forgets what was not synced of a part of its data directory.
fn cluster(part: impl Fn(&Path) -> PathBuf) -> Cluster {
    let mut cluster = Cluster::of(3, 0, &["--partitions", "4"]);
    let library = preloaded(cluster.directory(), "power_loss");
    for node in &mut cluster.nodes {
        let all = [
            ("LD_PRELOAD", library.clone()),
            ("CK_SHIM_DIR", part(&node.data)),
            ("CK_SHIM_FAIL_FSYNC_WHILE", failing(node)),
        ];
        let all = all
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.display().to_string()));
        node.environment.extend(all);
    }
    cluster.start_all();
    cluster.wait_until_serving();
    cluster
}

/// The store alone: the cluster's own log is on a disk that neither fails nor forgets.
fn store(data: &Path) -> PathBuf {
    data.join("kv")
}

/// While this file is there, every sync fails.
fn failing(node: &Node) -> PathBuf {
    node.data.with_extension("fails")
}

/// Cuts the power everywhere while clients write. Returns what was acknowledged and is not there.
fn lost_in_a_power_cut(cluster: &mut Cluster) -> Vec<String> {
    let writers = Writers::start(&cluster.addresses(), 4);
    writers.wait_for_more(100);
    cluster.nodes.iter_mut().for_each(Node::kill);
    let written = writers.stop();
    cluster.start_all();
    cluster.wait_until_serving();
    written.lost_by(cluster)
}

#[test]
fn what_was_acknowledged_is_there_after_the_power_was_cut_everywhere() {
    let mut cluster = cluster(Path::to_owned);
    assert_eq!(lost_in_a_power_cut(&mut cluster), [""; 0]);
}

/// All forget, so that no other copy makes up for it.
#[test]
fn without_a_sync_the_same_check_fails() {
    let mut cluster = cluster(store);
    // From here on: a store that was never on the disk would not even be opened again.
    for node in &mut cluster.nodes {
        node.kill();
        let ignored = ("CK_SHIM_IGNORE_FSYNC".to_owned(), "1".to_owned());
        node.environment.push(ignored);
    }
    cluster.start_all();
    cluster.wait_until_serving();
    let lost = lost_in_a_power_cut(&mut cluster);
    assert!(
        !lost.is_empty(),
        "without a sync everything was still there: the check proves nothing"
    );
}

/// What a disk holds after a failed sync is unknown, so the process that saw it does not go on.
#[test]
fn a_failed_sync_ends_the_process_and_the_others_go_on() {
    let mut cluster = cluster(store);
    assert_eq!(cluster.nodes[0].put("/kv/a", b"1").status, 204);
    let (_, at) = cluster.primary_of("a");
    let writers = Writers::start(&[cluster.nodes[(at + 1) % 3].http], 2);
    writers.wait_for_more(20);
    let failing = failing(&cluster.nodes[at]);
    std::fs::write(&failing, b"").unwrap();
    let answer = cluster.nodes[at].ask("PUT", "/kv/a", b"2");
    assert!(
        answer.as_ref().is_none_or(|reply| reply.status >= 500),
        "acknowledged without a sync: {answer:?}"
    );
    wait_for("the failed write is told", BOUND, || {
        (failures(&cluster.nodes[at]) > 0).then_some(())
    });
    // The disk works again: nothing but what it has seen already ends the process.
    std::fs::remove_file(&failing).unwrap();
    // The cluster's own log ends the process with the same code, but its disk is in order.
    assert_eq!(cluster.nodes[at].ended(), Some(70));
    assert_eq!(failures(&cluster.nodes[at]), 1);
    writers.wait_for_more(20);
    let written = writers.stop();
    cluster.nodes[at].start();
    cluster.wait_until_serving();
    written.is_kept_by(&cluster);
    let found = cluster.nodes[at].get("/kv/a").text();
    assert!(["1", "2"].contains(&&*found), "{found}");
    assert_eq!(failures(&cluster.nodes[at]), 1);
}

/// How many failed writes to its store a node has told of.
fn failures(node: &Node) -> usize {
    let printed = node.printed();
    let told = |line: &&str| line.contains("a write failed") && line.contains("kv/store.redb");
    printed.lines().filter(told).count()
}
