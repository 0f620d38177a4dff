//! One transaction: what each job changes, and what it is answered once that is on the disk.
//!
//! A job is checked before it changes anything, so what is refused leaves no trace in the
//! transaction of the others.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use ck_node::Proof;
use redb::ReadableTable as _;
use tokio::sync::OwnedSemaphorePermit;

use super::Queued;
use super::data::{self, Permit, Rows};
use super::job::{Append, Done, Fill, Job};
use super::meta::{Meta, TRACES_MAX};
use crate::record::{Effect, Record, Trace};
use crate::stamp::Grant;
use crate::wire::{Ack, Refused, Section, Verdict};

/// Keys deleted while a copy is filled that are remembered; more end the filling.
const REMOVED_MAX: usize = 100_000;

/// Keys of a dropped copy that go with one transaction.
const DROPPED_KEYS: usize = 4_096;

/// A copy that is being filled while it takes records already.
#[derive(Debug, Default)]
struct Filling {
    /// Keys deleted by records since it was attached, ahead of what is filled, with the record's
    /// number: the source's older value must not bring them back.
    removed: HashMap<Bytes, u64>,
    /// Keys up to this one are filled in.
    passed: Option<Bytes>,
    /// More were deleted than are remembered.
    overflowed: bool,
}

/// What the thread keeps between transactions.
#[derive(Debug, Default)]
pub(super) struct Copies {
    pub(super) metas: BTreeMap<u32, Meta>,
    filling: BTreeMap<u32, Filling>,
}

/// A transaction being put together.
pub(super) struct Batch<'a, 'c, 'txn> {
    pub(super) rows: Rows<'txn>,
    pub(super) copies: &'c mut Copies,
    /// Copies whose meta changed.
    pub(super) touched: Vec<u32>,
    /// Too little space is left for records from elsewhere.
    pub(super) full: bool,
    /// Held until the transaction is on the disk: meanwhile no partition is handed over.
    pub(super) proofs: Vec<Proof<'a>>,
}

impl<'a> Batch<'a, '_, '_> {
    /// Performs a job within the transaction.
    pub(super) fn perform(&mut self, job: &'a mut Slot) -> Result<(), redb::Error> {
        let Some(work) = job.job.take() else {
            return Ok(());
        };
        job.done = Some(match work {
            Job::Append(append) => {
                // Stays in its slot: the proof borrows from it.
                let append = job.append.insert(append);
                self.append(append)?
            }
            Job::Receive { sections, reply } => {
                let mut verdicts = Vec::with_capacity(sections.len());
                for section in &sections {
                    verdicts.push(self.receive(section)?);
                }
                Done::Received(reply, verdicts)
            }
            Job::Fence {
                partition,
                grant,
                reply,
            } => {
                let (meta, _) = self.copy(partition);
                let standing = meta.admit(grant).map(|_| meta.standing());
                Done::Fenced(reply, standing)
            }
            Job::Attach {
                partition,
                grant,
                at,
                reply,
            } => {
                let (meta, copies) = self.copy(partition);
                let attached = meta.admit(grant).map(|_| meta.restart(at));
                if attached.is_ok() {
                    copies.insert(partition, Filling::default());
                }
                Done::Plain(reply, attached)
            }
            Job::Fill(fill) => {
                let filled = self.fill(&fill)?;
                Done::Plain(fill.reply, filled)
            }
            Job::Filled {
                partition,
                grant,
                upto,
                reply,
            } => Done::Plain(reply, self.filled(partition, grant, upto)),
            Job::Drop { partition, reply } => Done::Dropped(reply, self.drop_part(partition)?),
        });
        Ok(())
    }

    fn copy(&mut self, partition: u32) -> (&mut Meta, &mut BTreeMap<u32, Filling>) {
        self.touched.push(partition);
        let meta = self.copies.metas.entry(partition).or_default();
        (meta, &mut self.copies.filling)
    }

    fn append(&mut self, append: &'a Append) -> Result<Done, redb::Error> {
        let (partition, grant) = (append.partition, append.grant);
        let refused = |why| Done::NotAppended {
            partition,
            grant,
            why,
        };
        // The last moment at which it can be known: the lease may have lapsed in the queue.
        let proof = match append.held.check() {
            Ok(proof) => proof,
            Err(_) => return Ok(refused(Refused::NotServing)),
        };
        let (meta, _) = self.copy(partition);
        let admitted = meta.follows(append.after).and_then(|()| meta.admit(grant));
        let admitted = match admitted {
            Ok(admitted) => admitted,
            Err(why) => return Ok(refused(why)),
        };
        let permit = Permit::of_primary(admitted, &proof);
        let meta = self.copies.metas.entry(partition).or_default();
        data::apply(&mut self.rows, meta, partition, &append.record, &permit)?;
        meta.advance(trace(&append.record));
        meta.settle(append.stable);
        self.proofs.push(proof);
        let seq = append.record.stamp.seq;
        Ok(Done::Appended {
            partition,
            grant,
            seq,
        })
    }

    fn receive(&mut self, section: &Section) -> Result<Verdict<Ack>, redb::Error> {
        let full = self.full && !section.records.is_empty();
        let (meta, filling) = self.copy(section.partition);
        if full {
            return Ok(Err(Refused::Full));
        }
        // Records of an older grant than the section's are old ones that are handed on; ones of a
        // newer grant cannot be.
        let sound = section
            .records
            .iter()
            .zip(section.after.seq + 1..)
            .all(|(record, seq)| record.stamp.seq == seq && record.stamp.grant <= section.grant);
        if !sound {
            return Ok(Err(Refused::Busy));
        }
        let admitted = meta
            .admit(section.grant)
            .and_then(|admitted| meta.follows(section.after).map(|()| admitted));
        let permit = match admitted {
            Ok(admitted) => Permit::of_replica(admitted),
            Err(why) => return Ok(Err(why)),
        };
        // First of all what is everywhere by now: it makes room for what is new.
        meta.settle(section.stable);
        if meta.traces.len() + section.records.len() > 2 * TRACES_MAX {
            return Ok(Err(Refused::Busy));
        }
        let filling = filling.get_mut(&section.partition);
        if let Some(filling) = filling {
            section.records.iter().for_each(|one| filling.note(one));
        }
        let meta = self.copies.metas.entry(section.partition).or_default();
        for record in &section.records {
            data::apply(&mut self.rows, meta, section.partition, record, &permit)?;
            meta.advance(trace(record));
        }
        meta.settle(section.stable);
        let position = meta.position;
        Ok(Ok(Ack { position }))
    }

    /// Makes a stretch of the copy what the source has there, except where records since are newer.
    fn fill(&mut self, fill: &Fill) -> Result<Verdict<()>, redb::Error> {
        let full = self.full && !fill.entries.is_empty();
        let (meta, filling) = self.copy(fill.partition);
        if full {
            return Ok(Err(Refused::Full));
        }
        let permit = match meta.admit(fill.grant.unwrap_or(meta.fence)) {
            Ok(admitted) => Permit::of_replica(admitted),
            Err(why) => return Ok(Err(why)),
        };
        let mut removed = HashMap::new();
        if fill.grant.is_some() {
            match filling.get_mut(&fill.partition) {
                Some(filling) if filling.overflowed => return Ok(Err(Refused::Busy)),
                Some(filling) => removed = filling.take_until(fill.until.as_ref()),
                None => return Ok(Err(Refused::Forgotten)),
            }
        }
        let (start, until) = (fill.start.as_deref(), fill.until.as_deref());
        let here = data::keys_between(&self.rows.data, fill.partition, start, until)?;
        let newer: HashMap<&Bytes, ()> = here
            .iter()
            .filter(|(_, stamp)| Some(stamp.grant) == fill.grant && stamp.seq > fill.at.seq)
            .map(|(key, _)| (key, ()))
            .collect();
        let there: HashMap<&Bytes, ()> = fill.entries.iter().map(|one| (&one.key, ())).collect();
        let meta = self.copies.metas.entry(fill.partition).or_default();
        for (key, _) in &here {
            if !newer.contains_key(key) && !there.contains_key(key) {
                data::remove(&mut self.rows, meta, fill.partition, key, &permit)?;
            }
        }
        for entry in &fill.entries {
            let gone = removed
                .get(&entry.key)
                .is_some_and(|seq| *seq > fill.at.seq);
            if gone || newer.contains_key(&entry.key) {
                continue;
            }
            let (key, stamp, value) = (&entry.key, entry.stamp, &entry.value);
            data::put(
                &mut self.rows,
                meta,
                fill.partition,
                key,
                stamp,
                value,
                &permit,
            )?;
        }
        Ok(Ok(()))
    }

    /// Ends the filling of a copy that has got as far as what it was filled with.
    fn filled(&mut self, partition: u32, grant: Grant, upto: u64) -> Verdict<()> {
        let (meta, copies) = self.copy(partition);
        meta.admit(grant)?;
        let filling = copies.get(&partition).ok_or(Refused::Forgotten)?;
        let overflowed = filling.overflowed;
        let position = meta.position;
        if position.seq < upto && !overflowed {
            // Now it holds what records did that it does not have: no record of a line at all.
            return Err(Refused::Gap { position });
        }
        copies.remove(&partition);
        if overflowed {
            Err(Refused::Busy)
        } else {
            Ok(())
        }
    }

    /// Drops some keys of a copy; with the last of them its standing, except what it has seen.
    fn drop_part(&mut self, partition: u32) -> Result<bool, redb::Error> {
        let mut keys = Vec::new();
        for row in self
            .rows
            .data
            .range::<&[u8]>(data::bounds(partition, None, None).as_ref())?
            .take(DROPPED_KEYS)
        {
            keys.push(row?.0.value()[4..].to_vec());
        }
        for key in &keys {
            self.rows.set(partition, key, None)?;
        }
        let (meta, filling) = self.copy(partition);
        filling.remove(&partition);
        *meta = Meta {
            fence: meta.fence,
            ..Meta::default()
        };
        Ok(keys.len() == DROPPED_KEYS)
    }
}

impl Filling {
    fn note(&mut self, record: &Record) {
        if self
            .passed
            .as_ref()
            .is_some_and(|passed| record.key <= *passed)
        {
            return;
        }
        if record.effect != Effect::Delete {
            self.removed.remove(&record.key);
        } else if self.removed.len() < REMOVED_MAX {
            self.removed.insert(record.key.clone(), record.stamp.seq);
        } else {
            self.overflowed = true;
        }
    }

    /// The keys up to `until`, which are not asked for again.
    fn take_until(&mut self, until: Option<&Bytes>) -> HashMap<Bytes, u64> {
        let Some(until) = until else {
            return std::mem::take(&mut self.removed);
        };
        self.passed = Some(until.clone());
        self.removed.extract_if(|key, _| key <= until).collect()
    }
}

fn trace(record: &Record) -> Trace {
    Trace {
        stamp: record.stamp,
        key: record.key.clone(),
    }
}

/// A job in its batch, with what its proof borrows from and what it will be answered.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) job: Option<Job>,
    append: Option<Append>,
    done: Option<Done>,
    /// Given back with the answer.
    _memory: OwnedSemaphorePermit,
}

impl Slot {
    pub(super) fn new(queued: Queued) -> Self {
        Self {
            job: Some(queued.job),
            append: None,
            done: None,
            _memory: queued.memory,
        }
    }

    pub(super) fn into_done(self) -> Option<Done> {
        self.done
    }
}

/// What a batch told of the primary's records, put together by partition and grant.
pub(super) type Progress = BTreeMap<(u32, Grant), u64>;
