//! What a primary with data of its own does: it changes the in-sync set under its grant, and keeps
//! in step with the table.

mod support;

use std::sync::Arc;
use std::time::Duration;

use ck_node::{
    BoxFuture, Copying, FencingToken, Handle, Handler, HandlerContext, HandlerError, MemberNumber,
    MoveRejection, OperationError, PartitionId, Party, Rejection,
};
use support::owners::all_owned;
use support::{World, eventually, three_voters};

const PARTITION: PartitionId = PartitionId(0);

/// Never has a copy ready, so that nobody but a primary puts a member into the set again.
struct NeverReady;

impl Handler for NeverReady {
    fn prepare<'a>(
        &'a self,
        _: &'a dyn HandlerContext,
        _: Copying,
    ) -> BoxFuture<'a, Result<(), HandlerError>> {
        Box::pin(std::future::pending())
    }
}

/// A node's in-sync set of the partition, as published there.
fn in_sync(handle: &Handle) -> Vec<MemberNumber> {
    let published = handle.published();
    published
        .state
        .partition(PARTITION)
        .unwrap()
        .in_sync
        .clone()
}

fn is_past(result: &Result<(), OperationError>) -> bool {
    let Err(OperationError::Rejected(Rejection::Move(refused))) = result else {
        return false;
    };
    matches!(refused, MoveRejection::GrantPast { .. })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_changes_the_set_under_its_grant_and_nobody_under_a_past_one() {
    let world = World::new(60);
    let mut handles = Vec::new();
    for number in 1..=3 {
        let mut config = world.config(number, 3);
        config.handler = Arc::new(NeverReady);
        handles.push(world.start(number, config).await.unwrap());
    }
    three_voters(&handles).await;
    eventually("all are owned", || all_owned(&handles)).await;
    // A primary that is not the leader as well as one that is: whichever it happens to be.
    let primary = handles.iter().find(|one| one.owns(PARTITION)).unwrap();
    let token = primary.acquire(PARTITION).unwrap().token();
    let other = handles.iter().find(|one| !one.owns(PARTITION)).unwrap();
    let member = other.member().unwrap();
    assert!(in_sync(primary).contains(&member));

    primary.take_out_of_sync(token, member).await.unwrap();
    assert!(!in_sync(primary).contains(&member), "published at once");
    // Once more ends the move that is to bring it back, if one has been opened, or is refused.
    let again = primary.take_out_of_sync(token, member).await;
    let refused = matches!(again, Err(OperationError::Rejected(_)));
    assert!(again.is_ok() || refused, "{again:?}");
    assert!(!in_sync(primary).contains(&member));
    assert!(primary.acquire(PARTITION).is_ok(), "the grant goes on");

    let session = other.status().session.unwrap();
    let party = Party { member, session };
    primary.take_into_sync(token, party).await.unwrap();
    assert!(in_sync(primary).contains(&member));

    let past = FencingToken {
        epoch: ck_node::Epoch(token.epoch.0 - 1),
        ..token
    };
    assert!(is_past(&primary.take_out_of_sync(past, member).await));
    let restored = FencingToken {
        incarnation: ck_node::Incarnation(token.incarnation.0 - 1),
        ..token
    };
    assert!(is_past(&primary.take_out_of_sync(restored, member).await));
    assert!(in_sync(primary).contains(&member), "nothing changed");
    // Another node's grant is not its own to speak for.
    for other in handles.iter().filter(|one| !one.owns(PARTITION)) {
        assert!(is_past(&other.take_out_of_sync(token, member).await));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_of_changes_sees_the_newest_and_holds_nobody_up() {
    let world = World::new(61);
    let handles = world.cluster(3).await;
    let mut changes = handles[0].changes();
    let first = changes.next().await;
    assert!(first.state.table().is_some(), "the present one, at once");
    for round in 0..50_u8 {
        handles[0].set_custom("a", vec![round], None).await.unwrap();
    }
    let last = changes.next().await;
    assert_eq!(&*last.state.custom("a").unwrap().value, &[49]);
    let none = tokio::time::timeout(Duration::from_millis(50), async {
        // A renewal or so may be applied meanwhile; the version stays.
        while changes.next().await.state.version() == last.state.version() {}
    });
    assert!(none.await.is_err(), "nothing has changed since");
}
