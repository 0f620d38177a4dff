//! The stand-in for the replicated log: one log for each place, as it is on its disk.
//!
//! The rules are those of Raft (Ongaro and Ousterhout, 2014), with a whole election folded into
//! one instant. Uncommitted tails survive at whoever had received them, and a leader that restarts
//! may go on in its term without an election, as embedded consensus libraries do.

use std::sync::Arc;

use ck_control::{Entry, Position, Proposal};

/// What one place has on its disk.
#[derive(Debug, Clone, Default)]
pub(crate) struct Log {
    /// The newest term it has seen.
    pub(crate) term: u64,
    /// Whether it won the election of that term itself.
    pub(crate) won: bool,
    entries: Vec<Arc<Entry>>,
}

/// Entries on their way from a leader.
#[derive(Debug, Clone)]
pub(crate) struct Append {
    pub(crate) term: u64,
    /// Entries before the first one sent.
    pub(crate) after: usize,
    /// Term of the last of those.
    pub(crate) after_term: u64,
    pub(crate) entries: Vec<Arc<Entry>>,
    pub(crate) commit: usize,
}

impl Log {
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn entry(&self, index: usize) -> &Arc<Entry> {
        &self.entries[index]
    }

    /// Term of the last of the first `len` entries.
    pub(crate) fn term_at(&self, len: usize) -> u64 {
        len.checked_sub(1)
            .and_then(|last| self.entries.get(last))
            .map_or(0, |entry| entry.term)
    }

    /// Whether a vote for this log loses nothing that `other` has.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        let end = |log: &Self| (log.term_at(log.len()), log.len());
        end(self) >= end(other)
    }

    /// Sees a term; a newer one ends what was won.
    pub(crate) fn see(&mut self, term: u64) {
        if term > self.term {
            self.term = term;
            self.won = false;
        }
    }

    pub(crate) fn propose(&mut self, proposal: Proposal) {
        let position = Position(self.entries.len() as u64 + 1);
        let term = self.term;
        self.entries.push(Arc::new(Entry {
            position,
            term,
            proposal,
        }));
    }

    /// What a leader sends to one whose first `after` entries are known to be the same.
    pub(crate) fn from(&self, after: usize, commit: usize) -> Append {
        let after = after.min(self.len());
        Append {
            term: self.term,
            after,
            after_term: self.term_at(after),
            entries: self.entries[after..].to_vec(),
            commit,
        }
    }

    /// Takes a leader's entries: how many are the same now, or from where to try again.
    pub(crate) fn take(&mut self, append: &Append) -> Result<usize, usize> {
        let Append { after, entries, .. } = append;
        if *after > self.len() {
            return Err(self.len());
        }
        if self.term_at(*after) != append.after_term {
            return Err(after.saturating_sub(1));
        }
        for (offset, entry) in entries.iter().enumerate() {
            let index = after + offset;
            if let Some(mine) = self.entries.get(index) {
                if mine.term == entry.term {
                    continue;
                }
                self.entries.truncate(index);
            }
            self.entries.push(Arc::clone(entry));
        }
        Ok(after + entries.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ck_control::{Command, MemberNumber, SessionId};

    fn log(terms: &[u64]) -> Log {
        let mut log = Log::default();
        for (at, term) in terms.iter().enumerate() {
            log.see(*term);
            let command = Command::Stop {
                member: MemberNumber(at as u64),
                session: SessionId(*term),
            };
            log.propose(Proposal::new(0, String::new(), command));
        }
        log
    }

    #[test]
    fn an_uncommitted_tail_gives_way_to_the_newer_leader() {
        let mut behind = log(&[1, 1, 1]);
        let leader = log(&[1, 2]);
        assert_eq!(behind.take(&leader.from(1, 0)), Ok(2));
        assert_eq!((behind.len(), behind.term_at(2)), (2, 2));
    }

    #[test]
    fn a_gap_is_refused_with_where_to_begin() {
        let leader = log(&[1, 1, 2]);
        assert_eq!(log(&[1]).take(&leader.from(3, 0)), Err(1));
        assert_eq!(log(&[1, 1, 1]).take(&leader.from(3, 0)), Err(2));
    }

    #[test]
    fn a_late_shorter_message_takes_nothing_back() {
        let leader = log(&[1, 1]);
        let early = leader.from(0, 0);
        let mut longer = leader.clone();
        longer.propose(leader.entry(0).proposal.clone());
        let mut follower = longer.clone();
        assert_eq!(follower.take(&early), Ok(2));
        assert_eq!(follower.len(), 3);
    }

    #[test]
    fn a_vote_goes_to_the_newer_term_and_then_to_the_longer_log() {
        assert!(log(&[1, 2]).covers(&log(&[1, 1, 1])));
        assert!(!log(&[1, 1]).covers(&log(&[1, 1, 1])));
    }
}
