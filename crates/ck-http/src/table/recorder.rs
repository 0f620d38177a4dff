//! Keeps the list of changes in step with the node.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ck_node::Next;
use tokio::task::AbortHandle;

use super::{Feed, Place, image, lifecycle};
use crate::backend::{Backend, Follow};

/// Shortest time between two looks at the table: what changes within is told as one change.
const PAUSE_MIN: Duration = Duration::from_millis(2);

/// The next look waits this many times as long as the last one took, so that a large table that
/// changes all the time takes a fifth of a core at most.
const PAUSE_FACTOR: u32 = 4;

/// Events taken at a time.
const EVENTS_MAX: usize = 8192;

/// The task of one surface. Ends when dropped.
pub(crate) struct Recorder {
    pub(crate) feed: Arc<Feed>,
    task: AbortHandle,
}

impl Recorder {
    /// Begins with the table of now. Needs a runtime.
    pub(crate) fn start(backend: &Arc<dyn Backend>, events_max: usize, bytes_max: usize) -> Self {
        // Followed before it is looked at, so that no change falls in between.
        let follow = backend.follow();
        let now = image(&backend.state());
        let feed = Arc::new(Feed::new(now, events_max, bytes_max));
        let recording = record(Arc::clone(backend), follow, Arc::clone(&feed));
        let task = tokio::spawn(recording).abort_handle();
        Self { feed, task }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn record(backend: Arc<dyn Backend>, mut follow: Box<dyn Follow>, feed: Arc<Feed>) {
    // An event that was told of before its state was looked at.
    let mut early: Option<Next> = None;
    loop {
        follow.changed().await;
        let began = Instant::now();
        let state = backend.state();
        let place = Place {
            incarnation: state.incarnation().0,
            version: state.version().0,
        };
        if place > feed.place() {
            feed.record(image(&state));
        }
        let mut happened: Vec<Next> = early.take().into_iter().collect();
        while happened.len() < EVENTS_MAX
            && let Some(next) = follow.event()
        {
            if matches!(&next, Next::Event(event) if event.version > state.version()) {
                // Its state comes with the next look, which is under way.
                early = Some(next);
                break;
            }
            happened.push(next);
        }
        for told in lifecycle::tell(&state, &happened) {
            feed.tell(&told);
        }
        tokio::time::sleep(PAUSE_MIN.max(began.elapsed() * PAUSE_FACTOR)).await;
    }
}
