//! The store's handler, and around it what the queue does when the node's roles change.

use std::sync::{Arc, Weak};
use std::time::Duration;

use ck_node::{
    BoxFuture, Copying, FencingToken, Handler, HandlerContext, HandlerError, PartitionId,
};

use crate::service::Core;

/// The service has ended before its node.
#[derive(Debug, thiserror::Error)]
#[error("the service has ended")]
struct Ended;

pub(crate) struct Roles {
    inner: Arc<dyn Handler>,
    core: Weak<Core>,
}

impl Roles {
    pub(crate) fn new(core: &Arc<Core>) -> Self {
        Self {
            inner: core.kv.handler(),
            core: Arc::downgrade(core),
        }
    }

    fn core(&self) -> Result<Arc<Core>, HandlerError> {
        self.core.upgrade().ok_or_else(|| Ended.into())
    }
}

impl Handler for Roles {
    fn prepare<'a>(
        &'a self,
        context: &'a dyn HandlerContext,
        copying: Copying,
    ) -> BoxFuture<'a, Result<(), HandlerError>> {
        self.inner.prepare(context, copying)
    }

    fn catch_up<'a>(
        &'a self,
        context: &'a dyn HandlerContext,
        copying: Copying,
    ) -> BoxFuture<'a, Result<(), HandlerError>> {
        self.inner.catch_up(context, copying)
    }

    fn become_primary<'a>(
        &'a self,
        context: &'a dyn HandlerContext,
        token: FencingToken,
    ) -> BoxFuture<'a, Result<(), HandlerError>> {
        Box::pin(async move {
            self.inner.become_primary(context, token).await?;
            // All copies in sync stand at one record now, and nobody writes before this returns.
            Ok(self.core()?.begin(token).await?)
        })
    }

    fn become_replica<'a>(
        &'a self,
        context: &'a dyn HandlerContext,
        partition: PartitionId,
    ) -> BoxFuture<'a, Result<(), HandlerError>> {
        Box::pin(async move {
            self.inner.become_replica(context, partition).await?;
            self.core()?.end(partition).await;
            Ok(())
        })
    }

    fn release<'a>(
        &'a self,
        context: &'a dyn HandlerContext,
        partition: PartitionId,
        deadline: Duration,
    ) -> BoxFuture<'a, Result<(), HandlerError>> {
        self.inner.release(context, partition, deadline)
    }

    fn clean_up<'a>(
        &'a self,
        context: &'a dyn HandlerContext,
        partition: PartitionId,
    ) -> BoxFuture<'a, Result<(), HandlerError>> {
        Box::pin(async move {
            self.core()?.end(partition).await;
            self.inner.clean_up(context, partition).await
        })
    }

    fn lease_lost<'a>(&'a self, context: &'a dyn HandlerContext) -> BoxFuture<'a, ()> {
        // What is in memory stays: with the same grant it is right once more, and what was under
        // way has spoilt it.
        self.inner.lease_lost(context)
    }
}
