//! Three nodes with certificates and tokens: they replicate, and who may ask what.

use crate::support::secured::{ADMIN, Caller, OPERATE, READ, Secured};
use crate::support::{BOUND, Cluster, wait_for};

/// Keys that are written over each node.
const KEYS: usize = 8;

#[test]
fn nodes_with_certificates_replicate_and_let_in_members_and_roles() {
    let mut cluster = Cluster::of(3, 0, &["--partitions", "4", "--profile", "lan"]);
    let secured = Secured::new(cluster.directory());
    for node in &mut cluster.nodes {
        node.flags.extend(secured.flags(&node.id));
    }
    cluster.start_all();
    let (operator, reader) = (secured.caller(Some(OPERATE)), secured.caller(Some(READ)));
    every_write_is_read_everywhere(&cluster, &operator, &reader);
    keys_are_for_who_has_the_role(&cluster, &secured);
    between_nodes_is_for_members(&cluster, &secured);
}

fn every_write_is_read_everywhere(cluster: &Cluster, operator: &Caller, reader: &Caller) {
    for (at, node) in cluster.nodes.iter().enumerate() {
        for key in 0..KEYS {
            let path = format!("/kv/{at}-{key}");
            wait_for("a write is acknowledged", BOUND, || {
                let status = operator.status(node.http, "PUT", &path, path.as_bytes());
                (status == 204).then_some(())
            });
        }
    }
    for reads in &cluster.nodes {
        for (at, key) in (0..cluster.nodes.len()).flat_map(|at| (0..KEYS).map(move |key| (at, key)))
        {
            let path = format!("/kv/{at}-{key}");
            let (status, value) = reader.ask(reads.http, "GET", &path, b"").unwrap();
            assert_eq!((status, value), (200, path));
        }
    }
    // Copied, and not only passed on.
    wait_for("all copies are equal, and hold everything", BOUND, || {
        let figures = cluster.nodes.iter().map(|node| {
            let partitions = 0..4;
            let asked = partitions.map(|number| {
                let path = format!("/digest/{number}");
                let (_, answer) = reader.ask(node.http, "GET", &path, b"").ok()?;
                let answer: serde_json::Value = serde_json::from_str(&answer).ok()?;
                Some((
                    answer["keys"].as_u64()?,
                    answer["digest"].as_str()?.to_owned(),
                ))
            });
            asked.collect::<Option<Vec<_>>>()
        });
        let figures: Vec<_> = figures.collect::<Option<_>>()?;
        let keys: u64 = figures[0].iter().map(|(keys, _)| keys).sum();
        let same = figures.iter().all(|one| *one == figures[0]);
        (same && keys == (cluster.nodes.len() * KEYS) as u64).then_some(())
    });
}

fn keys_are_for_who_has_the_role(cluster: &Cluster, secured: &Secured) {
    for (token, reads, writes) in [
        (None, 401, 401),
        (Some("wrong"), 401, 401),
        (Some(READ), 200, 403),
        (Some(OPERATE), 200, 204),
        (Some(ADMIN), 200, 204),
    ] {
        let caller = secured.caller(token);
        for node in &cluster.nodes {
            let got = caller.status(node.http, "GET", "/kv/0-0", b"");
            assert_eq!(got, reads, "GET with {token:?}");
            let put = caller.status(node.http, "PUT", "/kv/other", b"1");
            assert_eq!(put, writes, "PUT with {token:?}");
        }
    }
}

fn between_nodes_is_for_members(cluster: &Cluster, secured: &Secured) {
    let node = &cluster.nodes[0];
    let path = "/kv-peer/append";
    for token in [None, Some(READ), Some(ADMIN)] {
        let refused = secured.caller(token).status(node.http, "POST", path, b"");
        assert_eq!(refused, 403, "with {token:?} and no certificate");
    }
    // Of the authority, and of no member.
    let stranger = secured.node("node-9", secured);
    assert_eq!(stranger.status(node.http, "POST", path, b""), 403);
    assert_eq!(stranger.status(node.http, "GET", "/kv/0-0", b""), 401);
    // Of a member, and of another authority: it is not even listened to.
    let elsewhere = tempfile::tempdir().expect("a temporary directory");
    let others = Secured::new(elsewhere.path());
    let impostor = secured.node("node-2", &others);
    assert_eq!(impostor.status(node.http, "POST", path, b""), 0);
    // A member is let in; what it says is no frame.
    let member = secured.node("node-2", secured);
    assert_eq!(member.status(node.http, "POST", path, b"x"), 400);
    assert_eq!(member.status(node.http, "GET", "/kv/0-0", b""), 200);
    // That opens nothing of the node's own.
    let drain = member.status(node.http, "POST", "/v1/nodes/node-3/drain", b"");
    assert_eq!(drain, 401);
}
