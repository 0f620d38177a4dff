//! Runs a service's handler, containing its panics.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use tokio::task::JoinHandle;

use crate::{PeerId, Reply, Request, Service, ServiceError};

/// Runs the handler; a panic becomes a refusal.
pub(crate) async fn handle(
    service: &dyn Service,
    from: PeerId,
    request: Request,
) -> Result<Reply, ServiceError> {
    let kind = request.kind;
    // The service is shared and says nothing of unwinding; a service that panics half-way through
    // a change of its own state has to cope with what it left, as with any lock it poisons.
    AssertUnwindSafe(async { service.handle(from, request).await })
        .catch_unwind()
        .await
        .unwrap_or_else(|_| {
            tracing::error!(
                kind,
                "the service panicked; the caller is told, the node goes on"
            );
            let message = format!("the service panicked on a request of kind {kind}; see its log");
            Err(ServiceError::new(ServiceError::PANICKED, message))
        })
}

/// Aborts a task when dropped.
#[derive(Debug)]
pub(crate) struct AbortOnDrop<T>(pub(crate) JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
