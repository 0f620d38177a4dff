//! What the writing thread is asked for.

use std::sync::Arc;

use bytes::Bytes;
use ck_node::HeldProof;
use tokio::sync::oneshot;

use crate::record::{Entry, Record};
use crate::stamp::{Grant, Stamp};
use crate::wire::{Ack, Refused, Section, Standing, Verdict};

/// Where a job's answer goes once it is on the disk.
pub(crate) type Reply<T> = oneshot::Sender<T>;

/// A record of the primary, on its way to its own disk.
#[derive(Debug)]
pub(crate) struct Append {
    /// Asked right before the record is inserted, and held until it is on the disk: what was admitted
    /// is not refused because the role is about to be handed over.
    pub(crate) held: HeldProof,
    pub(crate) grant: Grant,
    pub(crate) partition: u32,
    /// The record it follows.
    pub(crate) after: Stamp,
    pub(crate) record: Arc<Record>,
    /// Every replica has the records up to here.
    pub(crate) stable: u64,
}

/// A stretch of the source's keys, for a copy that is being made.
#[derive(Debug)]
pub(crate) struct Fill {
    pub(crate) partition: u32,
    /// The grant the copy is attached at; absent while it is not.
    pub(crate) grant: Option<Grant>,
    pub(crate) start: Option<Bytes>,
    pub(crate) until: Option<Bytes>,
    pub(crate) entries: Vec<Entry>,
    /// Where the source stood: later records are not in it.
    pub(crate) at: Stamp,
    pub(crate) reply: Reply<Verdict<()>>,
}

/// Work for the thread that writes.
#[derive(Debug)]
pub(crate) enum Job {
    Append(Append),
    /// A replica's share.
    Receive {
        sections: Vec<Section>,
        reply: Reply<Vec<Verdict<Ack>>>,
    },
    /// Nothing of an older grant from now on.
    Fence {
        partition: u32,
        grant: Grant,
        reply: Reply<Verdict<Standing>>,
    },
    /// The copy's line begins anew after `at`, and its keys are filled in meanwhile.
    Attach {
        partition: u32,
        grant: Grant,
        at: Stamp,
        reply: Reply<Verdict<()>>,
    },
    Fill(Fill),
    /// The copy has everything, if it has the records up to `upto`: what it was filled with may hold
    /// what they did.
    Filled {
        partition: u32,
        grant: Grant,
        upto: u64,
        reply: Reply<Verdict<()>>,
    },
    /// Drops a part of a copy. Answers whether there is more.
    Drop {
        partition: u32,
        reply: Reply<bool>,
    },
}

/// A job's answer, kept until the batch is on the disk.
#[derive(Debug)]
pub(super) enum Done {
    /// The primary's records up to `seq` are on its disk.
    Appended {
        partition: u32,
        grant: Grant,
        seq: u64,
    },
    /// A record of the primary was not written.
    NotAppended {
        partition: u32,
        grant: Grant,
        why: Refused,
    },
    Received(Reply<Vec<Verdict<Ack>>>, Vec<Verdict<Ack>>),
    Fenced(Reply<Verdict<Standing>>, Verdict<Standing>),
    Plain(Reply<Verdict<()>>, Verdict<()>),
    Dropped(Reply<bool>, bool),
}

impl Job {
    /// Bytes it brings into a batch, about.
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::Append(append) => append.record.weight(),
            Self::Receive { sections, .. } => sections
                .iter()
                .flat_map(|section| &section.records)
                .map(|record| record.weight())
                .sum(),
            Self::Fill(fill) => fill
                .entries
                .iter()
                .map(|entry| entry.key.len() + entry.value.len())
                .sum(),
            _ => 64,
        }
    }
}
