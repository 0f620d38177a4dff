//! Building a shard from the records of its partition.

use std::sync::atomic::AtomicBool;
use std::time::Instant;

use bytes::Bytes;
use ck_kv::{Kv, Page, Scanned};
use ck_node::FencingToken;
use parking_lot::Mutex;

use super::{Numbers, Shard};
use crate::error::QueueError;
use crate::index::Index;
use crate::record::{
    HEAD_BYTES_MAX, Head, NUMBERS_KEY, RecordError, of_numbers_value, of_task_key,
};

/// What one step of reading takes.
const PAGE: Page = Page {
    keys: 512,
    head_bytes: HEAD_BYTES_MAX,
};

impl Shard {
    /// Reads all tasks of the partition that is served at `token`. Delays and leases begin anew.
    pub(crate) async fn open(kv: &Kv, token: FencingToken) -> Result<Self, QueueError> {
        let now = Instant::now();
        let mut index = Index::default();
        let mut below = 1;
        let mut after: Option<Bytes> = None;
        loop {
            let page = kv.scan(token, after.as_deref(), PAGE).await?;
            for one in &page {
                take_in(&mut index, &mut below, one, now).map_err(|source| QueueError::Record {
                    partition: token.partition,
                    source,
                })?;
            }
            if page.len() < PAGE.keys {
                break;
            }
            after = page.last().map(|one| one.key.clone());
            // Reading does not wait for anything by itself; others have their turn.
            tokio::task::yield_now().await;
        }
        tracing::debug!(%token, tasks = index.len(), "tasks were read");
        Ok(Self {
            kv: kv.clone(),
            token,
            index: Mutex::new(index),
            numbers: tokio::sync::Mutex::new(Numbers { next: below, below }),
            stale: AtomicBool::new(false),
            upkeep: AtomicBool::new(false),
        })
    }
}

fn take_in(
    index: &mut Index,
    below: &mut u64,
    one: &Scanned,
    now: Instant,
) -> Result<(), RecordError> {
    if one.key == NUMBERS_KEY {
        *below = (*below).max(of_numbers_value(&one.head)?);
        return Ok(());
    }
    // A later version may keep what this one does not know; it is left alone.
    let Some((queue, number)) = of_task_key(&one.key) else {
        return Ok(());
    };
    let (head, _) = Head::read(&one.head)?;
    index.put(number, &queue, one.stamp, head, now);
    *below = (*below).max(number + 1);
    Ok(())
}
