//! Reading tasks from the store when their turn has come.
//!
//! A page is read in the order of its group. Whatever of it is in memory already, or was and is gone, is
//! passed over, so it does no harm that a page was read a moment ago.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use ck_kv::{Marked, Page};

use super::Shard;
use crate::error::QueueError;
use crate::index::DONE_MAX;
use crate::marks::{ALL, DONE, Of, TIMED, by_number, time_of};
use crate::name::QueueName;
use crate::record::{HEAD_BYTES_MAX, Head, of_task_key};

/// Tasks of one page.
const PAGE: usize = 64;

/// How much ahead of its time a task is read.
const AHEAD: Duration = Duration::from_millis(200);

/// Pages read in one go, so that others have their turn.
const PAGES_MAX: usize = 16;

impl Shard {
    /// Sees to it that the oldest ready tasks of a queue are in memory, `most` of them where there are
    /// so many, and what has come due.
    pub(super) async fn load_ready(
        &self,
        queue: &QueueName,
        most: usize,
    ) -> Result<(), QueueError> {
        self.load_due().await?;
        for _ in 0..PAGES_MAX {
            let after = {
                let index = self.index.lock();
                let share = index.backlog().share(queue);
                let enough = index.ready_up_to(queue, share.ready_read, most) >= most;
                if share.counts.ready == 0 || enough {
                    return Ok(());
                }
                share.ready_read
            };
            let group = Of::Ready.group(queue);
            let page = self.page(group, by_number(after + 1), PAGE).await?;
            let last = self.take(&page)?;
            let mut index = self.index.lock();
            if let Some(share) = index.backlog_mut().share_mut(queue) {
                share.ready_read = last.unwrap_or(after);
                if page.len() < PAGE {
                    // The end: whatever was counted beyond has been read otherwise.
                    share.counts.ready = 0;
                }
            }
        }
        Ok(())
    }

    /// The same of the oldest dead ones.
    pub(super) async fn load_dead(&self, queue: &QueueName, most: usize) -> Result<(), QueueError> {
        let share = self.index.lock().backlog().share(queue);
        if share.counts.dead == 0 {
            return Ok(());
        }
        let group = Of::Dead.group(queue);
        let page = self
            .page(group, by_number(share.dead_read + 1), most)
            .await?;
        let last = self.take(&page)?;
        let mut index = self.index.lock();
        if let Some(share) = index.backlog_mut().share_mut(queue) {
            share.dead_read = last.unwrap_or(share.dead_read);
            if page.len() < most {
                share.counts.dead = 0;
            }
        }
        Ok(())
    }

    /// The same of what is done and to be forgotten.
    pub(super) async fn load_done(&self, most: usize) -> Result<(), QueueError> {
        let after = {
            let index = self.index.lock();
            if index.done_len() <= DONE_MAX || index.backlog().done == 0 {
                return Ok(());
            }
            index.backlog().done_read
        };
        let group = Bytes::from_static(DONE);
        let page = self.page(group, by_number(after + 1), most).await?;
        let last = self.take(&page)?;
        let mut index = self.index.lock();
        let backlog = index.backlog_mut();
        backlog.done_read = last.unwrap_or(after);
        if page.len() < most {
            backlog.done = 0;
        }
        Ok(())
    }

    /// The same of delays and leases whose time is up, or will be in a moment.
    pub(crate) async fn load_due(&self) -> Result<(), QueueError> {
        for _ in 0..PAGES_MAX {
            if !self.is_due() {
                return Ok(());
            }
            let until = self.began.elapsed() + AHEAD;
            let from = self.index.lock().backlog().timed_read.clone();
            let group = Bytes::from_static(TIMED);
            let page = self.page(group, from, PAGE).await?;
            let ahead = page.iter().position(|one| time_of(&one.member) > until);
            let due = &page[..ahead.unwrap_or(page.len())];
            self.take(due)?;
            let mut index = self.index.lock();
            let backlog = index.backlog_mut();
            if let Some(last) = due.last() {
                // The place right behind it.
                backlog.timed_read = [&*last.member, &[0]].concat().into();
            }
            match ahead {
                Some(at) => {
                    backlog.due_next = time_of(&page[at].member);
                    return Ok(());
                }
                None if page.len() < PAGE => backlog.timed = 0,
                None => {}
            }
        }
        Ok(())
    }

    /// Whether the time of a task is up, or will be in a moment, that is not in memory.
    pub(super) fn is_due(&self) -> bool {
        let index = self.index.lock();
        let backlog = index.backlog();
        backlog.timed > 0 && backlog.due_next <= self.began.elapsed() + AHEAD
    }

    /// Sees to it that a task is in memory, if there is such a one.
    pub(super) async fn load(&self, number: u64) -> Result<(), QueueError> {
        if !self.index.lock().backlog().may_have(number) {
            return Ok(());
        }
        let group = Bytes::from_static(ALL);
        self.load_one(group, by_number(number)).await
    }

    /// Sees to it that the task that was made under an idempotency key is in memory, if there is one.
    pub(super) async fn load_repeated(
        &self,
        queue: &QueueName,
        key: &Bytes,
    ) -> Result<(), QueueError> {
        if self.index.lock().backlog().len() == 0 {
            return Ok(());
        }
        self.load_one(Of::Repeated.group(queue), key.clone()).await
    }

    /// The one task at a place, if there is one.
    async fn load_one(&self, group: Bytes, place: Bytes) -> Result<(), QueueError> {
        let page = self.page(group, place.clone(), 1).await?;
        let found = page.first().filter(|one| one.member == place);
        self.take(found.map(std::slice::from_ref).unwrap_or_default())
            .map(drop)
    }

    async fn page(
        &self,
        group: Bytes,
        from: Bytes,
        keys: usize,
    ) -> Result<Vec<Marked>, QueueError> {
        let page = Page {
            keys,
            head_bytes: HEAD_BYTES_MAX,
        };
        let page = self.kv.marked(self.token, group, from, page).await?;
        self.rows_read
            .fetch_add(page.len() as u64, Ordering::Relaxed);
        Ok(page)
    }

    /// Takes records in. Returns the number of the last.
    fn take(&self, page: &[Marked]) -> Result<Option<u64>, QueueError> {
        let partition = self.partition();
        let mut index = self.index.lock();
        let mut last = None;
        for one in page {
            let record = &one.record;
            let Some((queue, number)) = of_task_key(&record.key) else {
                continue;
            };
            let read = Head::read(&record.head);
            let (head, _) = read.map_err(|source| QueueError::Record { partition, source })?;
            index.load(number, &queue, record.stamp, head, self.began);
            last = Some(number);
        }
        Ok(last)
    }
}
