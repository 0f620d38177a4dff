//! A last write that reached the disk in part.

use std::collections::BTreeMap;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use crate::support::{BOUND, Cluster, Node, answer, preloaded, send, wait_for};

/// Keys written before the power goes, and how large their values are: some pages each.
const KEYS: usize = 24;
const VALUE: usize = 9_000;

/// Bytes of a page of the store's file.
const PAGE: usize = 4_096;

fn store(node: &Node) -> PathBuf {
    node.data.join("kv/store.redb")
}

fn value(key: usize, turn: usize) -> Vec<u8> {
    let text = format!("{key} in turn {turn};");
    text.bytes().cycle().take(VALUE).collect()
}

/// Three nodes on disks that may be cut off in the middle of writing.
fn cluster() -> Cluster {
    let mut cluster = Cluster::of(3, 0, &["--partitions", "4"]);
    let library = preloaded(cluster.directory(), "power_loss")
        .display()
        .to_string();
    for node in &mut cluster.nodes {
        let all = [
            ("LD_PRELOAD", library.clone()),
            // The cluster's own log is another test's concern.
            ("CK_SHIM_DIR", node.data.join("kv").display().to_string()),
            ("CK_SHIM_TEAR", "1".to_owned()),
            (
                "CK_SHIM_HOLD_FSYNC_WHILE",
                holding(node).display().to_string(),
            ),
        ];
        let all = all
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value));
        node.environment.extend(all);
    }
    cluster.start_all();
    cluster.wait_until_serving();
    cluster
}

/// While this file is there, nothing that is synced comes to an end.
fn holding(node: &Node) -> PathBuf {
    node.data.with_extension("hold")
}

fn is_held(node: &Node) -> bool {
    let mut name = holding(node).into_os_string();
    name.push(".held");
    Path::new(&name).exists()
}

fn fill(cluster: &Cluster, turn: usize) -> BTreeMap<String, Vec<u8>> {
    let mut written = BTreeMap::new();
    for key in 0..KEYS {
        let (path, value) = (format!("/kv/torn-{key}"), value(key, turn));
        let put = cluster.nodes[key % 3].put(&path, &value);
        assert_eq!(put.status, 204, "{}", put.text());
        written.insert(path, value);
    }
    written
}

/// Every key reads as one of the values that it may have, through every node.
fn assert_reads(cluster: &Cluster, path: &str, allowed: &[&[u8]]) {
    for node in &cluster.nodes {
        let found = wait_for(&format!("{path} can be read"), BOUND, || {
            node.ask("GET", path, b"")
                .filter(|reply| reply.status == 200)
        });
        let right = allowed.iter().any(|value| *value == &*found.body);
        assert!(
            right,
            "{path} through {}: {} bytes",
            node.id,
            found.body.len()
        );
    }
}

/// The power goes everywhere while the same write is on its way to every disk.
#[test]
fn a_write_that_was_torn_everywhere_is_there_whole_or_not_at_all() {
    let mut cluster = cluster();
    let written = fill(&cluster, 1);
    let synced: Vec<_> = cluster
        .nodes
        .iter()
        .map(|node| std::fs::read(store(node)).unwrap())
        .collect();
    for node in &cluster.nodes {
        std::fs::write(holding(node), b"").unwrap();
    }
    let (_, at) = cluster.primary_of("torn-0");
    let new = value(0, 2);
    let bound = std::time::Duration::from_secs(20);
    let open = send(
        cluster.nodes[at].http,
        "PUT",
        "/kv/torn-0",
        &[],
        &new,
        bound,
    )
    .unwrap();
    for node in &cluster.nodes {
        wait_for("the write is on its way to each disk", BOUND, || {
            is_held(node).then_some(())
        });
    }
    cluster.nodes.iter_mut().for_each(Node::kill);
    let told = answer(open);
    assert!(
        told.as_ref().map_or(true, |reply| reply.status >= 500),
        "acknowledged without a sync: {told:?}"
    );
    for (node, synced) in cluster.nodes.iter().zip(&synced) {
        let left = std::fs::read(store(node)).unwrap();
        assert!(left != *synced, "nothing was torn on {}", node.id);
        std::fs::remove_file(holding(node)).unwrap();
    }
    cluster.start_all();
    cluster.wait_until_serving();
    for (path, value) in &written {
        let mut allowed = vec![&**value];
        if path == "/kv/torn-0" {
            allowed.push(&new);
        }
        assert_reads(&cluster, path, &allowed);
    }
    assert_eq!(cluster.wait_until_equal(), 12);
}

/// Half of each page that the last acknowledged write changed is gone, although it was synced: a disk
/// that lies. The node does not start, or is made right by the others; nothing wrong is ever served.
#[test]
fn a_last_record_that_a_disk_lost_half_of_is_mended_by_the_other_copies() {
    let mut cluster = cluster();
    let mut written = fill(&cluster, 1);
    let (_, at) = cluster.primary_of("torn-0");
    let before = std::fs::read(store(&cluster.nodes[at])).unwrap();
    let new = value(0, 2);
    assert_eq!(cluster.nodes[at].put("/kv/torn-0", &new).status, 204);
    written.insert("/kv/torn-0".to_owned(), new);
    cluster.nodes[at].kill();
    assert!(halve_what_changed(&before, &store(&cluster.nodes[at])) > 2);
    cluster.nodes[at].start();
    let started = wait_for("it serves, or has ended", BOUND, || {
        if cluster.nodes[at].has_ended() {
            return Some(false);
        }
        let ready = cluster.nodes[at].ask("GET", "/ready", b"")?;
        (ready.status == 200).then_some(true)
    });
    if !started {
        // As a new member, with an empty directory, which is what it says.
        std::fs::remove_dir_all(&cluster.nodes[at].data).unwrap();
        let path = format!("/v1/nodes/{}", cluster.nodes[at].id);
        wait_for("the old member is out", BOUND, || {
            let reply = cluster.nodes[(at + 1) % 3].ask("DELETE", &path, b"")?;
            [200, 202, 204, 404].contains(&reply.status).then_some(())
        });
        cluster.nodes[at].start();
    }
    eprintln!("with half of its last record, the node started: {started}");
    cluster.wait_until_serving();
    for (path, value) in &written {
        assert_reads(&cluster, path, &[value]);
    }
    assert_eq!(cluster.wait_until_equal(), 12);
    for (path, value) in &written {
        let stale = cluster.nodes[at].get(&format!("{path}?consistency=stale"));
        assert!(stale.body == *value, "{path} at the mended copy");
    }
}

/// Zeroes the second half of every page but the first that differs from what was there before.
fn halve_what_changed(before: &[u8], path: &Path) -> usize {
    let now = std::fs::read(path).unwrap();
    let file = std::fs::File::options().write(true).open(path).unwrap();
    let mut halved = 0;
    for (at, page) in now.chunks(PAGE).enumerate().skip(1) {
        let start = at * PAGE;
        let old = before.get(start..start + page.len());
        if old != Some(page) {
            let half = (start + PAGE / 2) as u64;
            file.write_all_at(&[0; PAGE / 2][..page.len().saturating_sub(PAGE / 2)], half)
                .unwrap();
            halved += 1;
        }
    }
    halved
}
