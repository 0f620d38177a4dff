//! A copy that attached, and whose report is still on its way when its primary serves anew.

use std::sync::Arc;
use std::time::Duration;

use ck_http::Request;
use ck_node::{
    BoxFuture, Copying, FencingToken, Handler, HandlerContext, HandlerError, MemberNumber,
    PartitionId, Stage, TransferId,
};
use tokio::sync::Semaphore;

use super::{BOUND, Member, P, cluster, put, start_with, until};
use crate::error::KvError;
use crate::ops::Consistency;
use crate::part::Attachment;

/// The store's handler, except that a copy that has caught up does not say so until it may.
struct Withheld {
    handler: Arc<dyn Handler>,
    caught_up: Arc<Semaphore>,
    may_say: Arc<Semaphore>,
}

impl Handler for Withheld {
    fn prepare<'a>(
        &'a self,
        context: &'a dyn HandlerContext,
        copying: Copying,
    ) -> BoxFuture<'a, Result<(), HandlerError>> {
        self.handler.prepare(context, copying)
    }

    fn catch_up<'a>(
        &'a self,
        context: &'a dyn HandlerContext,
        copying: Copying,
    ) -> BoxFuture<'a, Result<(), HandlerError>> {
        Box::pin(async move {
            self.handler.catch_up(context, copying).await?;
            self.caught_up.add_permits(1);
            // Given back when dropped: once it may, it may always.
            drop(self.may_say.acquire().await?);
            Ok(())
        })
    }

    fn become_primary<'a>(
        &'a self,
        context: &'a dyn HandlerContext,
        token: FencingToken,
    ) -> BoxFuture<'a, Result<(), HandlerError>> {
        self.handler.become_primary(context, token)
    }

    fn become_replica<'a>(
        &'a self,
        context: &'a dyn HandlerContext,
        partition: PartitionId,
    ) -> BoxFuture<'a, Result<(), HandlerError>> {
        self.handler.become_replica(context, partition)
    }

    fn release<'a>(
        &'a self,
        context: &'a dyn HandlerContext,
        partition: PartitionId,
        deadline: Duration,
    ) -> BoxFuture<'a, Result<(), HandlerError>> {
        self.handler.release(context, partition, deadline)
    }
}

/// Has all copies moved off a node, as an operator would.
async fn drain(asked: &Member, node: &Member) {
    let state = asked.node.state();
    let address = &state
        .member(asked.node.member().unwrap())
        .unwrap()
        .http_address;
    let path = format!("/v1/nodes/{}/drain", node.node.node_id());
    let request = Request::post(path).body(Default::default()).unwrap();
    let sent = asked.kv.core.config.courier.send(address, request, BOUND);
    let answer = sent.await.unwrap();
    assert!(answer.status().is_success(), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_attached_in_an_earlier_round_is_not_in_sync_without_the_later_records() {
    let members = cluster().await;
    put(&members[0], "before", "1").await;
    let (caught_up, may_say) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (said, may) = (Arc::clone(&caught_up), Arc::clone(&may_say));
    let join = vec![members[0].node.peer_address()];
    let fourth = start_with(4, join, |handler| {
        Arc::new(Withheld {
            handler,
            caught_up: said,
            may_say: may,
        })
    });
    let fourth = fourth.await;
    fourth.node.ready().await.unwrap();
    // Its copies have to go somewhere, and there is one place.
    drain(&members[0], &members[2]).await;
    caught_up.acquire().await.unwrap().forget();
    let primary = super::serving(&members).await;
    let primary = &members[primary];
    let moved = primary.node.state().partition(P).unwrap().transfer.unwrap();
    // It serves anew at the same epoch, as after a lease that lapsed and came back.
    let token = primary.node.acquire(P).unwrap().token();
    let core = &primary.kv.core;
    core.become_primary(&primary.node, token).await.unwrap();
    let written = put(primary, "after", "2").await;
    may_say.add_permits(1);
    let number = fourth.node.member().unwrap();
    let in_sync = until("the move has got on, or has ended", async || {
        let state = primary.node.state();
        let stage = state.transfer(moved).map(|one| one.stage);
        let in_sync = state.partition(P).unwrap().is_in_sync(number);
        (stage != Some(Stage::CatchUp)).then_some(in_sync)
    })
    .await;
    let found = fourth.kv.core.store.stamp(P.0, b"after").unwrap();
    assert!(
        !in_sync || found == Some(written),
        "it is in sync, and has {found:?} in place of {written}"
    );
}

/// It may have come in sync, and been made the primary, by a leader that is not heard here.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_barrier_asks_the_copies_that_are_attached_too() {
    let members = cluster().await;
    put(&members[0], "a", "1").await;
    let core = &members[0].kv.core;
    let token = members[0].node.acquire(P).unwrap().token();
    let read = async || {
        let read = core.read(P, b"a", Consistency::Barrier, None).await;
        read.map(|found| found.is_some())
    };
    assert!(read().await.unwrap());
    // The target of a move that the table does not know yet, and that has no address.
    let how = Attachment {
        transfer: TransferId(u64::MAX),
        attempt: 1,
    };
    let (incarnation, epoch) = (token.incarnation.0, token.epoch.0);
    let attached = core
        .part(P)
        .attach(incarnation, epoch, MemberNumber(99), how);
    assert!(attached.is_some());
    let error = read().await.unwrap_err();
    assert!(matches!(error, KvError::Unconfirmed { .. }), "{error}");
}
