//! A call that waits for its answer.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::limits::Held;
use crate::tcp::stream::{Assembly, Fault, Inflow, Inlet, Outlet, Pump, inlet};
use crate::{Body, PeerId, TransportError, WireError};

/// A call that waits for something.
pub(super) struct Pending {
    pub(super) answer: Option<oneshot::Sender<Result<Answer, TransportError>>>,
    pub(super) arriving: Option<Assembly>,
    pub(super) body: Option<(Pump, Body)>,
    pub(super) inlet: Option<Inlet>,
    pub(super) outlet: Option<Arc<Outlet>>,
}

/// What came back.
pub(super) struct Answer {
    pub(super) peer: Arc<PeerId>,
    pub(super) payload: Bytes,
    pub(super) body: Option<(Pump, Body)>,
    pub(super) _held: Held,
}

impl Pending {
    pub(super) fn begin(
        &mut self,
        id: u64,
        total: u64,
        body: bool,
        first: Bytes,
        refused: Result<(), TransportError>,
        held: Held,
    ) -> Result<(), WireError> {
        if self.answer.is_none() || self.arriving.is_some() {
            // The answer failed here, or there are two of them; the first one counts.
            return Ok(());
        }
        let begun = refused
            .map_err(Fault::Refused)
            .and_then(|()| Assembly::begin(id, total, first, held))
            .map(|assembly| self.arriving = Some(assembly));
        if begun.is_ok() && body {
            let (inlet, pump, reader) = inlet();
            self.inlet = Some(inlet);
            self.body = Some((pump, reader));
        }
        self.settle(begun)
    }

    /// Fails the call when its answer cannot be taken; the caller's guard then cancels it.
    pub(super) fn settle(&mut self, outcome: Result<(), Fault>) -> Result<(), WireError> {
        match outcome {
            Ok(()) => Ok(()),
            Err(Fault::Malformed(wire)) => Err(wire),
            Err(Fault::Refused(error)) => {
                self.arriving = None;
                self.inlet = None;
                if let Some(answer) = self.answer.take() {
                    // A caller that has gone needs no reason.
                    let _ = answer.send(Err(error));
                }
                Ok(())
            }
        }
    }

    pub(super) fn inflow(&self, id: u64, part: Inflow) -> Result<(), WireError> {
        // Nobody reads any more when it is not taken; the pump tells the other end.
        self.inlet
            .as_ref()
            .map_or(Ok(true), |inlet| inlet.put(id, part))
            .map(drop)
    }
}
