//! The accepting end of a connection: requests of one peer, and their answers.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::AsyncRead;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};

use crate::codec::{Frame, Refusal};
use crate::limits::{DEADLINE_MAX, Held};
use crate::serve::handle;
use crate::{CHUNK_BYTES_MAX, Reply, Request, TransportError, WireError};

use super::Core;
use super::link::{Class, Link};
use super::stream::{Assembly, Fault, Inflow, Inlet, Outlet, Pump, Reading, inlet, send_pieces};
use super::wire::FrameReader;

/// What one peer asks for on one connection.
pub(super) struct Server {
    core: Arc<Core>,
    link: Arc<Link>,
    requests: Arc<Requests>,
}

/// Bounded by `calls_per_connection_max`.
type Requests = Mutex<HashMap<u64, Entry>>;

/// A request that has not been answered in full.
enum Entry {
    /// Its payload is not whole yet.
    Arriving(Arriving),
    /// Its handler, or what sends its answer, runs.
    Running {
        task: AbortHandle,
        inlet: Option<Inlet>,
        outlet: Arc<Outlet>,
    },
}

struct Arriving {
    kind: u16,
    body: bool,
    expires: Instant,
    assembly: Assembly,
    permit: OwnedSemaphorePermit,
}

impl Server {
    pub(super) fn new(core: Arc<Core>, link: Arc<Link>) -> Self {
        Self {
            core,
            link,
            requests: Arc::default(),
        }
    }

    /// Reads until the connection has to end, and says why.
    pub(super) async fn read<R: AsyncRead + Unpin>(
        &self,
        mut reader: FrameReader<R>,
    ) -> TransportError {
        loop {
            let received = match reader.next(self.core.config.silence_max).await {
                Ok(frame) => self.receive(frame),
                Err(error) => Err(error),
            };
            if let Err(reason) = received {
                return reason;
            }
        }
    }

    /// Takes one frame. What belongs to a request that is over is discarded.
    fn receive(&self, frame: Frame) -> Result<(), TransportError> {
        let id = frame.id();
        match frame {
            Frame::Ping => self.forget_expired(),
            Frame::Identify(peer) => self.link.identified(&self.core.me.borrow(), peer)?,
            Frame::Request {
                kind,
                deadline_ms,
                payload_bytes,
                body,
                first,
                ..
            } => {
                return self.begin(id, kind, deadline_ms, payload_bytes, body, first);
            }
            Frame::Piece { data, .. } => return self.add(id, &data),
            Frame::Chunk { data, .. } => self.inflow(id, Inflow::Chunk(data))?,
            Frame::End { .. } => self.inflow(id, Inflow::End)?,
            Frame::Abort { .. } => self.inflow(id, Inflow::Abort)?,
            Frame::Credit { chunks, .. } => {
                if let Some(Entry::Running { outlet, .. }) = self.requests.lock().get(&id) {
                    outlet
                        .allow(id, chunks)
                        .map_err(|wire| self.link.malformed(wire))?;
                }
            }
            Frame::Cancel { .. } => {
                let entry = self.requests.lock().remove(&id);
                stop(entry);
            }
            frame => return Err(self.link.malformed(frame.unexpected())),
        }
        Ok(())
    }

    fn begin(
        &self,
        id: u64,
        kind: u16,
        deadline_ms: u64,
        payload_bytes: u64,
        body: bool,
        first: Bytes,
    ) -> Result<(), TransportError> {
        if self
            .core
            .me
            .borrow()
            .check_cluster(&self.link.address, &self.link.peer())
            .is_err()
        {
            // This side has just learnt its cluster; its writer parts the two with the reason.
            return Ok(());
        }
        let limits = &self.core.config.limits;
        let mut requests = self.requests.lock();
        if requests.contains_key(&id) {
            return Err(self.link.malformed(WireError::Unexpected {
                frame: "request",
                id,
            }));
        }
        if requests.len() >= limits.calls_per_connection_max {
            return self.refuse(
                id,
                Refusal::Busy {
                    limit: limits.calls_per_connection_max as u64,
                },
            );
        }
        let Ok(permit) = Arc::clone(&self.core.running).try_acquire_owned() else {
            return self.refuse(
                id,
                Refusal::Busy {
                    limit: limits.requests_max as u64,
                },
            );
        };
        let begun = limits
            .check_payload(payload_bytes)
            .map_err(Fault::Refused)
            .and_then(|()| Assembly::begin(id, payload_bytes, first, self.core.buffered.open()));
        let assembly = match begun {
            Ok(assembly) => assembly,
            Err(fault) => return self.fault(id, fault),
        };
        let expires = Instant::now() + Duration::from_millis(deadline_ms).min(DEADLINE_MAX);
        let arriving = Arriving {
            kind,
            body,
            expires,
            assembly,
            permit,
        };
        let entry = self.advance(id, arriving);
        requests.insert(id, entry);
        Ok(())
    }

    fn add(&self, id: u64, data: &[u8]) -> Result<(), TransportError> {
        let mut requests = self.requests.lock();
        match requests.remove(&id) {
            Some(Entry::Arriving(mut arriving)) => {
                if let Err(fault) = arriving.assembly.add(data) {
                    return self.fault(id, fault);
                }
                let entry = self.advance(id, arriving);
                requests.insert(id, entry);
                Ok(())
            }
            Some(running) => {
                stop(Some(running));
                Err(self
                    .link
                    .malformed(WireError::Unexpected { frame: "piece", id }))
            }
            None => Ok(()),
        }
    }

    /// Runs the request when its payload is whole.
    fn advance(&self, id: u64, arriving: Arriving) -> Entry {
        if !arriving.assembly.is_complete() {
            return Entry::Arriving(arriving);
        }
        let Arriving {
            kind,
            body,
            expires,
            assembly,
            permit,
        } = arriving;
        let (payload, held) = assembly.finish();
        let (inlet, pump, body) = if body {
            let (inlet, pump, body) = inlet();
            (Some(inlet), Some(pump), Some(body))
        } else {
            (None, None, None)
        };
        let outlet = Outlet::new();
        let run = Run {
            core: Arc::clone(&self.core),
            link: Arc::clone(&self.link),
            slot: Slot {
                id,
                requests: Arc::clone(&self.requests),
                permit: Some(permit),
            },
            outlet: Arc::clone(&outlet),
            expires,
        };
        // The task takes the lock that is held here before it can be done, so it finds its entry.
        let task = tokio::spawn(run.answer(
            Request {
                kind,
                payload,
                body,
            },
            pump,
            held,
        ));
        Entry::Running {
            task: task.abort_handle(),
            inlet,
            outlet,
        }
    }

    fn inflow(&self, id: u64, part: Inflow) -> Result<(), TransportError> {
        match self.requests.lock().get(&id) {
            Some(Entry::Running {
                inlet: Some(inlet), ..
            }) => {
                // Nobody reads any more when it is not taken; the pump tells the other end.
                inlet
                    .put(id, part)
                    .map(drop)
                    .map_err(|wire| self.link.malformed(wire))
            }
            Some(_) => Err(self
                .link
                .malformed(WireError::Unexpected { frame: "body", id })),
            None => Ok(()),
        }
    }

    /// Gives up payloads whose callers have given up. Pings come often enough for it.
    fn forget_expired(&self) {
        let now = Instant::now();
        self.requests.lock().retain(|_, entry| match entry {
            Entry::Arriving(arriving) => arriving.expires > now,
            Entry::Running { .. } => true,
        });
    }

    fn fault(&self, id: u64, fault: Fault) -> Result<(), TransportError> {
        match fault {
            Fault::Malformed(wire) => Err(self.link.malformed(wire)),
            Fault::Refused(error) => {
                Refusal::of(&error).map_or(Ok(()), |refusal| self.refuse(id, refusal))
            }
        }
    }

    fn refuse(&self, id: u64, refusal: Refusal) -> Result<(), TransportError> {
        self.link.send_now(Frame::Refusal { id, refusal })
    }
}

impl Drop for Server {
    /// The connection has ended, and with it what runs for it.
    fn drop(&mut self) {
        let requests = std::mem::take(&mut *self.requests.lock());
        for entry in requests.into_values() {
            stop(Some(entry));
        }
    }
}

fn stop(entry: Option<Entry>) {
    if let Some(Entry::Running { task, .. }) = entry {
        task.abort();
    }
}

/// The place a request takes; free again before its last frame is sent.
struct Slot {
    id: u64,
    requests: Arc<Requests>,
    permit: Option<OwnedSemaphorePermit>,
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
struct Run {
    core: Arc<Core>,
    link: Arc<Link>,
    slot: Slot,
    outlet: Arc<Outlet>,
    expires: Instant,
}

impl Run {
    async fn answer(mut self, request: Request, pump: Option<Pump>, held: Held) {
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
