//! Power loss on every node at once: a preloaded library drops what was not synced.

use crate::support::{Cluster, Node, Writers, preloaded};

fn cluster() -> Cluster {
    let mut cluster = Cluster::of(3, 0, &["--partitions", "4"]);
    let library = preloaded(cluster.directory(), "power_loss")
        .display()
        .to_string();
    for node in &mut cluster.nodes {
        let data = node.data.display().to_string();
        node.environment = vec![
            ("LD_PRELOAD".to_owned(), library.clone()),
            ("CK_SHIM_DIR".to_owned(), data),
        ];
    }
    cluster.nodes.iter_mut().for_each(Node::start);
    cluster.wait_until_serving();
    cluster
}

#[test]
fn what_was_acknowledged_is_there_after_the_power_was_cut_everywhere() {
    let mut cluster = cluster();
    let writers = Writers::start(&cluster.addresses(), 4);
    writers.wait_for_more(100);
    cluster.nodes.iter_mut().for_each(Node::kill);
    let written = writers.stop();
    cluster.nodes.iter_mut().for_each(Node::start);
    cluster.wait_until_serving();
    written.is_kept_by(&cluster);
}

#[test]
fn without_a_sync_the_same_check_fails() {
    let mut cluster = cluster();
    // All forget, so that no other copy makes up for it. The cluster itself may not come back: its
    // own log is as lost.
    for node in &mut cluster.nodes {
        node.kill();
        let ignored = ("CK_SHIM_IGNORE_FSYNC".to_owned(), "1".to_owned());
        node.environment.push(ignored);
    }
    cluster.start_all();
    cluster.wait_until_serving();
    let writers = Writers::start(&cluster.addresses(), 2);
    writers.wait_for_more(50);
    let file = |node: &Node| std::fs::read(node.data.join("kv/store.redb")).unwrap();
    let synced: Vec<_> = cluster.nodes.iter().map(file).collect();
    let before = writers.acknowledged();
    writers.wait_for_more(50);
    assert!(writers.acknowledged() > before);
    cluster.nodes.iter_mut().for_each(Node::kill);
    writers.stop();
    // Nothing of it has reached a disk: the check above would find none of it.
    let now: Vec<_> = cluster.nodes.iter().map(file).collect();
    assert!(synced == now, "something was written without a sync");
}

/// What a disk holds after a failed sync is unknown, so the process that saw it does not go on.
#[test]
fn a_failed_sync_ends_the_process_and_the_others_go_on() {
    let mut cluster = cluster();
    let (_, at) = cluster.primary_of("a");
    let failing = cluster.directory().join("fails");
    let mut nodes = std::mem::take(&mut cluster.nodes);
    nodes[at].kill();
    let named = failing.display().to_string();
    nodes[at]
        .environment
        .push(("CK_SHIM_FAIL_FSYNC_WHILE".to_owned(), named));
    nodes[at].start();
    cluster.nodes = nodes;
    cluster.wait_until_serving();
    assert_eq!(cluster.nodes[(at + 1) % 3].put("/kv/a", b"1").status, 204);
    std::fs::write(&failing, b"").unwrap();
    let writers = Writers::start(&[cluster.nodes[(at + 1) % 3].http], 2);
    let code = cluster.nodes[at].ended();
    assert!(code.is_some_and(|code| code != 0), "{code:?}");
    writers.wait_for_more(20);
    let written = writers.stop();
    std::fs::remove_file(&failing).unwrap();
    cluster.nodes[at].start();
    cluster.wait_until_serving();
    written.is_kept_by(&cluster);
}
