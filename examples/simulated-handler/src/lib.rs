//! A log of notes for each partition, copied by a [`Handler`]; `tests/simulated.rs` runs it under
//! simulated failures.
//!
//! The primary appends a note to its own copy and to every copy that follows it, and only then
//! acknowledges it. A new copy is made in two steps: `prepare` takes what there is, which takes its
//! time, and `catch_up` begins to follow and takes what was appended meanwhile. Whoever forgets the
//! second step loses notes, now and then: [`Care::Careless`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ck_control::{BoxFuture, Copying, FencingToken, Handler, HandlerContext, HandlerError};
use ck_core::{NodeId, PartitionId};

/// Whether what was appended during a copy is copied too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Care {
    /// It is.
    Careful,
    /// It is forgotten.
    Careless,
}

/// One copy of a partition.
#[derive(Debug, Default)]
struct Copy {
    notes: Vec<u64>,
    /// Whether it gets every note from now on.
    follows: bool,
}

#[derive(Debug, Default)]
struct Notes {
    copies: BTreeMap<(NodeId, PartitionId), Copy>,
    acknowledged: BTreeMap<PartitionId, Vec<u64>>,
    next: u64,
}

/// All disks, and what clients were told: it outlives processes.
#[derive(Debug, Clone, Default)]
pub struct Disks(Arc<Mutex<Notes>>);

impl Disks {
    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many acknowledged notes of a partition a node does not have.
    #[must_use]
    pub fn missing(&self, node: &NodeId, partition: PartitionId) -> usize {
        let notes = self.notes();
        let copy = notes.copies.get(&(node.clone(), partition));
        let has = |note: &&u64| copy.is_some_and(|copy| copy.notes.contains(*note));
        let told = notes.acknowledged.get(&partition).into_iter().flatten();
        told.filter(|note| !has(note)).count()
    }

    /// How many notes were acknowledged.
    #[must_use]
    pub fn acknowledged(&self) -> usize {
        self.notes().acknowledged.values().map(Vec::len).sum()
    }
}

/// One node's handler.
#[derive(Debug)]
pub struct NoteKeeper {
    node: NodeId,
    care: Care,
    disks: Disks,
    /// What this process serves, and how many acknowledged notes it lacked when it began.
    serves: Mutex<BTreeMap<PartitionId, usize>>,
}

impl NoteKeeper {
    /// A process that has just started on a node's disk.
    #[must_use]
    pub const fn new(node: NodeId, care: Care, disks: Disks) -> Self {
        let serves = Mutex::new(BTreeMap::new());
        Self {
            node,
            care,
            disks,
            serves,
        }
    }

    /// A client's request at a primary: one more note.
    pub fn append(&self, token: FencingToken) {
        let mut notes = self.disks.notes();
        notes.next += 1;
        let (note, partition) = (notes.next, token.partition);
        let mine = (self.node.clone(), partition);
        for (key, copy) in &mut notes.copies {
            if *key == mine || (key.1 == partition && copy.follows) {
                copy.notes.push(note);
            }
        }
        notes.acknowledged.entry(partition).or_default().push(note);
    }

    /// Partitions this process began to serve without every acknowledged note, and how many lacked.
    #[must_use]
    pub fn began_without(&self) -> Vec<(PartitionId, usize)> {
        let serves = self.serves.lock().unwrap_or_else(PoisonError::into_inner);
        let lacking = serves.iter().filter(|(_, lacking)| **lacking > 0);
        lacking.map(|(one, lacking)| (*one, *lacking)).collect()
    }

    fn take_from(&self, source: &NodeId, partition: PartitionId, follows: bool) {
        let mut notes = self.disks.notes();
        let theirs = notes.copies.get(&(source.clone(), partition));
        let theirs = theirs.map(|copy| copy.notes.clone()).unwrap_or_default();
        let mine = notes.copies.entry((self.node.clone(), partition));
        let mine = mine.or_default();
        mine.notes = theirs;
        mine.follows |= follows;
    }
}

impl Handler for NoteKeeper {
    fn prepare<'a>(
        &'a self,
        context: &'a dyn HandlerContext,
        copying: Copying,
    ) -> BoxFuture<'a, Result<(), HandlerError>> {
        Box::pin(async move {
            self.take_from(&copying.source, copying.partition, false);
            context.sleep(Duration::from_millis(200)).await;
            Ok(())
        })
    }

    fn catch_up<'a>(
        &'a self,
        _: &'a dyn HandlerContext,
        copying: Copying,
    ) -> BoxFuture<'a, Result<(), HandlerError>> {
        Box::pin(async move {
            match self.care {
                Care::Careful => self.take_from(&copying.source, copying.partition, true),
                Care::Careless => {
                    let mut notes = self.disks.notes();
                    let key = (self.node.clone(), copying.partition);
                    notes.copies.entry(key).or_default().follows = true;
                }
            }
            Ok(())
        })
    }

    fn become_primary<'a>(
        &'a self,
        _: &'a dyn HandlerContext,
        token: FencingToken,
    ) -> BoxFuture<'a, Result<(), HandlerError>> {
        Box::pin(async move {
            let lacking = self.disks.missing(&self.node, token.partition);
            let mut serves = self.serves.lock().unwrap_or_else(PoisonError::into_inner);
            serves.insert(token.partition, lacking);
            let key = (self.node.clone(), token.partition);
            self.disks.notes().copies.entry(key).or_default().follows = true;
            Ok(())
        })
    }

    fn become_replica<'a>(
        &'a self,
        _: &'a dyn HandlerContext,
        partition: PartitionId,
    ) -> BoxFuture<'a, Result<(), HandlerError>> {
        Box::pin(async move {
            // The first copies are empty and follow from the start.
            let mut notes = self.disks.notes();
            let empty = !notes.acknowledged.contains_key(&partition);
            let key = (self.node.clone(), partition);
            notes.copies.entry(key).or_default().follows |= empty;
            Ok(())
        })
    }

    fn clean_up<'a>(
        &'a self,
        _: &'a dyn HandlerContext,
        partition: PartitionId,
    ) -> BoxFuture<'a, Result<(), HandlerError>> {
        Box::pin(async move {
            let key = (self.node.clone(), partition);
            self.disks.notes().copies.remove(&key);
            Ok(())
        })
    }
}
