//! A stop that lasts, and one that is told a second time.

use std::time::{Duration, Instant};

use crate::support::application::{Application, Does};
use crate::support::owners::settle;
use crate::support::{BOUND, Cluster, wait_for};

/// Signals closer together than this are one, as documented.
const SAME_TELLING: Duration = Duration::from_millis(250);

/// Far less than the time a node gives those that take its roles over, and what a slow machine adds.
const AT_ONCE: Duration = Duration::from_secs(4);

#[test]
fn a_second_signal_ends_a_stop_that_waits_for_its_application() {
    let flags = ["--partitions", "8", "--replication-factor", "2"];
    let mut cluster = Cluster::ready(2, &[&flags[..], &["--profile", "fast"]].concat());
    settle(8, &cluster.servers.iter().collect::<Vec<_>>(), BOUND);
    let application = Application::of(&cluster.servers[1]);
    application.does(|order| match order["event"].as_str() {
        Some("release") => Does::Hang,
        _ => Does::Ack,
    });
    let node = cluster.servers[1].process();
    node.signal("TERM");
    let heard = wait_for("a role is to be handed over", BOUND, || {
        let told = application.told().into_iter();
        told.into_iter()
            .any(|order| order["event"] == "release")
            .then(Instant::now)
    });
    let ready = cluster.servers[1].get("/ready");
    assert_eq!(ready.status, 503);
    assert!(ready.text().contains("is stopping"), "{}", ready.text());
    wait_for("a signal counts anew", BOUND, || {
        (heard.elapsed() > SAME_TELLING).then_some(())
    });
    let node = cluster.servers[1].process();
    assert!(node.is_running(), "the stop lasts: {}", node.printed());
    node.signal("TERM");
    let ended = node.wait_for_end(AT_ONCE);
    let printed = node.printed();
    assert_eq!(ended.code(), Some(1), "{printed}");
    assert!(
        printed.contains("error: stopped at once, as asked a second time"),
        "{printed}"
    );
    assert!(!printed.contains("has stopped"), "{printed}");
    // It stays a member, with its data.
    drop(application);
    cluster.servers[1].start();
    cluster.servers[1].wait_until_ready();
    settle(8, &cluster.servers.iter().collect::<Vec<_>>(), BOUND);
}
