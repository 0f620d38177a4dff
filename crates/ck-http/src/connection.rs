//! One connection: hyper under watch of the clock.
//!
//! hyper reads, parses and writes; what it does not bound is time. A connection notes what it is
//! doing whenever that changes, which costs one atomic write and no clock read, and its own task
//! looks every so often whether that has gone on for too long.

use std::convert::Infallible;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use ck_tls::Caller;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use crate::config::Limits;
use crate::frames::{Frames, Unclear};
use crate::routes::Routes;
use crate::surface::Surface;

/// Bytes of a head that are parsed at most, as a multiple of `header_bytes_max`: up to here the
/// answer is a problem body that says what was too long, beyond it a bare 431.
const HEAD_SLACK: usize = 4;

/// Looks are never farther apart than this, however long the time-outs.
const TICK_MAX: Duration = Duration::from_millis(2500);
const TICK_MIN: Duration = Duration::from_millis(5);

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Between two requests.
    Idle,
    /// A request's head is arriving.
    Head,
    /// A request is worked on; its time is bounded elsewhere.
    Serving,
    /// An answer waits for the caller to take some of it.
    Blocked,
}

/// What a connection has done. One task owns the connection, so nobody else writes in between.
#[derive(Debug)]
struct Activity {
    /// The present phase and how many there were, in one word.
    word: AtomicU64,
    /// Bytes of answers that the caller has taken.
    taken: AtomicU64,
    /// Whether an answer had to wait since this was looked at last.
    waited: AtomicBool,
    /// Heads that have arrived and leave no doubt where their requests end.
    clear: AtomicU64,
    /// Requests that hyper has handed over.
    requests: AtomicU64,
}

impl Activity {
    /// A new connection owes a head.
    fn new() -> Self {
        Self {
            word: AtomicU64::new(Phase::Head as u64),
            taken: AtomicU64::new(0),
            waited: AtomicBool::new(false),
            clear: AtomicU64::new(0),
            requests: AtomicU64::new(0),
        }
    }

    fn enter(&self, phase: Phase) {
        let number = self.word() >> 2;
        let word = (number + 1) << 2 | phase as u64;
        self.word.store(word, Ordering::Relaxed);
    }

    /// Changes from one phase to another; from any other phase does nothing.
    fn change(&self, from: Phase, to: Phase) {
        if self.is_in(from) {
            self.enter(to);
        }
    }

    fn is_in(&self, phase: Phase) -> bool {
        self.word() & 3 == phase as u64
    }

    fn word(&self) -> u64 {
        self.word.load(Ordering::Relaxed)
    }

    /// Counts a request. Answers whether it is clear where it and all before it end.
    fn count_request(&self) -> bool {
        self.requests.fetch_add(1, Ordering::Relaxed) < self.clear.load(Ordering::Relaxed)
    }

    fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }
}

/// How long the present phase has lasted, and answers have been waiting, in looks.
#[derive(Debug)]
struct Age {
    seen: u64,
    looks: u32,
    tick: Duration,
    /// Since when answers had to wait between any two looks: looks, and bytes taken by then.
    slow: Option<(u32, u64)>,
}

impl Age {
    fn new(limits: &Limits) -> Self {
        let least = limits
            .header_timeout
            .min(limits.idle_timeout)
            .min(limits.write_timeout);
        Self {
            seen: u64::MAX,
            looks: 0,
            tick: (least / 4).clamp(TICK_MIN, TICK_MAX),
            slow: None,
        }
    }

    /// Looks once more; true when the caller is too slow.
    fn look(&mut self, activity: &Activity, limits: &Limits) -> bool {
        self.crawls(activity, limits) || self.lasts(activity, limits)
    }

    /// Whether answers have been waiting for `write_timeout`, and too little was taken of them.
    fn crawls(&mut self, activity: &Activity, limits: &Limits) -> bool {
        let waited = activity.waited.swap(false, Ordering::Relaxed);
        if !waited && !activity.is_in(Phase::Blocked) {
            self.slow = None;
            return false;
        }
        let now = activity.taken();
        let Some((looks, before)) = &mut self.slow else {
            self.slow = Some((0, now));
            return false;
        };
        *looks += 1;
        let time = self.tick * *looks;
        if time < limits.write_timeout {
            return false;
        }
        let taken = u128::from(now - *before) * 1000;
        self.slow = Some((0, now));
        taken < limits.write_bytes_per_second_min as u128 * time.as_millis()
    }

    /// Whether the phase has lasted too long.
    fn lasts(&mut self, activity: &Activity, limits: &Limits) -> bool {
        let word = activity.word();
        if word != self.seen {
            (self.seen, self.looks) = (word, 0);
            return false;
        }
        self.looks += 1;
        let most = match word & 3 {
            phase if phase == Phase::Idle as u64 => limits.idle_timeout,
            phase if phase == Phase::Head as u64 => limits.header_timeout,
            phase if phase == Phase::Blocked as u64 => limits.write_timeout,
            _ => return false,
        };
        self.tick * self.looks >= most
    }
}

/// Serves one connection until it ends, rests too long, or is told to stop.
pub(crate) async fn serve<S>(
    stream: S,
    caller: Caller,
    surface: Surface,
    routes: Option<Arc<dyn Routes>>,
    mut stop: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = surface.core.config.limits.clone();
    let activity = Arc::new(Activity::new());
    let io = TokioIo::new(Watched {
        stream,
        frames: Frames::default(),
        activity: Arc::clone(&activity),
    });
    let noted = Arc::clone(&activity);
    let service = service_fn(move |mut request: Request<Incoming>| {
        if caller != Caller::NotAsked {
            request.extensions_mut().insert(caller.clone());
        }
        if !noted.count_request() {
            request.extensions_mut().insert(Unclear);
        }
        let (surface, noted) = (surface.clone(), Arc::clone(&noted));
        let routes = routes.clone();
        async move {
            noted.enter(Phase::Serving);
            let reply = surface.handle_with(routes.as_deref(), request).await;
            noted.enter(Phase::Idle);
            Ok::<_, Infallible>(reply)
        }
    });
    let head_max = HEAD_SLACK * limits.header_bytes_max;
    let mut builder = http1::Builder::new();
    builder
        .max_header_size(head_max)
        .max_buf_size((head_max + (8 << 10)).max(64 << 10));
    let mut connection = std::pin::pin!(builder.serve_connection(io, service));
    let mut age = Age::new(&limits);
    let mut ticks = tokio::time::interval(age.tick);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut stopping = false;
    loop {
        tokio::select! {
            biased;
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "connection ended");
                }
                return;
            }
            _ = stop.changed(), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
            _ = ticks.tick() => if age.look(&activity, &limits) {
                tracing::debug!("connection was too slow");
                return;
            }
        }
    }
}

/// A stream that notes when bytes begin to arrive, where requests end, and when answers cannot leave.
struct Watched<S> {
    stream: S,
    frames: Frames,
    activity: Arc<Activity>,
}

impl<S> Watched<S> {
    fn wrote(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &written {
            Poll::Pending => {
                self.activity.waited.store(true, Ordering::Relaxed);
                self.activity.change(Phase::Idle, Phase::Blocked);
            }
            Poll::Ready(written) => {
                let taken = self.activity.taken() + *written.as_ref().unwrap_or(&0) as u64;
                self.activity.taken.store(taken, Ordering::Relaxed);
                self.activity.change(Phase::Blocked, Phase::Idle);
                // An answer that goes on for long is no rest: that counts from its last byte.
                self.activity.change(Phase::Idle, Phase::Idle);
            }
        }
        written
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            let clear = self.frames.read(&buffer.filled()[before..]);
            self.activity.clear.store(clear, Ordering::Relaxed);
            self.activity.change(Phase::Idle, Phase::Head);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.wrote(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.wrote(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_is_too_old_only_when_it_did_not_change() {
        let limits = Limits {
            header_timeout: Duration::from_secs(4),
            idle_timeout: Duration::from_secs(8),
            ..Limits::default()
        };
        let activity = Activity::new();
        let mut age = Age::new(&limits);
        assert_eq!(age.tick, Duration::from_secs(1));
        let looks = |age: &mut Age| (0..).take_while(|_| !age.look(&activity, &limits)).count();
        // The first look only takes note.
        assert_eq!(looks(&mut age), 4);
        activity.enter(Phase::Idle);
        assert_eq!(looks(&mut age), 8);
        activity.enter(Phase::Serving);
        assert!((0..1000).all(|_| !age.look(&activity, &limits)));
        activity.change(Phase::Idle, Phase::Head);
        assert_eq!(activity.word() & 3, Phase::Serving as u64);
    }

    #[test]
    fn an_answer_is_taken_at_a_rate_and_not_by_the_byte() {
        let limits = Limits {
            write_timeout: Duration::from_secs(4),
            write_bytes_per_second_min: 100,
            ..Limits::default()
        };
        let activity = Activity::new();
        let mut age = Age::new(&limits);
        assert_eq!(age.tick, Duration::from_secs(1));
        // A second in which so many bytes leave, and others wait again.
        let second = |age: &mut Age, bytes: u64| {
            activity.enter(Phase::Idle);
            activity.taken.fetch_add(bytes, Ordering::Relaxed);
            activity.waited.store(true, Ordering::Relaxed);
            activity.change(Phase::Idle, Phase::Blocked);
            age.look(&activity, &limits)
        };
        assert!((0..100).all(|_| !second(&mut age, 100)), "fast enough");
        let cut = (0..100).take_while(|_| !second(&mut age, 99)).count();
        assert!(cut < 8, "within two time-outs: {cut}");
        // What has been taken whole begins anew.
        activity.enter(Phase::Idle);
        assert!(!age.look(&activity, &limits));
        assert_eq!((0..100).take_while(|_| !second(&mut age, 1)).count(), 4);
    }
}
