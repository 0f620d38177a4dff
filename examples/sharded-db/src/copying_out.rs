//! The side of a move that has the file: snapshots, and what was written since.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use ck_http::{Code, Problem};
use ck_node::{MemberNumber, PartitionId, TransferId};
use parking_lot::Mutex;
use xxhash_rust::xxh3::xxh3_64;

use crate::file::{FileError, Mark};
use crate::line::{Line, Making, Role, Snapshot, Target};
use crate::problems;
use crate::shipping::joined;
use crate::store::{Store, uncut};

/// Bytes of a snapshot that are sent at a time.
pub(crate) const CHUNK_BYTES: usize = 1 << 20;

/// A copy that lacks at most so much is attached at once; the next transaction brings it the rest.
const ATTACH_BYTES_MAX: usize = 8 << 20;

/// Time a move has to be heard of here, when the other side has heard of it first.
const HEAR_TIMEOUT: Duration = Duration::from_secs(1);

/// A piece of a snapshot.
#[derive(Debug, Clone)]
pub(crate) enum Piece {
    /// The snapshot is being made; ask again.
    NotYet,
    /// Bytes from the offset asked for, none at the end.
    Chunk {
        /// Which snapshot.
        id: String,
        /// Where it stands, its length and its checksum.
        taken: crate::file::Taken,
        /// The bytes.
        bytes: Bytes,
        /// Their checksum.
        sum: u64,
    },
}

/// What a copy is told that wants to keep up.
#[derive(Debug, Clone)]
pub(crate) enum Attached {
    /// It cannot go on from where it is: a snapshot is needed.
    Anew,
    /// These transactions come next.
    Next {
        /// Encoded records.
        records: Bytes,
        /// Number of the last transaction before it was attached; absent when it is not yet.
        upto: Option<u64>,
    },
}

impl Store {
    /// A piece of the snapshot of a move, which is made at the first request. One is kept for each
    /// partition, as long as its move lasts.
    pub(crate) async fn piece(
        self: &Arc<Self>,
        partition: PartitionId,
        transfer: TransferId,
        offset: u64,
    ) -> Result<Piece, Box<Problem>> {
        self.hear_of(transfer).await?;
        let store = Arc::clone(self);
        let snapshot = uncut(async move {
            let part = store.part(partition);
            let mut line = Arc::clone(&part.line).lock_owned().await;
            store.check_move(&mut line, partition, transfer, None)?;
            match &line.snapshot {
                Some(one) if one.transfer == transfer => {
                    let failed = matches!(*one.state.lock(), Making::Failed(_));
                    if !failed {
                        return Ok(Arc::clone(one));
                    }
                }
                _ => {}
            }
            store.begin_snapshot(&mut line, partition, transfer).await
        })
        .await??;
        let making = snapshot.state.lock().clone();
        let taken = match making {
            Making::UnderWay => return Ok(Piece::NotYet),
            Making::Ready(taken) => taken,
            Making::Failed(why) => {
                let title = "The snapshot failed";
                return Err(problems::ours("snapshot-failed", 500, title, why));
            }
        };
        let bytes = self
            .blocking(move |_| {
                let left = taken.bytes.saturating_sub(offset);
                let length = usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK_BYTES);
                let mut bytes = vec![0; length];
                let read = File::open(&snapshot.path)
                    .and_then(|file| file.read_exact_at(&mut bytes, offset))
                    .map_err(|error| problems::file(&FileError::io(&snapshot.path)(error)));
                read.map(|()| (snapshot.id.clone(), taken, bytes))
            })
            .await;
        let (id, taken, bytes) = bytes?;
        let sum = xxh3_64(&bytes);
        Ok(Piece::Chunk {
            id,
            taken,
            bytes: bytes.into(),
            sum,
        })
    }

    /// Keeps every transaction from now on, and makes a snapshot beside whoever writes.
    async fn begin_snapshot(
        self: &Arc<Self>,
        line: &mut Line,
        partition: PartitionId,
        transfer: TransferId,
    ) -> Result<Arc<Snapshot>, Box<Problem>> {
        let file = self.blocking(move |store| store.file(partition)).await;
        let file = file.map_err(|error| problems::file(&error))?;
        line.drop_snapshot();
        line.begin_log();
        let id = uuid::Uuid::new_v4().simple().to_string();
        let snapshot = Arc::new(Snapshot {
            transfer,
            path: self.outgoing(partition, &id),
            id,
            wanted: AtomicBool::new(true),
            state: Mutex::new(Making::UnderWay),
        });
        line.snapshot = Some(Arc::clone(&snapshot));
        let (store, made) = (Arc::clone(self), Arc::clone(&snapshot));
        tokio::spawn(async move {
            store
                .blocking(move |_| {
                    let wanted = || made.wanted.load(Ordering::Relaxed);
                    let taken = file.snapshot(&made.path, wanted);
                    *made.state.lock() = match taken {
                        Ok(Some(taken)) => Making::Ready(taken),
                        Ok(None) => Making::Failed("nobody wants it any more".to_owned()),
                        Err(error) => Making::Failed(error.to_string()),
                    };
                })
                .await;
        });
        Ok(snapshot)
    }

    /// What comes after `mark`. Once the rest is short, the copy is attached: from then on no write
    /// is acknowledged that it does not have.
    pub(crate) async fn attach(
        self: &Arc<Self>,
        partition: PartitionId,
        transfer: TransferId,
        member: MemberNumber,
        mark: Mark,
    ) -> Result<Attached, Box<Problem>> {
        self.hear_of(transfer).await?;
        let store = Arc::clone(self);
        uncut(async move {
            let part = store.part(partition);
            let mut line = Arc::clone(&part.line).lock_owned().await;
            store.check_move(&mut line, partition, transfer, Some(member))?;
            if !line.leads_on_from(mark) {
                return Ok(Attached::Anew);
            }
            let near = line.bytes_after(mark.seq) <= ATTACH_BYTES_MAX;
            if near {
                let node = store.node()?;
                let published = node.published();
                let address = published.state.member(member);
                let address = address.map(|one| one.http_address.clone());
                let address = address.filter(|address| !address.is_empty());
                let address = address.ok_or_else(|| {
                    let detail = format!("member {member} has no HTTP address");
                    problems::copy("no-address", detail)
                })?;
                let target = Target {
                    transfer,
                    address,
                    have: mark.seq,
                };
                line.begin_log();
                line.targets.insert(member, target);
                line.drop_snapshot();
            }
            let records = line.after(mark.seq, ATTACH_BYTES_MAX);
            let records = records.unwrap_or_default();
            Ok(Attached::Next {
                records: joined(&records),
                upto: near.then_some(line.mark.seq),
            })
        })
        .await?
    }

    /// Waits a moment for a move of which the other side has heard first.
    async fn hear_of(&self, transfer: TransferId) -> Result<(), Box<Problem>> {
        let node = self.node()?;
        let heard = node.applied_until(|state| state.transfer(transfer).is_some());
        // What follows says what is missing.
        let _ = tokio::time::timeout(HEAR_TIMEOUT, heard).await;
        Ok(())
    }

    /// Whether this node is the primary, and the move is under way as far as it knows.
    fn check_move(
        &self,
        line: &mut Line,
        partition: PartitionId,
        transfer: TransferId,
        target: Option<MemberNumber>,
    ) -> Result<(), Box<Problem>> {
        let own = self.acquire(partition)?;
        if !matches!(line.role, Role::Primary(token) if token == own.token()) {
            return Err(crate::serving::not_owner(self, &own));
        }
        let published = self.node()?.published();
        line.prune(partition, &published.state);
        let moved = published.state.transfer(transfer);
        let known = moved.is_some_and(|one| {
            one.partition == partition && target.is_none_or(|member| one.target.member == member)
        });
        if known {
            return Ok(());
        }
        let detail =
            format!("no move {transfer} of {partition} is under way, as far as is known here");
        Err(Box::new(
            Problem::new(Code::Conflict, detail).with_retry_after_ms(50),
        ))
    }
}
