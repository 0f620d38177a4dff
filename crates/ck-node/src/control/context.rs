//! What a handler is given: time, tasks, cancellation, on the runtime the node runs on.

use std::sync::Arc;
use std::time::Duration;

use ck_control::{BoxFuture, HandlerContext};
use ck_core::PartitionId;
use tokio::sync::watch;

use super::Input;
use crate::shared::Shared;

/// Says once, to everybody who asks, that something is over.
#[derive(Debug, Clone)]
pub(super) struct Over(Arc<watch::Sender<bool>>);

impl Over {
    pub(super) fn new() -> Self {
        Self(Arc::new(watch::channel(false).0))
    }

    pub(super) fn say(&self) {
        self.0.send_replace(true);
    }

    pub(super) fn is_said(&self) -> bool {
        *self.0.borrow()
    }

    /// Ready once it was said.
    pub(super) fn said(&self) -> BoxFuture<'static, ()> {
        let (mut receiver, keeps) = (self.0.subscribe(), Arc::clone(&self.0));
        Box::pin(async move {
            let _ = receiver.wait_for(|over| *over).await;
            drop(keeps);
        })
    }
}

/// The context of one call.
pub(super) struct CallContext {
    pub(super) node: Arc<Shared>,
    pub(super) partition: Option<PartitionId>,
    /// The call's result is no longer wanted.
    pub(super) cancelled: Over,
    /// The node has ended.
    pub(super) ended: Over,
}

impl HandlerContext for CallContext {
    fn now(&self) -> Duration {
        Duration::from_nanos(self.node.gates.now().0)
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        let (cancelled, ended) = (self.cancelled.said(), self.ended.said());
        tokio::spawn(async move {
            tokio::select! {
                () = task => {}
                () = cancelled => {}
                () = ended => {}
            }
        });
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.is_said() || self.ended.is_said()
    }

    fn cancelled(&self) -> BoxFuture<'static, ()> {
        let (cancelled, ended) = (self.cancelled.said(), self.ended.said());
        Box::pin(async move {
            tokio::select! {
                () = cancelled => {}
                () = ended => {}
            }
        })
    }

    fn progress(&self, done: u64, total: u64) {
        let Some(partition) = self.partition else {
            return;
        };
        if self.node.reports.progress(partition, done, total) {
            // Never waits for the control loop: the next report says more.
            let _ = self.node.line.try_send(Input::Progress {
                partition,
                done,
                total,
            });
        }
    }
}
