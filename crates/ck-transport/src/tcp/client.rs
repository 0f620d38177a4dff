//! The dialling end of a connection: calls, and what comes back for them.

mod pending;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::AsyncRead;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::time::Instant;

use crate::codec::Frame;
use crate::limits::Budget;
use crate::{Body, CHUNK_BYTES_MAX, Limits, PeerId, Reply, Request, TransportError, WireError};

use super::link::{Class, Link, Progress};
use super::stream::{Inflow, Outlet, send_pieces};
use super::wire::FrameReader;

use self::pending::{Answer, Pending};

/// A connection that this side dialled.
pub(super) struct Connection {
    pub(super) link: Arc<Link>,
    limits: Limits,
    buffered: Arc<Budget>,
    slots: Arc<Semaphore>,
    ids: AtomicU64,
    /// What the other end still owes something to. Bounded by the slots.
    calls: Mutex<HashMap<u64, Pending>>,
    retired: AtomicBool,
    used: Mutex<Instant>,
}

/// Why a call failed.
pub(super) enum Failure {
    /// Nothing of it was written: it may be sent on another connection.
    Unsent(Request, TransportError),
    Failed(TransportError),
}

impl Connection {
    pub(super) fn new(link: Arc<Link>, limits: Limits, buffered: Arc<Budget>) -> Arc<Self> {
        let slots = Arc::new(Semaphore::new(limits.calls_per_connection_max));
        Arc::new(Self {
            link,
            limits,
            buffered,
            slots,
            ids: AtomicU64::new(1),
            calls: Mutex::new(HashMap::new()),
            retired: AtomicBool::new(false),
            used: Mutex::new(Instant::now()),
        })
    }

    /// Closes once the calls under way are done.
    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::SeqCst);
    }

    /// Whether it has no calls and will have, or long has had, none.
    pub(super) fn is_idle(&self, idle_max: Duration) -> bool {
        let unused = self.retired.load(Ordering::SeqCst) || self.used.lock().elapsed() >= idle_max;
        unused && self.calls.lock().is_empty()
    }

    /// Fails what waits, after the link was closed.
    pub(super) fn end(&self) {
        let calls = std::mem::take(&mut *self.calls.lock());
        for answer in calls.into_values().filter_map(|pending| pending.answer) {
            // A caller that has gone needs no reason.
            let _ = answer.send(Err(self.link.ended()));
        }
    }

    /// One call.
    pub(super) async fn exchange(
        self: &Arc<Self>,
        request: Request,
        expires: Instant,
    ) -> Result<(PeerId, Reply), Failure> {
        let Some(slot) = self.slot() else {
            let limit = self.limits.calls_per_connection_max as u64;
            return Err(Failure::Failed(TransportError::Busy { limit }));
        };
        let outlet = request.body.is_some().then(Outlet::new);
        let (guard, answered) = self.register(slot, outlet.clone());
        // Looked at after registering: whoever closes the link then finds this call.
        if self.link.closing.reason().is_some() {
            return Err(Failure::Unsent(request, self.link.ended()));
        }
        let Request {
            kind,
            payload,
            mut body,
        } = request;
        let sending = self.send(
            &guard,
            kind,
            payload.clone(),
            &mut body,
            outlet.as_deref(),
            expires,
        );
        match self.answered_while(answered, sending).await {
            Ok(answer) => Ok(guard.accept(answer)),
            Err(error) if guard.progress.has_begun() || body.is_some() != outlet.is_some() => {
                Err(Failure::Failed(error))
            }
            Err(error) => Err(Failure::Unsent(
                Request {
                    kind,
                    payload,
                    body,
                },
                error,
            )),
        }
    }

    fn slot(&self) -> Option<OwnedSemaphorePermit> {
        *self.used.lock() = Instant::now();
        Arc::clone(&self.slots).try_acquire_owned().ok()
    }

    fn register(
        self: &Arc<Self>,
        slot: OwnedSemaphorePermit,
        outlet: Option<Arc<Outlet>>,
    ) -> (Guard, oneshot::Receiver<Result<Answer, TransportError>>) {
        let (answer, answered) = oneshot::channel();
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        let answer = Some(answer);
        let pending = Pending {
            answer,
            arriving: None,
            body: None,
            inlet: None,
            outlet,
        };
        self.calls.lock().insert(id, pending);
        let connection = Arc::clone(self);
        (
            Guard {
                connection,
                id,
                progress: Arc::default(),
                slot: Some(slot),
            },
            answered,
        )
    }

    /// Sends the request; takes the body only after the head has been queued.
    async fn send(
        &self,
        guard: &Guard,
        kind: u16,
        payload: Bytes,
        body: &mut Option<Body>,
        outlet: Option<&Outlet>,
        expires: Instant,
    ) -> Result<(), TransportError> {
        let Guard { id, progress, .. } = guard;
        let (id, call) = (*id, Some(progress));
        let class = Class::of(payload.len(), body.is_some());
        let payload_bytes = payload.len() as u64;
        let mut rest = payload;
        let first = rest.split_to(rest.len().min(CHUNK_BYTES_MAX));
        let left = expires.saturating_duration_since(Instant::now());
        let deadline_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX).max(1);
        let body_follows = body.is_some();
        let head = Frame::Request {
            id,
            kind,
            deadline_ms,
            payload_bytes,
            body: body_follows,
            first,
        };
        self.link.send(class, head, call).await?;
        send_pieces(&self.link, id, rest, call).await?;
        if let (Some(body), Some(outlet)) = (body.take(), outlet) {
            let stall = self.limits.body_stall_max;
            let last = outlet.send(&self.link, id, body, stall, call).await?;
            if let Some(last) = last {
                self.link.send(Class::Bulk, last, call).await?;
            }
        }
        Ok(())
    }

    /// Waits for the answer, which may come before everything has been sent.
    async fn answered_while(
        &self,
        mut answered: oneshot::Receiver<Result<Answer, TransportError>>,
        sending: impl Future<Output = Result<(), TransportError>>,
    ) -> Result<Answer, TransportError> {
        let answer = tokio::select! {
            biased;
            answer = &mut answered => answer,
            sent = sending => {
                sent?;
                answered.await
            }
        };
        answer.unwrap_or_else(|_| Err(self.link.ended()))
    }

    /// Reads until the connection has to end, and says why.
    pub(super) async fn read<R: AsyncRead + Unpin>(
        &self,
        mut reader: FrameReader<R>,
        me: watch::Receiver<PeerId>,
        silence_max: Duration,
    ) -> TransportError {
        loop {
            let received = match reader.next(silence_max).await {
                Ok(Frame::Identify(peer)) => self.link.identified(&me.borrow(), peer),
                Ok(frame) => self
                    .receive(frame)
                    .map_err(|wire| self.link.malformed(wire)),
                Err(error) => Err(error),
            };
            if let Err(reason) = received {
                return reason;
            }
        }
    }

    /// Takes one frame. What belongs to a call that is over is discarded.
    fn receive(&self, frame: Frame) -> Result<(), WireError> {
        let mut calls = self.calls.lock();
        let id = frame.id();
        let pending = calls.get_mut(&id);
        match (frame, pending) {
            (Frame::Ping, _) => Ok(()),
            (frame @ (Frame::Hello { .. } | Frame::Identify(_) | Frame::Full { .. }), _)
            | (frame @ (Frame::Request { .. } | Frame::Cancel { .. }), _) => {
                Err(frame.unexpected())
            }
            (_, None) => Ok(()),
            (
                Frame::Reply {
                    payload_bytes,
                    body,
                    first,
                    ..
                },
                Some(pending),
            ) => {
                let refused = self.limits.check_payload(payload_bytes);
                pending.begin(
                    id,
                    payload_bytes,
                    body,
                    first,
                    refused,
                    self.buffered.open(),
                )?;
                self.deliver(&mut calls, id)
            }
            (Frame::Piece { data, .. }, Some(pending)) => {
                let added = pending.arriving.as_mut().map_or(Ok(()), |a| a.add(&data));
                pending.settle(added)?;
                self.deliver(&mut calls, id)
            }
            (Frame::Refusal { refusal, .. }, Some(_)) => {
                let answer = calls.remove(&id).and_then(|pending| pending.answer);
                if let Some(answer) = answer {
                    // A caller that has gone needs no reason.
                    let _ = answer.send(Err(refusal.into()));
                }
                Ok(())
            }
            (Frame::Chunk { data, .. }, Some(pending)) => pending.inflow(id, Inflow::Chunk(data)),
            (Frame::End { .. }, Some(pending)) => {
                let put = pending.inflow(id, Inflow::End);
                calls.remove(&id);
                put
            }
            (Frame::Abort { .. }, Some(pending)) => {
                let put = pending.inflow(id, Inflow::Abort);
                calls.remove(&id);
                put
            }
            (Frame::Credit { chunks, .. }, Some(pending)) => pending
                .outlet
                .as_ref()
                .map_or(Ok(()), |outlet| outlet.allow(id, chunks)),
            (Frame::Stop { .. }, Some(pending)) => {
                if let Some(outlet) = &pending.outlet {
                    outlet.stop();
                }
                Ok(())
            }
        }
    }

    /// Hands an answer over once its payload is whole.
    fn deliver(&self, calls: &mut HashMap<u64, Pending>, id: u64) -> Result<(), WireError> {
        let Some(pending) = calls.get_mut(&id) else {
            return Ok(());
        };
        let Some(assembly) = pending.arriving.take_if(|arriving| arriving.is_complete()) else {
            return Ok(());
        };
        let (payload, held) = assembly.finish();
        let (peer, body) = (self.link.peer(), pending.body.take());
        if let Some(answer) = pending.answer.take() {
            // A caller that has gone drops the rest with its guard.
            let _ = answer.send(Ok(Answer {
                peer,
                payload,
                body,
                _held: held,
            }));
        }
        if pending.inlet.is_none() {
            calls.remove(&id);
        }
        Ok(())
    }
}

/// A call under way. When it is dropped while the other end still owes something, that is told so.
struct Guard {
    connection: Arc<Connection>,
    id: u64,
    progress: Arc<Progress>,
    slot: Option<OwnedSemaphorePermit>,
}

impl Guard {
    /// Gives the answer out; a body keeps the call under way.
    fn accept(self, answer: Answer) -> (PeerId, Reply) {
        let Answer {
            peer,
            payload,
            body,
            ..
        } = answer;
        let body = body.map(|(pump, body)| {
            tokio::spawn(async move {
                let Self { connection, id, .. } = &self;
                let stall = connection.limits.body_stall_max;
                // Given up or over: the guard knows by what the other end still owes.
                pump.run(&connection.link, *id, stall).await;
            });
            body
        });
        (PeerId::clone(&peer), Reply { payload, body })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.progress.cancel();
        let owed = self.connection.calls.lock().remove(&self.id);
        if let (Some(_), Some(slot)) = (owed, self.slot.take()) {
            self.connection
                .link
                .cancel(self.id, Arc::clone(&self.progress), slot);
        }
    }
}
