//! What both ends of a connection share: who is there, what is to be written, why it ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use ck_core::NodeId;
use parking_lot::{Mutex, RwLock};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::{Notify, OwnedSemaphorePermit, mpsc, watch};
use tokio::time::timeout;

use crate::closing::Closing;
use crate::codec::{self, Frame};
use crate::{CHUNK_BYTES_MAX, PeerId, TransportError};

/// Small frames that may wait for the socket.
const URGENT_FRAMES_MAX: usize = 256;
/// Frames of payloads and bodies that may wait for the socket: 1 MiB at most.
const BULK_FRAMES_MAX: usize = 16;
/// Small frames written in a row while large ones wait.
const URGENT_IN_A_ROW_MAX: u32 = 16;
/// Bytes written at once, from as many frames as there are.
const WRITE_BYTES: usize = 2 * CHUNK_BYTES_MAX;

/// How long a peer of another cluster may take to close.
const PARTING_MAX: Duration = Duration::from_millis(500);

/// Which frames overtake which: small calls do not wait behind transfers.
///
/// All frames that one end sends for one request are of one class, so they stay in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Urgent,
    Bulk,
}

impl Class {
    /// The class of a message.
    pub(super) const fn of(payload_bytes: usize, body: bool) -> Self {
        if body || payload_bytes > CHUNK_BYTES_MAX / 8 {
            Self::Bulk
        } else {
            Self::Urgent
        }
    }
}

/// How far the frames of one call have got.
#[derive(Debug, Default)]
pub(super) struct Progress {
    begun: AtomicBool,
    cancelled: AtomicBool,
}

impl Progress {
    /// Whether a byte of it may have been written.
    pub(super) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::SeqCst)
    }

    /// Frames that still wait are not written any more.
    pub(super) fn cancel(&self) {
        self.cancelled.store(true, Ordering::SeqCst);
    }
}

struct Outgoing {
    frame: Frame,
    call: Option<Arc<Progress>>,
}

/// A call that its caller dropped. Its slot is free once the other end has been told.
struct Cancelled {
    id: u64,
    progress: Arc<Progress>,
    _slot: OwnedSemaphorePermit,
}

/// One connection, seen from either end.
pub(super) struct Link {
    /// Where the other end is.
    pub(super) address: String,
    /// Why it ended, when it has.
    pub(super) closing: Closing,
    peer: RwLock<Arc<PeerId>>,
    /// The node that its certificate names, if it has shown one.
    certified: Option<NodeId>,
    urgent: mpsc::Sender<Outgoing>,
    bulk: mpsc::Sender<Outgoing>,
    cancelled: Mutex<Vec<Cancelled>>,
    cancelling: Notify,
}

impl Link {
    pub(super) fn new(
        address: String,
        peer: PeerId,
        certified: Option<NodeId>,
    ) -> (Arc<Self>, Outbox) {
        let (urgent, urgent_queue) = mpsc::channel(URGENT_FRAMES_MAX);
        let (bulk, bulk_queue) = mpsc::channel(BULK_FRAMES_MAX);
        let link = Arc::new(Self {
            address,
            closing: Closing::new(),
            peer: RwLock::new(Arc::new(peer)),
            certified,
            urgent,
            bulk,
            cancelled: Mutex::new(Vec::new()),
            cancelling: Notify::new(),
        });
        let outbox = Outbox {
            link: Arc::clone(&link),
            urgent: urgent_queue,
            bulk: bulk_queue,
            urgent_in_a_row: 0,
        };
        (link, outbox)
    }

    /// Who is at the other end, as it said last.
    pub(super) fn peer(&self) -> Arc<PeerId> {
        Arc::clone(&self.peer.read())
    }

    /// Takes note of what the other end says of itself.
    ///
    /// # Errors
    /// [`TransportError::OtherCluster`], or [`TransportError::OtherNode`].
    pub(super) fn identified(&self, me: &PeerId, peer: PeerId) -> Result<(), TransportError> {
        peer.check_node(&self.address, self.certified.as_ref())?;
        me.check_cluster(&self.address, &peer)?;
        *self.peer.write() = Arc::new(peer);
        Ok(())
    }

    /// Queues a frame, waiting for room.
    ///
    /// # Errors
    /// Why the connection ended.
    pub(super) async fn send(
        &self,
        class: Class,
        frame: Frame,
        call: Option<&Arc<Progress>>,
    ) -> Result<(), TransportError> {
        let queue = match class {
            Class::Urgent => &self.urgent,
            Class::Bulk => &self.bulk,
        };
        let outgoing = Outgoing {
            frame,
            call: call.cloned(),
        };
        queue.send(outgoing).await.map_err(|_| self.ended())
    }

    /// Queues a small frame from where nothing may wait.
    ///
    /// # Errors
    /// [`TransportError::Busy`] when the other end does not read what it is told.
    pub(super) fn send_now(&self, frame: Frame) -> Result<(), TransportError> {
        self.urgent
            .try_send(Outgoing { frame, call: None })
            .map_err(|_| TransportError::Busy {
                limit: URGENT_FRAMES_MAX as u64,
            })
    }

    /// Tells the other end, as soon as possible, that nobody waits for `id`; then frees the slot.
    pub(super) fn cancel(&self, id: u64, progress: Arc<Progress>, slot: OwnedSemaphorePermit) {
        progress.cancel();
        if self.closing.reason().is_none() {
            // Bounded by the slots, each of which is held by what is pushed here.
            self.cancelled.lock().push(Cancelled {
                id,
                progress,
                _slot: slot,
            });
            self.cancelling.notify_one();
        }
    }

    /// Why calls on it fail.
    pub(super) fn ended(&self) -> TransportError {
        self.closing.reason().unwrap_or(TransportError::Closed)
    }

    /// The other end broke the protocol.
    pub(super) fn malformed(&self, source: crate::WireError) -> TransportError {
        TransportError::Malformed {
            address: self.address.clone(),
            source,
        }
    }
}

/// What waits to be written on a connection.
pub(super) struct Outbox {
    link: Arc<Link>,
    urgent: mpsc::Receiver<Outgoing>,
    bulk: mpsc::Receiver<Outgoing>,
    urgent_in_a_row: u32,
}

impl Outbox {
    /// Writes until the connection has to end, and says why.
    pub(super) async fn write<W: AsyncWrite + Unpin>(
        mut self,
        mut socket: W,
        mut me: watch::Receiver<PeerId>,
        beat: Duration,
        silence_max: Duration,
    ) -> TransportError {
        let mut out = BytesMut::with_capacity(WRITE_BYTES);
        loop {
            let mut conflict = Ok(());
            if out.is_empty() {
                let Ok(outgoing) = self.next(&mut me, beat).await else {
                    return TransportError::Closed;
                };
                // Whatever woke this up: who we are goes first, and what was cancelled next.
                conflict = self.preface(&mut me, &mut out);
                if conflict.is_ok() {
                    Self::put(outgoing, &mut out);
                }
            }
            while conflict.is_ok() && out.len() < WRITE_BYTES {
                conflict = self.preface(&mut me, &mut out);
                match self.waiting() {
                    Some(outgoing) if conflict.is_ok() => Self::put(Some(outgoing), &mut out),
                    _ => break,
                }
            }
            // An encrypted socket keeps what it was given until it is flushed.
            let writing = async {
                socket.write_all(&out).await?;
                socket.flush().await
            };
            match timeout(silence_max, writing).await {
                Ok(Ok(())) => out.clear(),
                Ok(Err(error)) => {
                    tracing::debug!(address = self.link.address, %error, "writing failed");
                    return TransportError::Closed;
                }
                Err(_) => {
                    let address = self.link.address.clone();
                    return TransportError::Timeout {
                        address,
                        after: silence_max,
                    };
                }
            }
            if let Err(conflict) = conflict {
                // New calls fail from here on; the peer, told who we are now, closes. Closing first
                // could lose what it was told.
                self.link.closing.close(conflict.clone());
                tokio::time::sleep(PARTING_MAX).await;
                return conflict;
            }
        }
    }

    /// Waits for something to write: a frame, or nothing but a reason to look.
    async fn next(
        &mut self,
        me: &mut watch::Receiver<PeerId>,
        beat: Duration,
    ) -> Result<Option<Outgoing>, TransportError> {
        if me.has_changed().map_err(|_| TransportError::Closed)? {
            return Ok(None);
        }
        let link = Arc::clone(&self.link);
        tokio::select! {
            biased;
            // The change is still unseen for `preface`, which asks for the value again.
            changed = me.changed() => match changed {
                Ok(()) => { me.mark_changed(); Ok(None) }
                Err(_) => Err(TransportError::Closed),
            },
            () = link.cancelling.notified() => Ok(None),
            outgoing = self.urgent.recv() => outgoing.map(Some).ok_or(TransportError::Closed),
            outgoing = self.bulk.recv() => outgoing.map(Some).ok_or(TransportError::Closed),
            () = tokio::time::sleep(beat) => Ok(Some(Outgoing { frame: Frame::Ping, call: None })),
        }
    }

    /// A frame that waits already, small ones first, but not for ever.
    fn waiting(&mut self) -> Option<Outgoing> {
        if self.urgent_in_a_row < URGENT_IN_A_ROW_MAX
            && let Ok(outgoing) = self.urgent.try_recv()
        {
            self.urgent_in_a_row += 1;
            return Some(outgoing);
        }
        self.urgent_in_a_row = 0;
        self.bulk
            .try_recv()
            .or_else(|_| self.urgent.try_recv())
            .ok()
    }

    /// What goes before anything else. An identity that parts the two ends is still told.
    fn preface(
        &self,
        me: &mut watch::Receiver<PeerId>,
        out: &mut BytesMut,
    ) -> Result<(), TransportError> {
        if me.has_changed().unwrap_or(false) {
            let me = me.borrow_and_update().clone();
            let conflict = me.check_cluster(&self.link.address, &self.link.peer());
            codec::encode(&Frame::Identify(me), out)?;
            conflict?;
        }
        let cancelled = std::mem::take(&mut *self.link.cancelled.lock());
        for Cancelled {
            id,
            progress,
            _slot,
        } in cancelled
        {
            // What never began needs no end; its frames are dropped when they come up.
            if progress.has_begun() {
                codec::encode(&Frame::Cancel { id }, out)?;
            }
        }
        Ok(())
    }

    fn put(outgoing: Option<Outgoing>, out: &mut BytesMut) {
        let Some(Outgoing { frame, call }) = outgoing else {
            return;
        };
        if let Some(progress) = call {
            if progress.cancelled.load(Ordering::SeqCst) {
                return;
            }
            progress.begun.store(true, Ordering::SeqCst);
        }
        codec::encode(&frame, out).expect("frames of requests are cut to fit");
    }
}

#[cfg(test)]
mod tests;
