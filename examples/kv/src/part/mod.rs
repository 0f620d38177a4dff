//! What a primary keeps in memory of a partition it serves.
//!
//! A record gets its place here, goes to the primary's own disk and to every required replica at
//! once, and is answered when all of them have it. Required is whoever is in the committed in-sync
//! set, and every copy that is attached to become one. Nobody leaves that set here before the
//! cluster has committed that it is out of sync.

mod follower;
mod serving;

pub(crate) use follower::{Attachment, Lag};
pub(crate) use serving::{Progress, Serving, Turn};

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use ck_node::{FencingToken, Incarnation, MemberNumber, PartitionId, Position, State, TransferId};
use parking_lot::{Mutex, MutexGuard};

use crate::stamp::{Grant, Stamp};
use crate::wire::{Refused, Section};

/// One partition at this node.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) id: PartitionId,
    serving: Mutex<Option<Serving>>,
    /// Locked after `serving` where both are.
    joining: Mutex<Joining>,
    /// The newest state that was taken in, by its incarnation; locked after `serving`.
    seen: Mutex<(Incarnation, Position)>,
    /// Held while the copies are brought to one record.
    pub(crate) reconciling: tokio::sync::Mutex<()>,
    /// Until when this node does not try by itself to serve anew, and how long the next rest is.
    rest: Mutex<(Option<Instant>, Duration)>,
}

/// Copies that attached at one epoch, in whatever round, and have not been seen in sync since.
///
/// What such a copy has reported counts for the whole epoch, so it may come to be in sync although a
/// later round knows nothing of it.
#[derive(Debug, Default)]
struct Joining {
    /// Incarnation and epoch.
    at: (u64, u64),
    members: BTreeSet<MemberNumber>,
}

/// The first rest after an attempt to serve anew has failed, doubled by each in a row, and the
/// longest.
const REST: Duration = Duration::from_millis(500);
const REST_MAX: Duration = Duration::from_secs(1);

impl Part {
    pub(crate) const fn new(id: PartitionId) -> Self {
        Self {
            id,
            serving: Mutex::new(None),
            joining: Mutex::new(Joining {
                at: (0, 0),
                members: BTreeSet::new(),
            }),
            seen: Mutex::new((Incarnation(0), Position(0))),
            reconciling: tokio::sync::Mutex::const_new(()),
            rest: Mutex::new((None, REST)),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Option<Serving>> {
        self.serving.lock()
    }

    /// What is served at a grant, if it still is.
    fn with<T>(&self, grant: Grant, act: impl FnOnce(&mut Serving) -> T) -> Option<T> {
        let mut serving = self.serving.lock();
        serving
            .as_mut()
            .filter(|serving| serving.grant == grant)
            .map(act)
    }

    /// Whether an attempt to serve anew has failed a moment ago.
    pub(crate) fn rests(&self) -> bool {
        self.rest
            .lock()
            .0
            .is_some_and(|until| Instant::now() < until)
    }

    /// An attempt to serve anew has failed.
    pub(crate) fn rest(&self) {
        let mut rest = self.rest.lock();
        *rest = (Some(Instant::now() + rest.1), (rest.1 * 2).min(REST_MAX));
    }

    /// Begins to serve. What was served before has ended.
    ///
    /// In the same step as what is committed is taken in: no write finds the partition served and
    /// the least number of copies not known yet. `newest` is asked within the step, so that it is no
    /// older than what was taken in before.
    pub(crate) fn begin(&self, serving: Serving, newest: impl FnOnce() -> State) {
        *self.rest.lock() = (None, REST);
        let mut now = self.serving.lock();
        if let Some(mut before) = now.replace(serving) {
            before.close();
        }
        self.take_in(&mut now, &newest());
    }

    /// Ends what is served, at whatever grant: who waits is told that the outcome is open.
    pub(crate) fn end(&self) {
        if let Some(mut ended) = self.serving.lock().take() {
            if !ended.is_idle() {
                tracing::debug!(partition = %self.id, grant = %ended.grant, "no longer served, with writes under way");
            }
            ended.close();
        }
    }

    /// Ends what is served at a grant.
    pub(crate) fn end_at(&self, grant: Grant) {
        let mut serving = self.serving.lock();
        if serving.as_ref().is_some_and(|now| now.grant == grant)
            && let Some(mut ended) = serving.take()
        {
            ended.close();
        }
    }

    /// The primary's own disk has the records up to `seq`.
    pub(crate) fn appended(&self, grant: Grant, seq: u64) {
        self.with(grant, |serving| serving.appended(seq));
    }

    /// Records for a replica, no more than `bytes` unless a single one is larger; none when it has
    /// been sent everything.
    pub(crate) fn take(&self, member: MemberNumber, bytes: usize) -> Option<Section> {
        self.serving.lock().as_mut()?.take(member, bytes, self.id.0)
    }

    /// A replica has the records up to a position on its disk.
    pub(crate) fn acked(&self, grant: Grant, member: MemberNumber, position: Stamp) {
        self.with(grant, |serving| serving.acked(member, position.seq));
    }

    /// A replica did not take a section. True when it cannot be brought on from here.
    pub(crate) fn not_acked(&self, grant: Grant, member: MemberNumber, why: Refused) -> bool {
        if let Refused::Fenced { newest } = why
            && newest > grant
        {
            tracing::info!(partition = %self.id, %grant, %newest, "a newer grant was seen: no longer served");
            self.end_at(grant);
            return false;
        }
        let lost = self
            .with(grant, |serving| serving.not_acked(member, why))
            .unwrap_or(false);
        if lost {
            tracing::debug!(partition = %self.id, %grant, %member, %why, "a replica cannot be brought on from here");
        }
        lost
    }

    /// Whatever was sent to a replica and not acknowledged is sent again.
    pub(crate) fn rewind(&self, member: MemberNumber) {
        if let Some(serving) = self.serving.lock().as_mut() {
            serving.rewind(member);
        }
    }

    /// Whether a replica lacks something, and nobody is taking it out yet. From now on somebody is.
    pub(crate) fn suspect(&self, member: MemberNumber) -> Option<Lag> {
        self.serving.lock().as_mut()?.suspect(member)
    }

    /// Replicas that have lacked something for as long as `limit` without getting on.
    pub(crate) fn stalled(&self, limit: Duration) -> Vec<MemberNumber> {
        let serving = self.serving.lock();
        serving
            .as_ref()
            .map(|serving| serving.stalled(limit))
            .unwrap_or_default()
    }

    /// The attempt to take a replica out is over.
    pub(crate) fn trusted(&self, grant: Grant, member: MemberNumber) {
        self.with(grant, |serving| serving.trusted(member));
    }

    /// Takes in what was committed: who is in sync, and whether the grant still holds.
    ///
    /// Several tasks come here, each with the state it has at hand. One that is older than another
    /// before it is left aside: it may not know yet of a copy that has come to be in sync.
    pub(crate) fn reassess(&self, state: &State) {
        self.take_in(&mut self.serving.lock(), state);
    }

    fn take_in(&self, serving: &mut Option<Serving>, state: &State) {
        let at = (state.incarnation(), state.applied());
        {
            let mut seen = self.seen.lock();
            if at < *seen {
                return;
            }
            *seen = at;
        }
        let Some(now) = serving.as_mut() else {
            return;
        };
        let Some(control) = state.partition(self.id) else {
            return;
        };
        let held = control.holder.is_some_and(|holder| {
            holder.session == now.session && control.epoch.0 == now.grant.epoch
        });
        if held {
            let mut joining = self.joining.lock();
            if joining.at == now.grant.term() {
                let in_sync = &control.in_sync;
                joining.members.retain(|member| !in_sync.contains(member));
            }
            drop(joining);
            let gone = |transfer: TransferId| {
                state.applied().0 >= transfer.0 && state.transfer(transfer).is_none()
            };
            now.required(&control.in_sync, gone, state.config().min_in_sync);
        } else if control.epoch.0 >= now.grant.epoch {
            if !now.is_idle() {
                tracing::debug!(partition = %self.id, grant = %now.grant, "the grant has ended with writes under way");
            }
            now.close();
            *serving = None;
        }
    }

    /// Attaches a copy that is being made: every record from now on is for it too. `None` when the
    /// partition is not served at this epoch, or the member has attached since in a later attempt.
    pub(crate) fn attach(
        &self,
        incarnation: u64,
        epoch: u64,
        member: MemberNumber,
        attachment: Attachment,
    ) -> Option<(Grant, Stamp)> {
        let mut serving = self.serving.lock();
        let now = serving
            .as_mut()
            .filter(|now| now.grant.term() == (incarnation, epoch))?;
        let at = now.attach(member, attachment)?;
        let mut joining = self.joining.lock();
        if joining.at != (incarnation, epoch) {
            *joining = Joining {
                at: (incarnation, epoch),
                members: BTreeSet::new(),
            };
        }
        joining.members.insert(member);
        Some((now.grant, at))
    }

    /// Copies that attached in any round of a grant's epoch and were not seen in sync since.
    pub(crate) fn joining(&self, token: FencingToken) -> Vec<MemberNumber> {
        let joining = self.joining.lock();
        let same = joining.at == (token.incarnation.0, token.epoch.0);
        let members = joining.members.iter().filter(|_| same);
        members.copied().collect()
    }

    /// Nothing that a copy reported at a grant's epoch can bring it in sync any more.
    pub(crate) fn left_out(&self, token: FencingToken, member: MemberNumber) {
        let mut joining = self.joining.lock();
        if joining.at == (token.incarnation.0, token.epoch.0) {
            joining.members.remove(&member);
        }
    }

    /// The attached copy is ready for its records.
    pub(crate) fn resume(
        &self,
        grant: Grant,
        member: MemberNumber,
        attachment: Attachment,
    ) -> bool {
        self.with(grant, |serving| serving.resume(member, attachment))
            .unwrap_or(false)
    }
}

#[cfg(test)]
mod tests;
