//! Cut cables under load, in network namespaces that the test makes and removes. Skipped with a word
//! where that is not possible: it takes root.

use std::time::{Duration, Instant};

use crate::support::history::{History, Load};
use crate::support::net::{Net, in_namespaces};
use crate::support::{BOUND, Cluster, request, wait_for};

/// How long after the network is whole again all copies are alike.
const ALIKE: Duration = Duration::from_secs(10);

/// Keys that fall into every partition.
const PROBES: usize = 24;

/// Cuts a node off from another one, each counted from 0.
type Cut = fn(&mut Net, usize, usize);

/// Waits until every partition takes writes from those that are not cut off.
fn written_elsewhere(cluster: &Cluster, victim: usize) {
    for probe in 0..PROBES {
        let node = &cluster.nodes[(victim + 1 + probe % 2) % 3];
        let path = format!("/kv/elsewhere-{probe}");
        wait_for("the others write", BOUND, || {
            let bound = Duration::from_secs(2);
            let reply = request(node.http, "PUT", &path, &[], b"x", bound).ok()?;
            (reply.status == 204).then_some(())
        });
    }
}

/// Every node is the primary of some partitions and a replica of the others, so each cut takes away
/// primaries and replicas at once. The test is at an end of its own that stays whole: whoever is cut
/// off is asked on, and would answer what is not true any more.
#[test]
fn whoever_is_cut_off_loses_nothing_and_serves_nothing_that_is_old() {
    in_namespaces(3, |mut net| {
        let mut cluster = Cluster::inside(&net, 3, &["--partitions", "6"]);
        cluster.start_all();
        cluster.wait_until_serving();
        let load = Load::on(cluster.addresses(), "cut-");
        let mut history = History::new();
        let leads = cluster.leader();
        let both: Cut = |net, victim, other| {
            net.cut(victim, other);
            net.cut(other, victim);
        };
        let not_heard: Cut = |net, victim, other| net.cut(victim, other);
        let does_not_hear: Cut = |net, victim, other| net.cut(other, victim);
        for (what, victim, cut) in [
            ("from which nothing comes", (leads + 1) % 3, not_heard),
            ("to which nothing comes", (leads + 2) % 3, does_not_hear),
            ("that leads, both ways", leads, both),
        ] {
            let clients = history.begin(&load);
            clients.wait_for_more(40);
            let begun = Instant::now();
            for other in (0..3).filter(|other| *other != victim) {
                cut(&mut net, victim, other);
            }
            written_elsewhere(&cluster, victim);
            eprintln!(
                "a node {what}: written elsewhere after {:?}",
                begun.elapsed()
            );
            clients.wait_for_more(24);
            net.heal();
            let healed = Instant::now();
            history.end(clients);
            cluster.wait_until_equal();
            eprintln!("alike {:?} after healing", healed.elapsed());
            assert!(healed.elapsed() <= ALIKE, "{:?}", healed.elapsed());
        }
        // What is slow and lost at times is not cut off: the clients get on.
        net.weather(10, 5, 10);
        let clients = history.begin(&load);
        clients.wait_for_more(40);
        history.end(clients);
        net.heal();
        let report = history.judge(&load);
        assert!(report.acknowledged > 60, "{}", report.acknowledged);
    });
}
