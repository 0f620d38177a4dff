//! Payloads in pieces and bodies in chunks, at either end.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::time::timeout;

use crate::body::pieces;
use crate::codec::Frame;
use crate::limits::{BODY_WINDOW, Held};
use crate::{Body, BodyWriter, TransportError, WireError};

use super::link::{Class, Link, Progress};

/// A payload that is arriving. Its memory grows with what has arrived.
#[derive(Debug)]
pub(super) struct Assembly {
    id: u64,
    total: u64,
    first: Bytes,
    rest: BytesMut,
    held: Held,
}

/// Why a payload cannot be taken.
#[derive(Debug)]
pub(super) enum Fault {
    /// Only this request suffers.
    Refused(TransportError),
    /// The peer broke the protocol.
    Malformed(WireError),
}

impl Assembly {
    /// The beginning of a payload of `total` bytes.
    pub(super) fn begin(id: u64, total: u64, first: Bytes, held: Held) -> Result<Self, Fault> {
        let mut assembly = Self {
            id,
            total,
            first: Bytes::new(),
            rest: BytesMut::new(),
            held,
        };
        assembly.account(first.len())?;
        assembly.first = first;
        Ok(assembly)
    }

    /// Adds what came next.
    pub(super) fn add(&mut self, data: &[u8]) -> Result<(), Fault> {
        self.account(data.len())?;
        if self.rest.is_empty() {
            self.rest.extend_from_slice(&self.first);
        }
        self.rest.extend_from_slice(data);
        Ok(())
    }

    pub(super) fn is_complete(&self) -> bool {
        self.arrived() == self.total
    }

    /// The payload, and what it holds of the budget.
    pub(super) fn finish(self) -> (Bytes, Held) {
        let payload = if self.rest.is_empty() {
            self.first
        } else {
            self.rest.freeze()
        };
        (payload, self.held)
    }

    fn arrived(&self) -> u64 {
        self.rest.len().max(self.first.len()) as u64
    }

    fn account(&mut self, more: usize) -> Result<(), Fault> {
        let (got, allowed) = (self.arrived() + more as u64, self.total);
        if got > allowed {
            let unit = "bytes";
            return Err(Fault::Malformed(WireError::Overrun {
                id: self.id,
                got,
                allowed,
                unit,
            }));
        }
        self.held.take(more).map_err(Fault::Refused)
    }
}

/// Sends the rest of a payload whose beginning went with its head.
pub(super) async fn send_pieces(
    link: &Link,
    id: u64,
    rest: Bytes,
    call: Option<&Arc<Progress>>,
) -> Result<(), TransportError> {
    for data in pieces(rest) {
        link.send(Class::Bulk, Frame::Piece { id, data }, call)
            .await?;
    }
    Ok(())
}

/// What the reader of a body allows its sender.
#[derive(Debug)]
pub(super) struct Outlet {
    credit: Semaphore,
    stopped: Notify,
}

impl Outlet {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            credit: Semaphore::new(BODY_WINDOW),
            stopped: Notify::new(),
        })
    }

    /// The reader took `chunks`.
    pub(super) fn allow(&self, id: u64, chunks: u32) -> Result<(), WireError> {
        let got = self.credit.available_permits() as u64 + u64::from(chunks);
        if got > BODY_WINDOW as u64 {
            let (allowed, unit) = (BODY_WINDOW as u64, "chunks");
            return Err(WireError::Overrun {
                id,
                got,
                allowed,
                unit,
            });
        }
        self.credit.add_permits(chunks as usize);
        Ok(())
    }

    /// The reader wants no more.
    pub(super) fn stop(&self) {
        self.stopped.notify_one();
    }

    /// Sends `body` to its end, or until the reader has had enough.
    ///
    /// Returns the last frame, unsent: a side that counts requests forgets this one first.
    pub(super) async fn send(
        &self,
        link: &Link,
        id: u64,
        body: Body,
        stall: Duration,
        call: Option<&Arc<Progress>>,
    ) -> Result<Option<Frame>, TransportError> {
        tokio::select! {
            biased;
            () = self.stopped.notified() => Ok(None),
            last = self.send_all(link, id, body, stall, call) => last.map(Some),
        }
    }

    async fn send_all(
        &self,
        link: &Link,
        id: u64,
        mut body: Body,
        stall: Duration,
        call: Option<&Arc<Progress>>,
    ) -> Result<Frame, TransportError> {
        loop {
            let chunk = match timeout(stall, body.next_chunk()).await {
                Ok(Some(Ok(chunk))) => chunk,
                Ok(None) => return Ok(Frame::End { id }),
                Ok(Some(Err(_))) | Err(_) => return Ok(Frame::Abort { id }),
            };
            for data in pieces(chunk) {
                match timeout(stall, self.credit.acquire()).await {
                    Ok(permit) => permit.expect("credit is never closed").forget(),
                    Err(_) => return Ok(Frame::Abort { id }),
                }
                link.send(Class::Bulk, Frame::Chunk { id, data }, call)
                    .await?;
            }
        }
    }
}

/// What arrives of a body.
#[derive(Debug)]
pub(super) enum Inflow {
    Chunk(Bytes),
    End,
    Abort,
}

/// Where the reading loop puts what arrives of a body; never waits.
#[derive(Debug)]
pub(super) struct Inlet(mpsc::Sender<Inflow>);

impl Inlet {
    /// Puts the next part. `Ok(false)` when nobody reads any more.
    pub(super) fn put(&self, id: u64, part: Inflow) -> Result<bool, WireError> {
        match self.0.try_send(part) {
            Ok(()) => Ok(true),
            Err(mpsc::error::TrySendError::Closed(_)) => Ok(false),
            Err(mpsc::error::TrySendError::Full(_)) => {
                let (allowed, unit) = (BODY_WINDOW as u64, "chunks");
                Err(WireError::Overrun {
                    id,
                    got: allowed + 1,
                    allowed,
                    unit,
                })
            }
        }
    }
}

/// How a body was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// The sender ended it.
    Over,
    /// The reader gave it up; the sender has to be told.
    GivenUp,
}

/// Passes what arrives on to the reader of a body, and its pace back to the sender.
#[derive(Debug)]
pub(super) struct Pump {
    inflow: mpsc::Receiver<Inflow>,
    writer: BodyWriter,
}

/// The three ends of a body that arrives.
pub(super) fn inlet() -> (Inlet, Pump, Body) {
    // One more than the window, for the end.
    let (sender, inflow) = mpsc::channel(BODY_WINDOW + 1);
    let (writer, body) = Body::channel(1);
    (Inlet(sender), Pump { inflow, writer }, body)
}

impl Pump {
    /// Runs until the body has ended or nobody reads it.
    pub(super) async fn run(mut self, link: &Link, id: u64, stall: Duration) -> Reading {
        loop {
            let part = tokio::select! {
                biased;
                () = self.writer.closed() => return Reading::GivenUp,
                part = timeout(stall, self.inflow.recv()) => part,
            };
            match part {
                Ok(Some(Inflow::Chunk(data))) => {
                    if self.writer.send(data).await.is_err() {
                        return Reading::GivenUp;
                    }
                    // On a connection that has ended, what arrived is still passed on.
                    let credit = Frame::Credit { id, chunks: 1 };
                    let _ = link.send(Class::Urgent, credit, None).await;
                }
                Ok(Some(Inflow::End)) => {
                    // A reader that has gone needs no end.
                    let _ = self.writer.finish().await;
                    return Reading::Over;
                }
                Ok(Some(Inflow::Abort) | None) => {
                    self.writer.fail(TransportError::Closed).await;
                    return Reading::Over;
                }
                Err(_) => {
                    let address = link.address.clone();
                    self.writer
                        .fail(TransportError::Timeout {
                            address,
                            after: stall,
                        })
                        .await;
                    return Reading::GivenUp;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Budget;

    #[test]
    fn a_payload_in_pieces_comes_together() {
        let budget = Budget::new(10);
        let mut assembly = Assembly::begin(1, 5, "ab".into(), budget.open()).unwrap();
        assert!(!assembly.is_complete());
        assembly.add(b"cd").unwrap();
        assembly.add(b"e").unwrap();
        assert!(assembly.is_complete());
        assert_eq!(assembly.finish().0, "abcde");
    }

    #[test]
    fn more_than_was_announced_breaks_the_protocol() {
        let budget = Budget::new(10);
        let begun = Assembly::begin(1, 1, "ab".into(), budget.open());
        assert!(matches!(
            begun,
            Err(Fault::Malformed(WireError::Overrun { got: 2, .. }))
        ));
        let mut assembly = Assembly::begin(1, 3, "ab".into(), budget.open()).unwrap();
        let added = assembly.add(b"cd");
        assert!(matches!(
            added,
            Err(Fault::Malformed(WireError::Overrun { got: 4, .. }))
        ));
    }

    #[test]
    fn a_spent_budget_refuses_the_request_and_is_given_back() {
        let budget = Budget::new(4);
        let mut first = Assembly::begin(1, 8, "abc".into(), budget.open()).unwrap();
        let added = first.add(b"de");
        assert!(matches!(
            added,
            Err(Fault::Refused(TransportError::Busy { limit: 4 }))
        ));
        let second = Assembly::begin(2, 2, "xy".into(), budget.open());
        assert!(matches!(second, Err(Fault::Refused(_))));
        drop((first, second));
        Assembly::begin(3, 4, "abcd".into(), budget.open()).unwrap();
    }

    #[test]
    fn credit_that_was_not_spent_is_refused() {
        let outlet = Outlet::new();
        assert!(matches!(outlet.allow(1, 1), Err(WireError::Overrun { .. })));
        assert!(matches!(
            outlet.allow(1, u32::MAX),
            Err(WireError::Overrun { .. })
        ));
    }

    #[test]
    fn more_chunks_than_the_window_are_refused() {
        let (inlet, pump, _body) = inlet();
        for _ in 0..=BODY_WINDOW {
            assert_eq!(inlet.put(1, Inflow::Chunk("x".into())), Ok(true));
        }
        let over = inlet.put(1, Inflow::Chunk("x".into()));
        assert!(matches!(over, Err(WireError::Overrun { .. })));
        drop(pump);
        assert_eq!(inlet.put(1, Inflow::End), Ok(false));
    }
}
