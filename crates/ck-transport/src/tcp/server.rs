//! The accepting end of a connection: the requests of one peer.

mod run;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::AsyncRead;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::codec::{Frame, Refusal};
use crate::limits::DEADLINE_MAX;
use crate::{Request, TransportError, WireError};

use super::Core;
use super::link::Link;
use super::stream::{Assembly, Fault, Inflow, Inlet, Outlet, inlet};
use super::wire::FrameReader;

use self::run::{Run, Slot};

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
