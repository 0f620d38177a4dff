//! What the application implements: the work that goes with a copy and with a primary role.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use core::future::Future;
use core::pin::Pin;
use core::time::Duration;

use ck_core::{NodeId, PartitionId};

use crate::{FencingToken, TransferId};

/// A future that may move between threads, boxed so that traits stay object-safe.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What went wrong in a handler; contained, shown in status, and the call is retried.
pub type HandlerError = Box<dyn core::error::Error + Send + Sync>;

/// A copy to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Copying {
    /// The partition.
    pub partition: PartitionId,
    /// The move this is part of. The same id means the same move, tried again.
    pub transfer: TransferId,
    /// An in-sync node to copy from.
    pub source: NodeId,
    /// The services the source registered, name to address: where its application answers.
    pub services: BTreeMap<String, String>,
}

impl Copying {
    /// A copy of `partition` from `source`, whose application answers at `services`.
    #[must_use]
    pub const fn new(
        partition: PartitionId,
        transfer: TransferId,
        source: NodeId,
        services: BTreeMap<String, String>,
    ) -> Self {
        Self {
            partition,
            transfer,
            source,
            services,
        }
    }
}

/// What a handler is given besides its arguments: time, tasks and cancellation.
///
/// Everything a handler does that takes time goes through here, so that the same handler runs under
/// a real runtime and in a simulation. Object-safe.
pub trait HandlerContext: Send + Sync {
    /// Time since an arbitrary start. Never goes back.
    fn now(&self) -> Duration;

    /// A future that is ready after `duration`.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;

    /// Runs a task beside the handler; it is dropped when the call is cancelled or its node stops.
    fn spawn(&self, task: BoxFuture<'static, ()>);

    /// Whether the call's result is no longer wanted.
    fn is_cancelled(&self) -> bool;

    /// A future that is ready once the call's result is no longer wanted.
    fn cancelled(&self) -> BoxFuture<'static, ()>;

    /// Reports how far a copy has come, in units of the handler's choice; `total` may grow.
    fn progress(&self, done: u64, total: u64);
}

/// What the application does when a node's roles change.
///
/// Every method has a default that is right for an application without data of its own, so an
/// implementation names only what concerns it.
///
/// Calls for one partition never overlap and come in the order of the committed table; calls for
/// different partitions run side by side. A call may be repeated after an error, a panic or a
/// restart, with the same arguments: make each idempotent. A slow call delays its own stage, whose
/// deadline it may miss; it never costs the node its session. Dropping the future cancels the call.
pub trait Handler: Send + Sync + 'static {
    /// Copies a partition in, before this node has any part in serving it.
    ///
    /// Watch [`HandlerContext::cancelled`] and report [`HandlerContext::progress`].
    ///
    /// # Errors
    /// Any; retried with back-off until the stage's deadline, then the move is aborted.
    fn prepare<'a>(
        &'a self,
        context: &'a dyn HandlerContext,
        copying: Copying,
    ) -> BoxFuture<'a, Result<(), HandlerError>> {
        let _ = (context, copying);
        done()
    }

    /// Takes what was written since [`Handler::prepare`] began, until this copy keeps up.
    ///
    /// Returning `Ok` says: every write acknowledged from now on, and all before, are here.
    ///
    /// # Errors
    /// As [`Handler::prepare`].
    fn catch_up<'a>(
        &'a self,
        context: &'a dyn HandlerContext,
        copying: Copying,
    ) -> BoxFuture<'a, Result<(), HandlerError>> {
        let _ = (context, copying);
        done()
    }

    /// Starts to serve as the primary. Carry `token` in every effect; resources refuse older ones.
    ///
    /// # Errors
    /// Any; retried with back-off while the grant lasts. The partition is not served meanwhile.
    fn become_primary<'a>(
        &'a self,
        context: &'a dyn HandlerContext,
        token: FencingToken,
    ) -> BoxFuture<'a, Result<(), HandlerError>> {
        let _ = (context, token);
        done()
    }

    /// Holds a copy behind a primary elsewhere.
    ///
    /// # Errors
    /// Any; retried with back-off.
    fn become_replica<'a>(
        &'a self,
        context: &'a dyn HandlerContext,
        partition: PartitionId,
    ) -> BoxFuture<'a, Result<(), HandlerError>> {
        let _ = (context, partition);
        done()
    }

    /// Stops serving for good at this epoch: flushes and finishes what is in flight. The gate is
    /// already shut, so nothing new is admitted.
    ///
    /// `deadline` is on the context's clock; a release that misses it aborts the move.
    ///
    /// # Errors
    /// Any; the move is aborted and this node is granted the partition again at the next epoch.
    fn release<'a>(
        &'a self,
        context: &'a dyn HandlerContext,
        partition: PartitionId,
        deadline: Duration,
    ) -> BoxFuture<'a, Result<(), HandlerError>> {
        let _ = (context, partition, deadline);
        done()
    }

    /// Drops a copy that is no longer wanted, after the grace period.
    ///
    /// # Errors
    /// Any; retried with back-off.
    fn clean_up<'a>(
        &'a self,
        context: &'a dyn HandlerContext,
        partition: PartitionId,
    ) -> BoxFuture<'a, Result<(), HandlerError>> {
        let _ = (context, partition);
        done()
    }

    /// The node's right to act has lapsed: whatever it held may be another's by now.
    ///
    /// Nothing has to be done for safety, since every proof of ownership is already refused; stop
    /// work that would be refused anyway.
    fn lease_lost<'a>(&'a self, context: &'a dyn HandlerContext) -> BoxFuture<'a, ()> {
        let _ = context;
        Box::pin(core::future::ready(()))
    }
}

fn done<'a>() -> BoxFuture<'a, Result<(), HandlerError>> {
    Box::pin(core::future::ready(Ok(())))
}

/// The handler of a node without an application: every default.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoHandler;

impl Handler for NoHandler {}

#[cfg(test)]
mod tests {
    use super::*;
    use core::task::{Context, Poll, Waker};

    struct Still;

    impl HandlerContext for Still {
        fn now(&self) -> Duration {
            Duration::ZERO
        }
        fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
            Box::pin(core::future::pending())
        }
        fn spawn(&self, _: BoxFuture<'static, ()>) {}
        fn is_cancelled(&self) -> bool {
            false
        }
        fn cancelled(&self) -> BoxFuture<'static, ()> {
            Box::pin(core::future::pending())
        }
        fn progress(&self, _: u64, _: u64) {}
    }

    fn ready<T>(mut future: BoxFuture<'_, T>) -> T {
        match future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            Poll::Ready(value) => value,
            Poll::Pending => panic!("a default never waits"),
        }
    }

    #[test]
    fn every_default_succeeds_at_once() {
        let handler: Box<dyn Handler> = Box::new(NoHandler);
        let node = NodeId::new("node-1").unwrap();
        let partition = PartitionId(3);
        let copying = Copying::new(partition, TransferId(9), node, BTreeMap::new());
        ready(handler.prepare(&Still, copying.clone())).unwrap();
        ready(handler.catch_up(&Still, copying)).unwrap();
        ready(handler.become_primary(&Still, "1.3.1".parse().unwrap())).unwrap();
        ready(handler.become_replica(&Still, partition)).unwrap();
        ready(handler.release(&Still, partition, Duration::ZERO)).unwrap();
        ready(handler.clean_up(&Still, partition)).unwrap();
        ready(handler.lease_lost(&Still));
    }
}
