//! Split votes do not repeat themselves.
//!
//! The library draws a process's election time-out once, and looks at it on ticks. Two candidates
//! that happened to stand at the same moment would do so again and again, for as long as their
//! votes take longer than the distance of their ticks. So whoever finds that an election went by
//! without a leader stands again after a pause drawn anew each time, as Raft asks for (Ongaro,
//! *Consensus: Bridging Theory and Practice*, §3.4). Standing for election is safe at any time.

use std::time::Duration;

use ck_control::MemberNumber;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::SubstrateStatus;
use super::types::Raft;

/// Breaks ties until it is dropped, or the core ends.
pub(super) struct Ties {
    task: AbortHandle,
}

impl Ties {
    /// Stands again after each election without a leader; `longest` is the longest pause before.
    pub(super) fn spawn(
        raft: &Raft,
        me: MemberNumber,
        status: &watch::Receiver<SubstrateStatus>,
        longest: Duration,
    ) -> Self {
        let task = tokio::spawn(stand_again(raft.clone(), me, status.clone(), longest));
        Self {
            task: task.abort_handle(),
        }
    }
}

impl Drop for Ties {
    fn drop(&mut self) {
        // The task holds on to the core, which ends with its last holder.
        self.task.abort();
    }
}

async fn stand_again(
    raft: Raft,
    me: MemberNumber,
    mut status: watch::Receiver<SubstrateStatus>,
    longest: Duration,
) {
    let mut contest = Contest::default();
    loop {
        let now = status.borrow_and_update().clone();
        if now.failed.is_some() {
            return;
        }
        if !contest.is_undecided(&now, me) {
            if status.changed().await.is_err() {
                return;
            }
            continue;
        }
        if !is_stuck(&mut status, &now, pause(longest)).await {
            continue;
        }
        if raft.trigger().elect().await.is_err() {
            return;
        }
        // The next look is at what came of it; a core that has ended says so there.
        let _ = tokio::time::timeout(longest, status.changed()).await;
    }
}

/// Whether nothing comes of that status for as long.
async fn is_stuck(
    status: &mut watch::Receiver<SubstrateStatus>,
    now: &SubstrateStatus,
    pause: Duration,
) -> bool {
    let settled = status
        .wait_for(|next| next.leader.is_some() || next.term != now.term || next.failed.is_some());
    tokio::time::timeout(pause, settled).await.is_err()
}

/// Since when there is no leader.
#[derive(Debug, Default)]
struct Contest {
    first_term: Option<u64>,
}

impl Contest {
    /// Whether an election has gone by in which `me` had a vote and nobody won.
    fn is_undecided(&mut self, now: &SubstrateStatus, me: MemberNumber) -> bool {
        let has_a_say = now.voters.len() > 1 && now.voters.contains(&me);
        if now.leader.is_some() || !has_a_say {
            self.first_term = None;
            return false;
        }
        now.term > *self.first_term.get_or_insert(now.term)
    }
}

/// A random part of `longest`.
fn pause(longest: Duration) -> Duration {
    let range = longest.as_millis().max(1);
    let drawn = uuid::Uuid::new_v4().as_u128() % range;
    Duration::from_millis(u64::try_from(drawn).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn status(term: u64, leader: Option<u64>, voters: &[u64]) -> SubstrateStatus {
        SubstrateStatus {
            term,
            leader: leader.map(MemberNumber),
            voters: Arc::new(voters.iter().copied().map(MemberNumber).collect()),
            ..SubstrateStatus::default()
        }
    }

    #[test]
    fn the_first_election_is_left_to_the_library() {
        let mut contest = Contest::default();
        let me = MemberNumber(1);
        assert!(!contest.is_undecided(&status(4, Some(2), &[1, 2, 3]), me));
        assert!(!contest.is_undecided(&status(5, None, &[1, 2, 3]), me));
        assert!(!contest.is_undecided(&status(5, None, &[1, 2, 3]), me));
        assert!(contest.is_undecided(&status(6, None, &[1, 2, 3]), me));
        assert!(!contest.is_undecided(&status(6, Some(3), &[1, 2, 3]), me));
        assert!(!contest.is_undecided(&status(7, None, &[1, 2, 3]), me));
    }

    #[test]
    fn who_has_no_vote_or_the_only_one_does_not_stand_again() {
        let mut contest = Contest::default();
        for voters in [&[1][..], &[2, 3]] {
            for term in 5..8 {
                assert!(!contest.is_undecided(&status(term, None, voters), MemberNumber(1)));
            }
        }
    }

    #[test]
    fn pauses_differ_and_stay_below_the_longest() {
        let longest = Duration::from_millis(600);
        let drawn: std::collections::BTreeSet<Duration> =
            (0..100).map(|_| pause(longest)).collect();
        assert!(drawn.len() > 10 && drawn.iter().all(|pause| *pause < longest));
    }
}
