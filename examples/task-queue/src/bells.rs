//! Waking who waits for a task of a queue.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::name::QueueName;

/// One bell for each queue that somebody waits for; no more than there are waiters.
#[derive(Debug, Default)]
pub(crate) struct Bells {
    bells: Mutex<BTreeMap<QueueName, Arc<Notify>>>,
}

/// Somebody who waits.
#[derive(Debug)]
pub(crate) struct Listening<'a> {
    bells: &'a Bells,
    queue: QueueName,
    bell: Arc<Notify>,
}

impl Bells {
    /// Listens for a queue's bell until the answer is dropped.
    pub(crate) fn listen(&self, queue: &QueueName) -> Listening<'_> {
        let mut bells = self.bells.lock();
        let bell = Arc::clone(bells.entry(queue.clone()).or_default());
        Listening {
            bells: self,
            queue: queue.clone(),
            bell,
        }
    }

    /// Wakes all who wait for a queue.
    pub(crate) fn ring(&self, queue: &QueueName) {
        if let Some(bell) = self.bells.lock().get(queue) {
            bell.notify_waiters();
        }
    }

    /// Wakes everybody.
    pub(crate) fn ring_all(&self) {
        for bell in self.bells.lock().values() {
            bell.notify_waiters();
        }
    }
}

impl Listening<'_> {
    /// The next ring. Enable it before looking whether there is something, so that no ring in
    /// between is missed.
    pub(crate) fn next(&self) -> Notified<'_> {
        self.bell.notified()
    }
}

impl Drop for Listening<'_> {
    fn drop(&mut self) {
        let mut bells = self.bells.bells.lock();
        // The map's and this one: nobody else listens.
        if Arc::strong_count(&self.bell) <= 2 {
            bells.remove(&self.queue);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_ring_after_enabling_is_heard_and_only_by_its_queue() {
        let bells = Bells::default();
        let name = |name: &str| QueueName::new(name.as_bytes()).unwrap();
        let (mail, other) = (bells.listen(&name("mail")), bells.listen(&name("other")));
        let mut heard = std::pin::pin!(mail.next());
        let mut unheard = std::pin::pin!(other.next());
        heard.as_mut().enable();
        unheard.as_mut().enable();
        bells.ring(&name("mail"));
        heard.await;
        assert!(futures_util::poll!(unheard).is_pending());
    }

    #[test]
    fn who_leaves_leaves_nothing_behind() {
        let bells = Bells::default();
        let queue = QueueName::new(b"mail").unwrap();
        let first = bells.listen(&queue);
        let second = bells.listen(&queue);
        drop(first);
        assert_eq!(bells.bells.lock().len(), 1);
        drop(second);
        assert_eq!(bells.bells.lock().len(), 0);
    }
}
