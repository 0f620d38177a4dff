//! What the node asks of the service when its roles change.

use std::sync::{Arc, Weak};
use std::time::Duration;

use ck_node::{
    BoxFuture, Copying, FencingToken, Handle, Handler, HandlerContext, HandlerError, PartitionId,
};

use crate::kv::{Core, Kv};
use crate::store::Job;

/// The node and its service do not run together yet; the call is tried again.
#[derive(Debug, thiserror::Error)]
#[error("the service is not attached to its node yet")]
struct NotAttached;

/// Writes are still under way although the role is to be given up.
#[derive(Debug, thiserror::Error)]
#[error("{partition} has writes under way that nobody acknowledged in time")]
struct StillBusy {
    partition: PartitionId,
}

impl Kv {
    /// What the node is started with. Holds no copy open by itself.
    #[must_use]
    pub fn handler(&self) -> Arc<dyn Handler> {
        Arc::new(Roles(Arc::downgrade(&self.core)))
    }
}

struct Roles(Weak<Core>);

impl Roles {
    fn running(&self) -> Result<(Arc<Core>, Handle), HandlerError> {
        let core = self.0.upgrade().ok_or(NotAttached)?;
        let node = core.node().cloned().ok_or(NotAttached)?;
        Ok((core, node))
    }
}

impl Handler for Roles {
    fn prepare<'a>(
        &'a self,
        context: &'a dyn HandlerContext,
        copying: Copying,
    ) -> BoxFuture<'a, Result<(), HandlerError>> {
        Box::pin(async move {
            let (core, node) = self.running()?;
            core.prepare(&node, context, &copying).await
        })
    }

    fn catch_up<'a>(
        &'a self,
        context: &'a dyn HandlerContext,
        copying: Copying,
    ) -> BoxFuture<'a, Result<(), HandlerError>> {
        Box::pin(async move {
            let (core, node) = self.running()?;
            core.catch_up(&node, context, &copying).await
        })
    }

    fn become_primary<'a>(
        &'a self,
        _: &'a dyn HandlerContext,
        token: FencingToken,
    ) -> BoxFuture<'a, Result<(), HandlerError>> {
        Box::pin(async move {
            let (core, node) = self.running()?;
            core.become_primary(&node, token).await
        })
    }

    fn become_replica<'a>(
        &'a self,
        _: &'a dyn HandlerContext,
        partition: PartitionId,
    ) -> BoxFuture<'a, Result<(), HandlerError>> {
        Box::pin(async move {
            let (core, _) = self.running()?;
            core.part(partition).end();
            Ok(())
        })
    }

    fn release<'a>(
        &'a self,
        context: &'a dyn HandlerContext,
        partition: PartitionId,
        deadline: Duration,
    ) -> BoxFuture<'a, Result<(), HandlerError>> {
        Box::pin(async move {
            let (core, _) = self.running()?;
            let part = core.part(partition);
            let progress = {
                let serving = part.lock();
                serving
                    .as_ref()
                    .filter(|serving| !serving.is_idle())
                    .map(|serving| (serving.progress(), serving.newest_assigned()))
            };
            if let Some((mut progress, newest)) = progress {
                let idle = progress.wait_for(|now| !now.open || now.committed >= newest);
                let left = deadline.saturating_sub(context.now());
                if tokio::time::timeout(left, idle).await.is_err() {
                    return Err(StillBusy { partition }.into());
                }
            }
            part.end();
            Ok(())
        })
    }

    fn clean_up<'a>(
        &'a self,
        context: &'a dyn HandlerContext,
        partition: PartitionId,
    ) -> BoxFuture<'a, Result<(), HandlerError>> {
        Box::pin(async move {
            let (core, _) = self.running()?;
            core.part(partition).end();
            let partition = partition.0;
            // Each turn drops keys, so this ends with them.
            while !context.is_cancelled()
                && core
                    .store
                    .run(|reply| Job::Drop { partition, reply })
                    .await?
            {}
            Ok(())
        })
    }

    fn lease_lost<'a>(&'a self, _: &'a dyn HandlerContext) -> BoxFuture<'a, ()> {
        let served = self.0.upgrade().map(|core| core.served());
        Box::pin(async move {
            if let (Some(core), Some(served)) = (self.0.upgrade(), served) {
                // Whoever waits is told at once; with the next lease the node is told to serve anew.
                core.lapsed(&served);
            }
        })
    }
}
