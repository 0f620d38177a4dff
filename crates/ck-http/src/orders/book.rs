//! Which orders are open, which have ended, and who follows them.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use ck_api as api;
use tokio::sync::{mpsc, watch};

use super::OrderError;

/// Ended orders that are remembered, so that a second acknowledgement is answered like the first.
const ENDED_MAX: usize = 1024;

/// Longest reason kept of a failure, in characters.
const REASON_CHARS_MAX: usize = 512;

/// What became of an order so far, for the call that waits for it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Report {
    pub(super) progress: Option<api::Progress>,
    pub(super) verdict: Option<Result<(), OrderError>>,
}

/// How an order ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Done,
    Failed,
    Superseded,
}

impl Ended {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Superseded => "superseded",
        }
    }
}

/// An order by its number.
pub(super) enum Found<'b> {
    Open(&'b api::Order),
    Ended(&'b api::Order, Ended),
}

struct Open {
    order: api::Order,
    report: watch::Sender<Report>,
}

/// All orders of one start.
pub(super) struct Book {
    open_max: usize,
    newest: u64,
    open: BTreeMap<u64, Open>,
    ended: VecDeque<(u64, api::Order, Ended)>,
    pub(super) subscribers: Vec<mpsc::Sender<Bytes>>,
}

impl Book {
    pub(super) const fn new(open_max: usize) -> Self {
        Self {
            open_max,
            newest: 0,
            open: BTreeMap::new(),
            ended: VecDeque::new(),
            subscribers: Vec::new(),
        }
    }

    pub(super) fn open_len(&self) -> usize {
        self.open.len()
    }

    /// The open orders, oldest first.
    pub(super) fn open(&self) -> impl Iterator<Item = &api::Order> {
        self.open.values().map(|open| &open.order)
    }

    /// A number for one more order.
    pub(super) fn next(&mut self) -> Result<u64, OrderError> {
        if self.open.len() >= self.open_max {
            let limit = self.open_max;
            return Err(OrderError::Full { limit });
        }
        self.newest += 1;
        Ok(self.newest)
    }

    pub(super) fn add(&mut self, number: u64, order: api::Order) -> watch::Receiver<Report> {
        let (report, reported) = watch::channel(Report::default());
        self.open.insert(number, Open { order, report });
        reported
    }

    pub(super) fn find(&self, number: u64) -> Option<Found<'_>> {
        if let Some(open) = self.open.get(&number) {
            return Some(Found::Open(&open.order));
        }
        let ended = self.ended.iter().find(|(known, ..)| *known == number);
        ended.map(|(_, order, ended)| Found::Ended(order, *ended))
    }

    /// Passes on what the application says of an open order; what state it is in then.
    pub(super) fn report(&mut self, number: u64, ack: &api::OrderAck) -> &'static str {
        let verdict = match (&ack.error, ack.done.unwrap_or(ack.progress.is_none())) {
            (Some(reason), _) => Some(Err(OrderError::Failed {
                reason: reason.chars().take(REASON_CHARS_MAX).collect(),
            })),
            (None, true) => Some(Ok(())),
            (None, false) => None,
        };
        let ended = match &verdict {
            Some(Ok(())) => Some(Ended::Done),
            Some(Err(_)) => Some(Ended::Failed),
            None => None,
        };
        if let Some(open) = self.open.get(&number) {
            open.report.send_modify(|report| {
                report.progress = ack.progress.or(report.progress);
                report.verdict = verdict;
            });
        }
        match ended {
            Some(ended) => {
                self.end(number, ended);
                ended.name()
            }
            None => "open",
        }
    }

    /// Ends an order. Whether it was open.
    pub(super) fn end(&mut self, number: u64, ended: Ended) -> bool {
        let Some(open) = self.open.remove(&number) else {
            return false;
        };
        if self.ended.len() >= ENDED_MAX {
            self.ended.pop_front();
        }
        self.ended.push_back((number, open.order, ended));
        true
    }

    /// Tells everybody who follows. Whoever is too far behind is cut off.
    pub(super) fn tell(&mut self, event: &Bytes) {
        self.subscribers
            .retain(|one| one.try_send(event.clone()).is_ok());
    }
}
