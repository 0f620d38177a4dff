//! An application's own handler in the place of the model application.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;

use ck_control::{Call, CallId, Copying, FencingToken, Handler};
use ck_core::PartitionId;

use crate::clock::MS;
use crate::harness::{Executor, Guest};
use crate::invariants::Violation;
use crate::world::{Event, World};

/// A handler and its tasks, in one process.
pub(crate) struct Hosted {
    handler: Arc<dyn Handler>,
    executor: Executor,
    /// Calls of `lease_lost`, which nobody waits for.
    lapses: u64,
}

impl World {
    /// Every process that starts from now on runs the guest's handler.
    pub(crate) fn host(&mut self, guest: Box<dyn Guest>) {
        self.guest = Some(guest);
    }

    pub(super) fn host_process(&mut self, place: usize) {
        let Some(guest) = &mut self.guest else {
            return;
        };
        let here = &mut self.places[place];
        let handler = guest.start(place, &here.node);
        if let Some(process) = &mut here.process {
            process.hosted = Some(Hosted {
                handler,
                executor: Executor::new(Arc::clone(&self.woken)),
                lapses: 0,
            });
        }
    }

    pub(super) fn unhost(&mut self, place: usize) {
        if let Some(guest) = &mut self.guest {
            guest.stop(place);
        }
    }

    /// Begins a call of the guest's handler.
    pub(super) fn call_guest(
        &mut self,
        place: usize,
        id: CallId,
        partition: PartitionId,
        call: Call,
    ) {
        let copying = self.copying(partition, call);
        let now = self.clock(place);
        let deadline = std::time::Duration::from_nanos(now.after(self.pace.release).0);
        let Some(process) = &mut self.places[place].process else {
            return;
        };
        process.application.calls.insert(id, (partition, call));
        let Some(hosted) = &mut process.hosted else {
            return;
        };
        let handler = Arc::clone(&hosted.handler);
        hosted.executor.set_clock(now);
        hosted.executor.call(id, move |context| {
            Box::pin(async move {
                match (call, copying) {
                    (Call::Prepare { .. }, Some(copying)) => {
                        handler.prepare(&context, copying).await
                    }
                    (Call::CatchUp { .. }, Some(copying)) => {
                        handler.catch_up(&context, copying).await
                    }
                    (Call::Prepare { .. } | Call::CatchUp { .. }, None) => {
                        Err("the source is no member any more".into())
                    }
                    (Call::BecomePrimary { token }, _) => {
                        handler.become_primary(&context, token).await
                    }
                    (Call::BecomeReplica, _) => handler.become_replica(&context, partition).await,
                    (Call::Release { .. }, _) => {
                        handler.release(&context, partition, deadline).await
                    }
                    (Call::CleanUp, _) => handler.clean_up(&context, partition).await,
                }
            })
        });
    }

    fn copying(&self, partition: PartitionId, call: Call) -> Option<Copying> {
        let (Call::Prepare { transfer, source } | Call::CatchUp { transfer, source }) = call else {
            return None;
        };
        let source = self.state().member(source)?;
        let (node, services) = (source.node.clone(), source.services.clone());
        Some(Copying::new(partition, transfer, node, services))
    }

    pub(super) fn cancel_guest(&mut self, place: usize, call: CallId) {
        let now = self.clock(place);
        let process = self.places[place].process.as_mut();
        if let Some(hosted) = process.and_then(|one| one.hosted.as_mut()) {
            hosted.executor.set_clock(now);
            for (call, succeeded) in hosted.executor.cancel(call) {
                self.guest_call_ends(place, call, succeeded);
            }
        }
    }

    pub(super) fn lapse_guest(&mut self, place: usize) {
        let now = self.clock(place);
        let process = self.places[place].process.as_mut();
        let Some(hosted) = process.and_then(|one| one.hosted.as_mut()) else {
            return;
        };
        hosted.lapses += 1;
        // Numbers from the other end never meet those of an agent.
        let id = CallId(u64::MAX - hosted.lapses);
        let handler = Arc::clone(&hosted.handler);
        hosted.executor.set_clock(now);
        hosted.executor.call(id, move |context| {
            Box::pin(async move {
                handler.lease_lost(&context).await;
                Ok(())
            })
        });
    }

    fn guest_call_ends(&mut self, place: usize, call: CallId, succeeded: bool) {
        let (life, after) = (
            self.places[place].life,
            self.random.between(MS / 10, 2 * MS),
        );
        self.after(
            after,
            Event::CallEnds {
                place,
                life,
                call,
                succeeded,
            },
        );
    }

    /// Polls every task that was woken, wherever it runs.
    pub(super) fn run_guests(&mut self) {
        if self.guest.is_none() || !self.woken.swap(false, Ordering::Relaxed) {
            return;
        }
        for place in 0..self.places.len() {
            let now = self.clock(place);
            let here = &mut self.places[place];
            let (paused, life, clock) = (here.paused, here.life, here.clock);
            let process = here.process.as_mut().filter(|_| !paused);
            let Some(hosted) = process.and_then(|one| one.hosted.as_mut()) else {
                continue;
            };
            hosted.executor.set_clock(now);
            let ended = hosted.executor.run();
            let timers = hosted.executor.timers();
            for (until, waker) in timers {
                let at = clock.reaches(until).max(self.now + 1_000);
                self.queue.push(at, Event::Wake { place, life, waker });
            }
            for (call, succeeded) in ended {
                self.guest_call_ends(place, call, succeeded);
            }
        }
        self.ask_guest();
    }

    pub(super) fn wake_guest(&mut self, place: usize, life: u64, waker: Waker) {
        if self.places[place].life == life {
            waker.wake();
        }
    }

    pub(super) fn request_guest(&mut self, place: usize, token: FencingToken) {
        if let Some(guest) = &mut self.guest {
            guest.request(place, token);
        }
        self.ask_guest();
    }

    fn ask_guest(&mut self) {
        let Some(mut guest) = self.guest.take() else {
            return;
        };
        if let Err((invariant, what)) = guest.check(self.state())
            && self.violation.is_none()
        {
            let at = self.now;
            self.violation = Some(Violation {
                invariant,
                at,
                what,
            });
        }
        self.guest = Some(guest);
    }
}
