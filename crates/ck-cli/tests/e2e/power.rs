//! Power loss: a preloaded library drops what was not synced when the process is killed.
#![cfg(target_os = "linux")]

use std::path::Path;
use std::time::Duration;

use crate::support::{BOUND, Cluster, Server, preloaded, request};

/// Changes acknowledged before the power goes.
const CHANGES: usize = 8;

/// A node of its own whose disk forgets what was not synced.
fn node(directory: &Path) -> Server {
    let library = preloaded(directory, "power_loss");
    let mut cluster = Cluster::of(1, &["--replication-factor", "1", "--partitions", "8"]);
    let mut server = cluster.servers.remove(0);
    server.data = directory.canonicalize().expect("it is there").join("data");
    server.environment = vec![
        ("LD_PRELOAD".into(), library.display().to_string()),
        ("CK_SHIM_DIR".into(), server.data.display().to_string()),
    ];
    server
}

/// Writes values until each is acknowledged, then cuts the power.
fn acknowledge_then_cut(server: &mut Server) {
    server.start();
    server.wait_until_ready();
    for change in 0..CHANGES {
        let path = format!("/v1/custom/change-{change}");
        let bound = Duration::from_secs(10);
        let reply = request(server.http, "PUT", &path, &[], b"acknowledged", bound).unwrap();
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    server.kill();
}

/// How many of the acknowledged values a node has; none when it is not even the same cluster.
fn found(server: &Server) -> usize {
    (0..CHANGES)
        .filter(|change| server.get(&format!("/v1/custom/change-{change}")).body == b"acknowledged")
        .count()
}

#[test]
fn what_was_acknowledged_is_there_after_a_power_cut() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = node(directory.path());
    acknowledge_then_cut(&mut server);
    server.start();
    server.wait_until_ready();
    assert_eq!(found(&server), CHANGES);
    // And once more, over a store that has been through it.
    server.kill();
    server.start();
    server.wait_until_ready();
    assert_eq!(found(&server), CHANGES);
}

#[test]
fn without_fsync_the_same_check_fails() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = node(directory.path());
    server
        .environment
        .push(("CK_SHIM_IGNORE_FSYNC".into(), "1".into()));
    acknowledge_then_cut(&mut server);
    server.start();
    let lost = crate::support::wait_for("the node is up or has ended", BOUND, || {
        if !server.process().is_running() {
            return Some(CHANGES);
        }
        let ready = server
            .try_get("/ready")
            .is_some_and(|reply| reply.status == 200);
        ready.then(|| CHANGES - found(&server))
    });
    assert!(
        lost > 0,
        "with fsync removed everything was still there: the check proves nothing"
    );
}

/// What a disk holds after a failed fsync is unknown, so the process that saw it must not go on,
/// nor try again.
#[test]
fn a_failed_fsync_ends_the_process_and_loses_nothing_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let failing = directory.path().join("fsync-fails");
    let mut server = node(directory.path());
    let named = failing.display().to_string();
    server
        .environment
        .push(("CK_SHIM_FAIL_FSYNC_WHILE".into(), named));
    server.start();
    server.wait_until_ready();
    let bound = Duration::from_secs(10);
    let put = |path: &str| request(server.http, "PUT", path, &[], b"acknowledged", bound);
    assert_eq!(put("/v1/custom/change-0").unwrap().status, 200);
    std::fs::write(&failing, b"").unwrap();
    let answer = put("/v1/custom/change-1");
    assert!(
        answer.is_err() || answer.is_ok_and(|reply| reply.status >= 500),
        "not acknowledged"
    );
    let ended = server.process().wait_for_end(BOUND);
    assert!(ended.code().is_some_and(|code| code != 0), "{ended}");
    let printed = server.process().printed();
    assert!(printed.contains("consensus core has died"), "{printed}");
    std::fs::remove_file(&failing).unwrap();
    server.start();
    server.wait_until_ready();
    assert_eq!(server.get("/v1/custom/change-0").body, b"acknowledged");
}
