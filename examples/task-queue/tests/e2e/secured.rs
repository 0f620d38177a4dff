//! Three nodes with certificates and tokens: tasks cross them, and who may ask what.

use crate::support::secured::{ADMIN, OPERATE, READ};
use crate::support::{BOUND, Cluster, wait_for};

#[test]
fn tasks_cross_nodes_with_certificates_and_strangers_do_not_get_in() {
    let (cluster, secured) = Cluster::secured(3);
    let http: Vec<_> = cluster.nodes.iter().map(|node| node.http).collect();
    let operator = secured.caller(Some(OPERATE));
    let reader = secured.caller(Some(READ));
    // Everywhere, so that the others are asked for it.
    for (at, node) in http.iter().enumerate() {
        for task in 0..8 {
            let path = format!("/queues/mail?key={at}-{task}");
            wait_for("a task is taken", BOUND, || {
                (operator.status(*node, "POST", &path, b"x") == 201).then_some(())
            });
        }
    }
    wait_for("every node counts what all have", BOUND, || {
        let counted = http.iter().all(|node| {
            let answer = reader.ask(*node, "GET", "/queues/mail", b"");
            answer.is_ok_and(|(status, body)| status == 200 && body.contains("\"ready\":24"))
        });
        counted.then_some(())
    });
    let mut leased = 0;
    while leased < 24 {
        let path = "/queues/mail/lease?max=64&wait_ms=5000";
        let (status, body) = operator.ask(http[0], "POST", path, b"").unwrap();
        assert_eq!(status, 200, "{body}");
        let some = body.matches("\"receipt\"").count();
        assert!(some > 0, "{leased} of 24: {body}");
        leased += some;
    }
    for (method, path) in [
        ("GET", "/queue-peer/wait?queue=mail&wait_ms=0"),
        ("POST", "/kv-peer/append"),
    ] {
        for token in [None, Some(ADMIN)] {
            let refused = secured.caller(token).status(http[0], method, path, b"");
            assert_eq!(refused, 403, "{path} with {token:?}");
        }
        let stranger = secured.node("node-9", &secured);
        assert_eq!(stranger.status(http[0], method, path, b""), 403, "{path}");
    }
    assert_eq!(
        reader.status(http[0], "POST", "/queues/mail/lease", b""),
        403
    );
    let nobody = secured.caller(None);
    assert_eq!(nobody.status(http[0], "GET", "/queues/mail", b""), 401);
}
