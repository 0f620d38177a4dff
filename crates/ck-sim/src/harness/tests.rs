use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ck_control::{BoxFuture, CallId, HandlerContext, HandlerError, Time};
use ck_core::PartitionId;

use super::*;

fn executor() -> Executor {
    Executor::new(Arc::default())
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_call_sleeps_until_the_clock_says_so() {
    let mut executor = executor();
    executor.set_clock(Time(5));
    executor.call(CallId(1), |context| {
        Box::pin(async move {
            context.sleep(SECOND).await;
            assert!(context.now() >= SECOND);
            Ok(())
        })
    });
    assert_eq!(executor.run(), []);
    let timers = executor.timers();
    assert_eq!(timers.len(), 1);
    let (until, waker) = &timers[0];
    assert_eq!(*until, Time(1_000_000_005));
    executor.set_clock(*until);
    waker.wake_by_ref();
    assert_eq!(executor.run(), [(CallId(1), true)]);
}

#[test]
fn errors_and_panics_end_a_call_and_nothing_else() {
    let mut executor = executor();
    executor.call(CallId(1), |_| Box::pin(async { Err("no".into()) }));
    executor.call(CallId(2), |_| Box::pin(async { panic!("meant to") }));
    executor.call(CallId(3), |_| Box::pin(async { Ok(()) }));
    let ended = executor.run();
    assert_eq!(
        ended,
        [(CallId(1), false), (CallId(2), false), (CallId(3), true)]
    );
}

#[test]
fn a_cancelled_call_learns_of_it_and_goes_with_what_it_spawned() {
    let mut executor = executor();
    let seen = Arc::new(AtomicUsize::new(0));
    let (told, ticks) = (Arc::clone(&seen), Arc::clone(&seen));
    executor.call(CallId(1), move |context| {
        Box::pin(async move {
            let beside = context.clone();
            context.spawn(Box::pin(async move {
                loop {
                    beside.sleep(SECOND).await;
                    ticks.fetch_add(100, Ordering::Relaxed);
                }
            }));
            context.cancelled().await;
            told.fetch_add(1, Ordering::Relaxed);
            std::future::pending().await
        })
    });
    assert_eq!(executor.run(), []);
    assert_eq!(executor.cancel(CallId(1)), [(CallId(1), false)]);
    executor.set_clock(Time(9_000_000_000));
    for (_, waker) in executor.timers() {
        waker.wake();
    }
    assert_eq!(executor.run(), []);
    assert_eq!(seen.load(Ordering::Relaxed), 1);
    assert_eq!(executor.cancel(CallId(1)), []);
}

/// Fails, panics, hangs and sleeps in turn.
#[derive(Default)]
struct Awkward(Mutex<u64>);

impl Awkward {
    fn next(&self) -> u64 {
        let mut turn = self.0.lock().unwrap();
        *turn += 1;
        *turn
    }
}

impl Handler for Awkward {
    fn become_primary<'a>(
        &'a self,
        context: &'a dyn HandlerContext,
        _: FencingToken,
    ) -> BoxFuture<'a, Result<(), HandlerError>> {
        Box::pin(async move {
            match self.next() % 4 {
                0 => Err("not now".into()),
                1 => {
                    context.sleep(SECOND / 10).await;
                    Ok(())
                }
                _ => Ok(()),
            }
        })
    }

    fn release<'a>(
        &'a self,
        context: &'a dyn HandlerContext,
        _: PartitionId,
        deadline: Duration,
    ) -> BoxFuture<'a, Result<(), HandlerError>> {
        Box::pin(async move {
            assert!(deadline > context.now());
            if self.next().is_multiple_of(3) {
                // Hangs until it is not wanted any more.
                context.cancelled().await;
            }
            Ok(())
        })
    }
}

#[test]
fn an_awkward_handler_is_contained_and_the_cluster_comes_right() {
    for seed in 1..=10 {
        let verdict = Simulation::new(seed).run(|_| Awkward::default());
        assert_eq!(verdict.violation, None, "seed {seed}");
    }
}

#[test]
fn a_broken_invariant_of_the_user_is_a_violation_by_its_name() {
    let verdict = Simulation::new(1)
        .calm()
        .invariant("nobody ever runs", |cluster| match cluster.nodes().next() {
            Some((node, Awkward(_))) => Err(format!("{node} runs")),
            None => Ok(()),
        })
        .run(|_| Awkward::default());
    let violation = verdict.violation.expect("somebody runs");
    assert_eq!(violation.invariant, "nobody ever runs");
}
