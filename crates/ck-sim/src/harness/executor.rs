//! Polls a handler's futures under virtual time: no runtime, no thread, no clock of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context as TaskContext, Poll, Wake, Waker};
use std::time::Duration;

use ck_control::{BoxFuture, CallId, HandlerContext, HandlerError, Time};

/// Most tasks of one process; what is spawned beyond that is dropped.
const TASKS_MAX: usize = 10_000;

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the tasks of one process share with the world.
struct Shared {
    /// The node's clock, in nanoseconds.
    now: AtomicU64,
    timers: Mutex<Vec<(Time, Waker)>>,
    woken: Mutex<BTreeSet<u64>>,
    spawned: Mutex<Vec<(CallId, BoxFuture<'static, ()>)>>,
    /// Set whenever a task of any process is woken.
    any: Arc<AtomicBool>,
}

/// Wakes one task.
struct Alarm {
    task: u64,
    shared: Arc<Shared>,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        locked(&self.shared.woken).insert(self.task);
        self.shared.any.store(true, Ordering::Relaxed);
    }
}

struct Inner {
    call: CallId,
    shared: Arc<Shared>,
    cancelled: AtomicBool,
    waiting: Mutex<Vec<Waker>>,
}

/// What one call of a handler is given.
#[derive(Clone)]
pub(crate) struct Context(Arc<Inner>);

impl HandlerContext for Context {
    fn now(&self) -> Duration {
        Duration::from_nanos(self.0.shared.now.load(Ordering::Relaxed))
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let until = Time(self.0.shared.now.load(Ordering::Relaxed)).after(duration);
        let shared = Arc::clone(&self.0.shared);
        Box::pin(Sleep { until, shared })
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        locked(&self.0.shared.spawned).push((self.0.call, task));
    }

    fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::Relaxed)
    }

    fn cancelled(&self) -> BoxFuture<'static, ()> {
        Box::pin(Cancelled(self.clone()))
    }

    fn progress(&self, _: u64, _: u64) {}
}

struct Sleep {
    until: Time,
    shared: Arc<Shared>,
}

impl Future for Sleep {
    type Output = ();
    fn poll(self: Pin<&mut Self>, context: &mut TaskContext<'_>) -> Poll<()> {
        if Time(self.shared.now.load(Ordering::Relaxed)) >= self.until {
            return Poll::Ready(());
        }
        let waker = context.waker().clone();
        locked(&self.shared.timers).push((self.until, waker));
        Poll::Pending
    }
}

struct Cancelled(Context);

impl Future for Cancelled {
    type Output = ();
    fn poll(self: Pin<&mut Self>, context: &mut TaskContext<'_>) -> Poll<()> {
        if self.0.is_cancelled() {
            return Poll::Ready(());
        }
        locked(&self.0.0.waiting).push(context.waker().clone());
        Poll::Pending
    }
}

type Work = BoxFuture<'static, Result<(), HandlerError>>;

struct Task {
    work: Work,
    call: CallId,
    /// Absent for what was spawned beside the call.
    context: Option<Context>,
}

/// The tasks of one process.
pub(crate) struct Executor {
    shared: Arc<Shared>,
    tasks: BTreeMap<u64, Task>,
    next: u64,
}

impl Executor {
    pub(crate) fn new(any: Arc<AtomicBool>) -> Self {
        Self {
            shared: Arc::new(Shared {
                now: AtomicU64::new(0),
                timers: Mutex::default(),
                woken: Mutex::default(),
                spawned: Mutex::default(),
                any,
            }),
            tasks: BTreeMap::new(),
            next: 0,
        }
    }

    /// Sets the clock, which never goes back.
    pub(crate) fn set_clock(&self, now: Time) {
        self.shared.now.fetch_max(now.0, Ordering::Relaxed);
    }

    /// Begins a call; [`run`](Self::run) polls it.
    pub(crate) fn call(&mut self, call: CallId, work: impl FnOnce(Context) -> Work) {
        let context = Context(Arc::new(Inner {
            call,
            shared: Arc::clone(&self.shared),
            cancelled: AtomicBool::new(false),
            waiting: Mutex::default(),
        }));
        let work = work(context.clone());
        let context = Some(context);
        self.add(Task {
            work,
            call,
            context,
        });
    }

    fn add(&mut self, task: Task) {
        if self.tasks.len() < TASKS_MAX {
            self.next += 1;
            self.tasks.insert(self.next, task);
            locked(&self.shared.woken).insert(self.next);
            self.shared.any.store(true, Ordering::Relaxed);
        }
    }

    /// The call's result is no longer wanted: it is told, polled once more and dropped, and with it
    /// whatever it spawned. Returns the calls that have ended, this one with them if it was running.
    pub(crate) fn cancel(&mut self, call: CallId) -> Vec<(CallId, bool)> {
        let is_main = |task: &&Task| task.call == call && task.context.is_some();
        let Some(context) = self
            .tasks
            .values()
            .find(is_main)
            .map(|one| one.context.clone())
        else {
            return Vec::new();
        };
        if let Some(context) = context {
            context.0.cancelled.store(true, Ordering::Relaxed);
            locked(&context.0.waiting).drain(..).for_each(Waker::wake);
        }
        let mut ended = self.run();
        self.tasks.retain(|_, task| task.call != call);
        ended.retain(|(other, _)| *other != call);
        ended.push((call, false));
        ended
    }

    /// Polls what was woken until nothing is, and returns the calls that have ended. A panic ends a
    /// call as an error does.
    pub(crate) fn run(&mut self) -> Vec<(CallId, bool)> {
        let mut ended = Vec::new();
        loop {
            let woken = std::mem::take(&mut *locked(&self.shared.woken));
            for id in &woken {
                let Some(task) = self.tasks.get_mut(id) else {
                    continue;
                };
                let alarm = Alarm {
                    task: *id,
                    shared: Arc::clone(&self.shared),
                };
                let waker = Waker::from(Arc::new(alarm));
                let mut context = TaskContext::from_waker(&waker);
                let polled =
                    catch_unwind(AssertUnwindSafe(|| task.work.as_mut().poll(&mut context)));
                let succeeded = match polled {
                    Ok(Poll::Pending) => continue,
                    Ok(Poll::Ready(result)) => result.is_ok(),
                    Err(_) => false,
                };
                if let Some(task) = self.tasks.remove(id)
                    && task.context.is_some()
                {
                    ended.push((task.call, succeeded));
                }
            }
            let spawned = std::mem::take(&mut *locked(&self.shared.spawned));
            for (call, task) in spawned {
                let work: Work = Box::pin(async move {
                    task.await;
                    Ok(())
                });
                let context = None;
                self.add(Task {
                    work,
                    call,
                    context,
                });
            }
            if locked(&self.shared.woken).is_empty() {
                return ended;
            }
        }
    }

    /// Alarms to be set, each once.
    pub(crate) fn timers(&self) -> Vec<(Time, Waker)> {
        std::mem::take(&mut *locked(&self.shared.timers))
    }
}
