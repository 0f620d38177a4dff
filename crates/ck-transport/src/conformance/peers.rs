//! Peers: who they are, and how they come and go.

use std::time::Duration;

use crate::{Address, ClusterId, PeerId, Request, TransportError};

use super::probe::{ECHO, WAIT, WHO, reaches};
use super::{CLUSTER, Fixture, PATIENCE, Side, id, pair, soon};

/// How soon a peer that came back is found.
const FOUND_AGAIN: Duration = Duration::from_secs(2);

/// A request for one member is not handed to another.
pub async fn another_member_is_refused(fixture: &dyn Fixture) {
    let (one, two) = pair(fixture).await;
    let joining = Side::start(
        fixture,
        PeerId {
            member: None,
            ..id("node-3", 3)
        },
    )
    .await;
    for (side, there) in [(&two, Some(2)), (&joining, None)] {
        let refused = expect(&one, side, 9).await;
        assert!(
            matches!(&refused, Err(TransportError::WrongPeer { address, expected: 9, got }) if *address == side.address && *got == there),
            "{refused:?}"
        );
        assert!(refused.is_err_and(|error| error.is_fatal() && !error.is_retryable()));
        assert_eq!(*side.probe.started.borrow(), 0);
    }
    expect(&one, &two, 2)
        .await
        .expect("the right member answers");
    let refused = expect(&one, &two, 9).await;
    assert!(
        matches!(refused, Err(TransportError::WrongPeer { .. })),
        "{refused:?}"
    );
}

/// A request for one node is not handed to another, whatever member that says it is.
pub async fn another_node_is_refused(fixture: &dyn Fixture) {
    let (one, two) = pair(fixture).await;
    let wanted = |node: &str| {
        let address = Address::member(&two.address, 2);
        address.named(node.parse().expect("the suite's names are valid"))
    };
    let call = async |to: Address| {
        let request = Request::new(ECHO, "");
        let call = one.transport.call(&to, request, PATIENCE);
        soon("a call", call).await.map(|_| ())
    };
    // The connection is made, and open: it is as much another node's the second time.
    for _ in 0..2 {
        let refused = call(wanted("node-9")).await;
        let Err(error) = refused else {
            panic!("{refused:?}")
        };
        assert!(
            matches!(&error, TransportError::WrongNode { address, expected, got }
                if *address == two.address && expected.as_str() == "node-9" && got.as_str() == "node-2"),
            "{error:?}"
        );
        assert!(error.is_fatal() && !error.is_retryable());
        assert_eq!(*two.probe.started.borrow(), 0);
    }
    call(wanted("node-2"))
        .await
        .expect("the right node answers");
}

/// Each side refuses to talk and names both clusters.
pub async fn another_cluster_is_refused_from_both_sides(fixture: &dyn Fixture) {
    let (one, two) = strangers(fixture, Some(ClusterId(0xc2))).await;
    for (caller, callee, ours, theirs) in [
        (&one, &two, CLUSTER, ClusterId(0xc2)),
        (&two, &one, ClusterId(0xc2), CLUSTER),
    ] {
        let refused = callee.ask(caller, ECHO, "").await;
        let Err(error) = refused else {
            panic!("{refused:?}")
        };
        assert!(
            matches!(&error, TransportError::OtherCluster { ours: o, theirs: t, .. } if (*o, *t) == (ours, theirs)),
            "{error:?}"
        );
        assert!(error.is_fatal() && !error.is_retryable());
        let text = error.to_string();
        assert!(
            text.contains(&ours.to_string()) && text.contains(&theirs.to_string()),
            "{text}"
        );
        assert_eq!(*callee.probe.started.borrow(), 0);
    }
}

/// A node that is still forming asks members, and is asked by them.
pub async fn a_peer_without_a_cluster_talks_to_anyone(fixture: &dyn Fixture) {
    let (one, two) = strangers(fixture, None).await;
    let (who, _) = two
        .ask(&one, ECHO, "")
        .await
        .expect("an answer from the forming one");
    assert_eq!(
        (who.cluster, who.cluster_name.as_str()),
        (None, "another name")
    );
    one.ask(&two, ECHO, "")
        .await
        .expect("an answer to the forming one");
}

/// A node learns its member number while connections are open.
pub async fn a_late_identity_is_seen_by_both_sides(fixture: &dyn Fixture) {
    let one = Side::start(
        fixture,
        PeerId {
            member: None,
            ..id("node-1", 1)
        },
    )
    .await;
    let two = Side::start(
        fixture,
        PeerId {
            member: None,
            ..id("node-2", 2)
        },
    )
    .await;
    let (who, _) = two.ask(&one, ECHO, "").await.expect("an answer");
    assert_eq!(who.member, None);
    assert!(matches!(
        expect(&one, &two, 2).await,
        Err(TransportError::WrongPeer { .. })
    ));

    two.transport.identify(id("node-2", 2));
    expect(&one, &two, 2)
        .await
        .expect("found as soon as it says so");
    let (who, _) = two.ask(&one, ECHO, "").await.expect("an answer");
    assert_eq!(who, id("node-2", 2));

    one.transport.identify(id("node-1", 1));
    let (_, seen) = two.ask(&one, WHO, "").await.expect("an answer");
    assert_eq!(seen, id("node-1", 1).to_string());
}

/// Two that talked while one was forming part once it belongs elsewhere.
pub async fn a_cluster_learnt_late_parts_strangers(fixture: &dyn Fixture) {
    let (one, two) = strangers(fixture, None).await;
    two.ask(&one, ECHO, "").await.expect("talks while forming");
    one.ask(&two, ECHO, "").await.expect("talks while forming");
    two.transport.identify(PeerId {
        cluster: Some(ClusterId(0xc2)),
        ..id("node-2", 2)
    });
    for (caller, callee) in [(&one, &two), (&two, &one)] {
        let seen = *callee.probe.started.borrow();
        let refused = callee.ask(caller, ECHO, "").await;
        assert!(
            matches!(refused, Err(TransportError::OtherCluster { .. })),
            "{refused:?}"
        );
        assert_eq!(*callee.probe.started.borrow(), seen);
    }
}

/// A closed port is an error at once, not a timeout.
pub async fn nobody_there_is_unreachable(fixture: &dyn Fixture) {
    let one = Side::start(fixture, id("node-1", 1)).await;
    let to = Address::anyone(fixture.nowhere());
    for _ in 0..3 {
        let request = Request::new(ECHO, "");
        let failed = soon("an error", one.transport.call(&to, request, PATIENCE)).await;
        let Err(error) = failed else {
            panic!("{failed:?}")
        };
        assert!(
            matches!(&error, TransportError::Unreachable { address, .. } if *address == to.peer),
            "{error:?}"
        );
        assert!(error.is_retryable() && !error.is_fatal());
    }
}

/// Whoever waits for a peer that goes away hears of it before the deadline.
pub async fn a_peer_that_goes_ends_the_calls_to_it(fixture: &dyn Fixture) {
    let (one, two) = pair(fixture).await;
    let to = Address::anyone(&two.address);
    let call = one
        .transport
        .call(&to, Request::new(WAIT, ""), 10 * PATIENCE);
    let going = async {
        reaches("the handler", &two.probe.started, 1).await;
        two.transport.shutdown().await;
    };
    let (ended, ()) = soon("the call's end", async { tokio::join!(call, going) }).await;
    assert!(matches!(ended, Err(TransportError::Closed)), "{ended:?}");
    reaches("the handler's end", &two.probe.ended, 1).await;
    let after = two.ask(&one, ECHO, "").await;
    assert!(
        matches!(after, Err(TransportError::Unreachable { .. })),
        "{after:?}"
    );
}

/// The first calls after a return may fail, but not for long.
pub async fn a_peer_that_returns_is_found_again(fixture: &dyn Fixture) {
    let (one, two) = pair(fixture).await;
    two.ask(&one, ECHO, "").await.expect("an answer");
    two.transport.shutdown().await;
    for _ in 0..5 {
        let gone = two.ask(&one, ECHO, "").await;
        assert!(gone.is_err_and(|error| error.is_retryable()), "it has gone");
    }
    let address = Some(two.address.clone());
    let back = Side::start_at(fixture, address, id("node-2", 22))
        .await
        .expect("the same address");
    let found = async {
        loop {
            match back.ask(&one, ECHO, "").await {
                Ok((who, _)) => return who,
                Err(error) => assert!(error.is_retryable(), "{error:?}"),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let who = tokio::time::timeout(FOUND_AGAIN, found)
        .await
        .expect("found again");
    assert_eq!(who.member, Some(22));
}

/// A shutdown ends what is under way on its own side, handlers included, and lets nothing begin.
pub async fn a_transport_shut_down_refuses_calls(fixture: &dyn Fixture) {
    let (one, two) = pair(fixture).await;
    let to = Address::anyone(&two.address);
    let call = one.transport.call(&to, Request::new(WAIT, ""), PATIENCE);
    let closing = async {
        reaches("the handler", &two.probe.started, 1).await;
        one.transport.shutdown().await;
        one.transport.shutdown().await;
    };
    let (ended, ()) = soon("the call's end", async { tokio::join!(call, closing) }).await;
    assert!(matches!(ended, Err(TransportError::Closed)), "{ended:?}");
    reaches("the handler's end", &two.probe.ended, 1).await;
    let after = two.ask(&one, ECHO, "").await;
    assert!(matches!(after, Err(TransportError::Closed)), "{after:?}");
}

async fn strangers(fixture: &dyn Fixture, cluster: Option<ClusterId>) -> (Side, Side) {
    let cluster_name = if cluster.is_some() {
        "suite"
    } else {
        "another name"
    }
    .to_owned();
    let other = PeerId {
        cluster,
        cluster_name,
        ..id("node-2", 2)
    };
    (
        Side::start(fixture, id("node-1", 1)).await,
        Side::start(fixture, other).await,
    )
}

async fn expect(one: &Side, two: &Side, member: u64) -> Result<(), TransportError> {
    let to = Address::member(&two.address, member);
    let request = Request::new(ECHO, "");
    soon("a call", one.transport.call(&to, request, PATIENCE))
        .await
        .map(|_| ())
}
