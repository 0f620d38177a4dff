//! One request that runs, and its answer.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};

use crate::codec::{Frame, Refusal};
use crate::limits::Held;
use crate::serve::handle;
use crate::tcp::Core;
use crate::tcp::link::{Class, Link};
use crate::tcp::stream::{Outlet, Pump, Reading, send_pieces};
use crate::{CHUNK_BYTES_MAX, Reply, Request, TransportError};

use super::Requests;

/// The place a request takes; free again before its last frame is sent.
pub(super) struct Slot {
    pub(super) id: u64,
    pub(super) requests: Arc<Requests>,
    pub(super) permit: Option<OwnedSemaphorePermit>,
}

impl Slot {
    fn free(&mut self) {
        let _entry = self.requests.lock().remove(&self.id);
        self.permit = None;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.free();
    }
}

/// One request that runs.
pub(super) struct Run {
    pub(super) core: Arc<Core>,
    pub(super) link: Arc<Link>,
    pub(super) slot: Slot,
    pub(super) outlet: Arc<Outlet>,
    pub(super) expires: Instant,
}

impl Run {
    /// Handles the request and sends what comes of it.
    pub(super) async fn answer(mut self, request: Request, pump: Option<Pump>, held: Held) {
        let from = self.link.peer().as_ref().clone();
        let handled = timeout_at(self.expires, handle(&*self.core.service, from, request));
        let outcome = tokio::select! {
            biased;
            outcome = handled => outcome,
            never = self.feed(pump) => match never {},
        };
        drop(held);
        let sent = match outcome {
            Ok(Ok(reply)) => self.send(reply).await,
            Ok(Err(error)) => self.send_refusal(Refusal::service(error)).await,
            // The caller's own clock has run out as well.
            Err(_) => Ok(()),
        };
        if let Err(error) = sent {
            tracing::debug!(address = self.link.address, %error, "an answer was not sent");
        }
    }

    /// Passes the request's body on while its handler runs.
    async fn feed(&self, pump: Option<Pump>) -> Infallible {
        let id = self.slot.id;
        if let Some(pump) = pump {
            let stall = self.core.config.limits.body_stall_max;
            if pump.run(&self.link, id, stall).await == Reading::GivenUp {
                // On a connection that has ended there is nobody to tell.
                let _ = self
                    .link
                    .send(Class::Urgent, Frame::Stop { id }, None)
                    .await;
            }
        }
        pending().await
    }

    async fn send(&mut self, reply: Reply) -> Result<(), TransportError> {
        let limits = &self.core.config.limits;
        let (payload_bytes, stall) = (reply.payload.len() as u64, limits.body_stall_max);
        if let Err(error) = limits.check_payload(payload_bytes)
            && let Some(refusal) = Refusal::of(&error)
        {
            tracing::warn!(address = self.link.address, %error, "a reply is too large to send");
            return self.send_refusal(refusal).await;
        }
        let Reply {
            payload: mut rest,
            body,
        } = reply;
        let (id, class) = (self.slot.id, Class::of(rest.len(), body.is_some()));
        let first = rest.split_to(rest.len().min(CHUNK_BYTES_MAX));
        if body.is_none() && rest.is_empty() {
            self.slot.free();
        }
        let head = Frame::Reply {
            id,
            payload_bytes,
            body: body.is_some(),
            first,
        };
        self.link.send(class, head, None).await?;
        let Some(body) = body else {
            return self.send_rest(rest).await;
        };
        send_pieces(&self.link, id, rest, None).await?;
        let Some(last) = self.outlet.send(&self.link, id, body, stall, None).await? else {
            return Ok(());
        };
        self.slot.free();
        self.link.send(Class::Bulk, last, None).await
    }

    /// The pieces that end a reply without a body.
    async fn send_rest(&mut self, mut rest: Bytes) -> Result<(), TransportError> {
        let id = self.slot.id;
        let last = rest.split_off(rest.len().saturating_sub(CHUNK_BYTES_MAX));
        send_pieces(&self.link, id, rest, None).await?;
        self.slot.free();
        send_pieces(&self.link, id, last, None).await
    }

    async fn send_refusal(&mut self, refusal: Refusal) -> Result<(), TransportError> {
        let id = self.slot.id;
        self.slot.free();
        self.link
            .send(Class::Urgent, Frame::Refusal { id, refusal }, None)
            .await
    }
}
