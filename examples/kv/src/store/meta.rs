//! What a copy knows of itself beside its data.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use crate::planted::Bug;
use crate::record::Trace;
use crate::stamp::{Grant, Stamp};
use crate::wire::{Refused, Standing, Wire, WireError};

/// Records that may wait to be known everywhere, in one partition.
pub(crate) const TRACES_MAX: usize = 1_024;

/// One copy's standing: written with every batch that changes it, so there is no log beside the
/// data.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Meta {
    /// The newest grant it has seen. Nothing older is taken any more.
    pub(crate) fence: Grant,
    /// Its newest record.
    pub(crate) position: Stamp,
    /// Every replica has the records up to here.
    pub(crate) stable: u64,
    /// The records beyond, in order.
    pub(crate) traces: VecDeque<Trace>,
    /// Keys it has.
    pub(crate) keys: u64,
    /// Bytes of keys and values.
    pub(crate) bytes: u64,
}

/// Made by the check of a token against what a copy has seen, and by nothing else.
#[derive(Debug)]
pub struct Admitted(());

impl Meta {
    /// Whether something under `grant` may be done, which is newest from then on.
    ///
    /// A replica's whole safety is here: a late primary carries an older grant.
    pub(super) fn admit(&mut self, grant: Grant) -> Result<Admitted, Refused> {
        if grant < self.fence && !Bug::NoTokenCheck.is_on() {
            return Err(Refused::Fenced { newest: self.fence });
        }
        self.fence = self.fence.max(grant);
        Ok(Admitted(()))
    }

    /// Whether records that follow `after` fit here.
    pub(super) fn follows(&self, after: Stamp) -> Result<(), Refused> {
        if self.position == after {
            return Ok(());
        }
        Err(Refused::Gap {
            position: self.position,
        })
    }

    /// Notes a record that was applied.
    pub(super) fn advance(&mut self, trace: Trace) {
        self.position = trace.stamp;
        self.traces.push_back(trace);
    }

    /// Notes that every replica has the records up to `seq`.
    pub(super) fn settle(&mut self, seq: u64) {
        self.stable = self.stable.max(seq.min(self.position.seq));
        while self
            .traces
            .front()
            .is_some_and(|trace| trace.stamp.seq <= self.stable)
        {
            self.traces.pop_front();
        }
    }

    /// Starts a line anew at `at`: what came before is taken over in another way.
    pub(super) fn restart(&mut self, at: Stamp) {
        self.position = at;
        self.stable = at.seq;
        self.traces.clear();
    }

    pub(crate) fn standing(&self) -> Standing {
        Standing {
            position: self.position,
            stable: self.stable,
            traces: self.traces.iter().cloned().collect(),
        }
    }

    pub(super) fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(128);
        self.fence.write(&mut out);
        self.position.write(&mut out);
        self.stable.write(&mut out);
        self.keys.write(&mut out);
        self.bytes.write(&mut out);
        let count = u32::try_from(self.traces.len()).expect("few records wait");
        count.write(&mut out);
        for trace in &self.traces {
            trace.write(&mut out);
        }
        out.freeze()
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, WireError> {
        let mut from = Bytes::copy_from_slice(bytes);
        let meta = Self {
            fence: Wire::read(&mut from)?,
            position: Wire::read(&mut from)?,
            stable: Wire::read(&mut from)?,
            keys: Wire::read(&mut from)?,
            bytes: Wire::read(&mut from)?,
            traces: Vec::read(&mut from)?.into(),
        };
        if from.is_empty() {
            Ok(meta)
        } else {
            Err(WireError::Trailing { left: from.len() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(epoch: u64, round: u32) -> Grant {
        Grant {
            incarnation: 1,
            epoch,
            round,
        }
    }

    fn trace(seq: u64) -> Trace {
        Trace {
            stamp: Stamp {
                grant: grant(1, 1),
                seq,
            },
            key: Bytes::from_static(b"key"),
        }
    }

    #[test]
    fn an_older_grant_is_refused_and_a_newer_one_is_remembered() {
        let mut meta = Meta::default();
        assert!(meta.admit(grant(2, 1)).is_ok());
        assert!(meta.admit(grant(2, 1)).is_ok());
        for old in [grant(1, 9), grant(2, 0)] {
            let newest = grant(2, 1);
            assert_eq!(meta.admit(old).unwrap_err(), Refused::Fenced { newest });
        }
        assert!(meta.admit(grant(2, 2)).is_ok());
        assert!(meta.admit(grant(2, 1)).is_err());
    }

    #[test]
    fn what_is_everywhere_is_forgotten_and_the_rest_reads_back() {
        let mut meta = Meta::default();
        (1..=5).for_each(|seq| meta.advance(trace(seq)));
        meta.settle(3);
        assert_eq!(meta.traces, [trace(4), trace(5)]);
        meta.settle(2);
        assert_eq!(meta.stable, 3);
        assert_eq!(Meta::from_bytes(&meta.to_bytes()), Ok(meta.clone()));
        // Nobody can have more than there is.
        meta.settle(9);
        assert_eq!((meta.stable, meta.traces.len()), (5, 0));
    }
}
