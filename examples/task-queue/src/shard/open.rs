//! Beginning to serve the tasks of a partition: they are counted, and read when their turn comes.

use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Instant;

use bytes::Bytes;
use ck_kv::{Kv, Page};
use ck_node::FencingToken;
use parking_lot::Mutex;

use super::{Numbers, Shard};
use crate::error::QueueError;
use crate::index::{Backlog, Index};
use crate::marks::UNREAD;
use crate::record::{HEAD_BYTES_MAX, Head, NUMBERS_KEY, RecordError, of_numbers_value};

/// One record.
const ONE: Page = Page {
    keys: 1,
    head_bytes: HEAD_BYTES_MAX,
};

impl Shard {
    /// Counts the tasks of the partition that is served at `token`: a row for each order of each queue,
    /// however many tasks there are. Delays and leases begin anew.
    pub(crate) async fn open(kv: &Kv, token: FencingToken) -> Result<Self, QueueError> {
        let began = Instant::now();
        let partition = token.partition;
        let damaged = |source| QueueError::Record { partition, source };
        let groups = kv.mark_counts(token).await?;
        if groups.iter().any(|(group, _)| group == UNREAD) {
            let unread = Bytes::from_static(UNREAD);
            let page = kv.marked(token, unread, Bytes::new(), ONE).await?;
            if let Some(one) = page.first() {
                Head::read(&one.record.head).map_err(damaged)?;
            }
        }
        // Before every task's key. Their numbers are all below the one it holds.
        let first = kv.scan(token, None, ONE).await?;
        let below = match first.first() {
            Some(one) if one.key == NUMBERS_KEY => of_numbers_value(&one.head).map_err(damaged)?,
            Some(_) => return Err(damaged(RecordError::Damaged { at: 0 })),
            None => 1,
        };
        let backlog = Backlog::new(&groups, below);
        tracing::debug!(%token, tasks = backlog.len(), "tasks were counted");
        let rows_read = (groups.len() + first.len()) as u64;
        Ok(Self {
            kv: kv.clone(),
            token,
            index: Mutex::new(Index::new(backlog)),
            numbers: tokio::sync::Mutex::new(Numbers { next: below, below }),
            stale: AtomicBool::new(false),
            upkeep: AtomicBool::new(false),
            began,
            rows_read: AtomicU64::new(rows_read),
        })
    }
}
