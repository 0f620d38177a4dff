//! Bodies of answers: whole, or events for as long as somebody listens.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::{mpsc, watch};
use tokio::time::{Interval, MissedTickBehavior};

use crate::access::Replaced;
use crate::table::Watcher;

/// Longest silence in a stream of events: a connection in between that is dead is noticed.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// A comment, which a reader of events ignores.
const COMMENT: Bytes = Bytes::from_static(b": \n\n");

/// The body of an answer.
#[derive(Debug, Default)]
pub struct ReplyBody(Inner);

#[derive(Debug)]
enum Inner {
    Whole(Full<Bytes>),
    Events(Box<Events>),
    Watched(Watched),
}

impl Default for Inner {
    fn default() -> Self {
        Self::Whole(Full::default())
    }
}

impl From<Bytes> for ReplyBody {
    fn from(body: Bytes) -> Self {
        Self(Inner::Whole(Full::new(body)))
    }
}

impl From<Vec<u8>> for ReplyBody {
    fn from(body: Vec<u8>) -> Self {
        Bytes::from(body).into()
    }
}

impl From<&'static str> for ReplyBody {
    fn from(body: &'static str) -> Self {
        Bytes::from_static(body.as_bytes()).into()
    }
}

/// Events as they are queued, with heartbeats, until the queue ends or everything is closed.
pub(crate) struct Events {
    queue: mpsc::Receiver<Bytes>,
    heartbeat: Interval,
    closed: Pin<Box<dyn Future<Output = ()> + Send + Sync>>,
}

impl Events {
    /// Events from `queue`, until the tokens are replaced. A heartbeat comes at least three times in `idle`, after which a
    /// connection at rest is closed.
    pub(crate) fn new(
        queue: mpsc::Receiver<Bytes>,
        idle: Duration,
        mut closing: watch::Receiver<bool>,
        mut tokens: Replaced,
    ) -> Self {
        let every = HEARTBEAT.min(idle / 3).max(Duration::from_millis(1));
        let mut heartbeat = tokio::time::interval(every);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            queue,
            heartbeat,
            closed: Box::pin(async move {
                tokio::select! {
                    // A surface that is gone closes its streams as well.
                    _ = closing.wait_for(|closing| *closing) => {}
                    () = tokens.wait() => {}
                }
            }),
        }
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}

impl From<Events> for ReplyBody {
    fn from(events: Events) -> Self {
        Self(Inner::Events(Box::new(events)))
    }
}

/// What a watcher is sent, for as long as it watches.
pub(crate) struct Watched(Option<Step>);

/// Waits for the next event; gives the watcher back with it.
type Step = Pin<Box<dyn Future<Output = (Watcher, Option<Bytes>)> + Send + Sync>>;

impl Watched {
    fn step(mut watcher: Watcher) -> Step {
        Box::pin(async move {
            let event = watcher.next().await;
            (watcher, event)
        })
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let Some(step) = &mut self.0 else {
            return Poll::Ready(None);
        };
        let (watcher, event) = std::task::ready!(step.as_mut().poll(context));
        self.0 = event.is_some().then(|| Self::step(watcher));
        Poll::Ready(event)
    }
}

impl std::fmt::Debug for Watched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watched").finish_non_exhaustive()
    }
}

impl From<Watcher> for ReplyBody {
    fn from(watcher: Watcher) -> Self {
        Self(Inner::Watched(Watched(Some(Watched::step(watcher)))))
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let events = match &mut self.0 {
            Inner::Whole(whole) => return Pin::new(whole).poll_frame(context),
            Inner::Events(events) => events,
            Inner::Watched(watched) => {
                let event = std::task::ready!(watched.poll(context));
                return Poll::Ready(event.map(|event| Ok(Frame::data(event))));
            }
        };
        if events.closed.as_mut().poll(context).is_ready() {
            return Poll::Ready(None);
        }
        if let Poll::Ready(event) = events.queue.poll_recv(context) {
            return Poll::Ready(event.map(|event| Ok(Frame::data(event))));
        }
        match events.heartbeat.poll_tick(context) {
            Poll::Ready(_) => Poll::Ready(Some(Ok(Frame::data(COMMENT)))),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Inner::Whole(whole) => whole.is_end_stream(),
            Inner::Events(_) | Inner::Watched(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Inner::Whole(whole) => whole.size_hint(),
            Inner::Events(_) | Inner::Watched(_) => SizeHint::default(),
        }
    }
}
