//! Waiting until a cluster has owners.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::watch::{Claim, owned};
use super::{Server, wait_for};

/// Owner and epoch by partition.
pub(crate) type Owners = BTreeMap<String, (String, u64)>;

fn ask(server: &Server) -> Option<Claim> {
    owned(&server.id, server.http, Duration::from_secs(2))
}

/// Who claims what, asked once of each.
pub(crate) fn claims(servers: &[&Server]) -> Owners {
    let claims = servers.iter().filter_map(|server| ask(server));
    let mut owners = Owners::new();
    for claim in claims {
        for (partition, epoch) in claim.owned {
            let newest = owners.entry(partition);
            let newest = newest.or_insert_with(|| (claim.node.clone(), epoch));
            if newest.1 < epoch {
                *newest = (claim.node.clone(), epoch);
            }
        }
    }
    owners
}

/// Waits until every partition is owned by one of `servers`, and every one of them routes each
/// partition to its owner.
#[track_caller]
pub(crate) fn wait_for_owners(partitions: usize, servers: &[&Server], bound: Duration) -> Owners {
    let mut seen = String::new();
    let owners = bounded(bound, || {
        let owners = claims(servers);
        seen = format!("{} of {partitions} are owned", owners.len());
        if owners.len() != partitions {
            return None;
        }
        for server in servers {
            let table = server.try_get("/partitions")?.json();
            for row in table["partitions"].as_array()? {
                let (node, epoch) = owners.get(row["id"].as_str()?)?;
                if row["primary_node"] != node.as_str() || row["epoch"] != *epoch {
                    seen = format!("{} says {row}, {node} claims {epoch}", server.id);
                    return None;
                }
            }
        }
        Some(owners)
    });
    owners.unwrap_or_else(|| panic!("not every partition has an owner within {bound:?}: {seen}"))
}

fn bounded<T>(bound: Duration, mut probe: impl FnMut() -> Option<T>) -> Option<T> {
    let begun = std::time::Instant::now();
    loop {
        if let Some(found) = probe() {
            return Some(found);
        }
        if begun.elapsed() > bound {
            return None;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until all is as it should be: owned, in sync, nothing under way.
/// Waits until all is as it should be: owned, in sync, nothing under way.
#[track_caller]
pub(crate) fn settle(partitions: usize, servers: &[&Server], bound: Duration) -> Owners {
    let mut last = String::new();
    let calm = bounded(bound, || {
        let unrest = servers
            .iter()
            .find_map(|one| unrest(one, partitions, servers.len()));
        last = unrest.clone().unwrap_or_default();
        unrest.is_none().then_some(())
    });
    assert!(calm.is_some(), "not calm within {bound:?}: {last}");
    wait_for_owners(partitions, servers, bound)
}

/// What keeps a node's picture from being that of a cluster at rest.
pub(crate) fn unrest(server: &Server, partitions: usize, nodes: usize) -> Option<String> {
    let Some(reply) = server.try_get("/v1/partitions/stats") else {
        return Some(format!("{} does not answer", server.id));
    };
    let stats = reply.json();
    let primaries = stats["partitions_per_node"].as_object();
    let leads =
        |(node, count): (&String, &Value)| count != &Value::from(0) || is_damped(server, node);
    let calm = stats["total_partitions"] == partitions
        && ["in_flight", "unavailable", "under_replicated"]
            .iter()
            .all(|field| stats[*field] == 0)
        && primaries.is_some_and(|all| all.iter().filter(|one| leads(*one)).count() == nodes);
    if !calm {
        return Some(format!("{} says {stats}", server.id));
    }
    let ready = server.try_get("/ready")?;
    (ready.status != 200).then(|| format!("{} says {}", server.id, ready.text()))
}

/// Registrations within the time looked back on that make a node one that flaps: it gets nothing
/// new until that time is past. On a machine that starves its processes, tests meet that.
const FLAPS: (usize, u64) = (3, 120_000);

fn is_damped(server: &Server, node: &str) -> bool {
    let Some(history) = server.try_get("/v1/history") else {
        return false;
    };
    let history = history.json();
    let entries = history["entries"].as_array().cloned().unwrap_or_default();
    let at = |entry: &Value| entry["at_ms"].as_u64().unwrap_or(0);
    let newest = entries.iter().map(at).max().unwrap_or(0);
    let registered = entries.iter().filter(|entry| {
        let recent = newest.saturating_sub(at(entry)) < FLAPS.1;
        entry["kind"] == "register" && entry["actor"] == node && recent
    });
    registered.count() >= FLAPS.0
}

/// Asserts that a node that was away has roles again, unless it flaps.
#[track_caller]
pub(crate) fn assert_leads(server: &Server, owners: &Owners, node: &str) {
    let leads = owners.values().any(|(owner, _)| owner == node);
    assert!(leads || is_damped(server, node), "no role back: {owners:?}");
}

/// Which of `servers` leads the log.
#[track_caller]
pub(crate) fn leader(servers: &[Server]) -> usize {
    wait_for("a leader is known", Duration::from_secs(10), || {
        servers.iter().position(|server| {
            let reply = server.try_get("/consensus/stats");
            reply.is_some_and(|reply| reply.json()["state"] == "Leader")
        })
    })
}

/// The longest row of copies that is in sync, told by each partition's own page.
pub(crate) fn is_in_sync(server: &Server, node: &str) -> Option<bool> {
    for (id, ..) in server.rows() {
        let detail = server.try_get(&format!("/v1/partitions/{id}"))?.json();
        let copies = detail["replicas"].as_array()?.clone();
        let theirs = copies.iter().find(|copy| copy["node"] == node);
        if theirs.is_some_and(|copy| copy["in_sync"] != true) {
            return Some(false);
        }
    }
    Some(true)
}
