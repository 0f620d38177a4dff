//! Answering peers' consensus messages: each speaks for itself alone.

use bytes::Bytes;
use ck_transport::{Reply, ServiceError};
use openraft::raft::{AppendEntriesRequest, InstallSnapshotRequest, VoteRequest};

use super::raft::Consensus;
use super::types::{TypeConfig, Vote};
use crate::codec;
use crate::senders::Sender;
use crate::wire::{kind, refusal, request};

/// Most bytes of a snapshot that are taken from a peer.
const SNAPSHOT_BYTES_MAX: u64 = 1 << 30;

impl Consensus {
    /// Answers a consensus message of `from`, which speaks for itself alone.
    pub(crate) async fn serve(
        &self,
        from: Sender,
        kind: u16,
        payload: &[u8],
    ) -> Result<Reply, ServiceError> {
        let answer = match kind {
            kind::APPEND => {
                let rpc: AppendEntriesRequest<TypeConfig> = request(payload)?;
                may_lead(&rpc.vote, from)?;
                codec::encode(&self.raft.append_entries(rpc).await)
            }
            kind::VOTE => {
                let rpc: VoteRequest<u64> = request(payload)?;
                may_stand(&rpc.vote, from)?;
                codec::encode(&self.raft.vote(rpc).await)
            }
            kind::SNAPSHOT => {
                let rpc: InstallSnapshotRequest<TypeConfig> = request(payload)?;
                may_lead(&rpc.vote, from)?;
                let end = rpc.offset.saturating_add(rpc.data.len() as u64);
                if end > SNAPSHOT_BYTES_MAX {
                    let what = format!(
                        "a snapshot of {end} bytes or more; {SNAPSHOT_BYTES_MAX} are allowed"
                    );
                    return Err(ServiceError::new(refusal::MALFORMED, what));
                }
                codec::encode(&self.raft.install_snapshot(rpc).await)
            }
            _ => {
                return Err(ServiceError::new(
                    refusal::KIND,
                    format_args!("unknown kind {kind}"),
                ));
            }
        };
        let bytes = answer.map_err(|source| ServiceError::new(refusal::FATAL, source))?;
        Ok(Reply::new(Bytes::from(bytes)))
    }
}

/// Refuses a message in the name of another member than the one that sent it.
fn is_of(vote: &Vote, from: Sender) -> Result<(), ServiceError> {
    let member = from.member;
    match vote.leader_id.voted_for() {
        Some(of) if of == member.0 => Ok(()),
        Some(other) => stranger(format!("member {member} speaks as member {other}")),
        None => stranger(format!("member {member} speaks as nobody")),
    }
}

/// Refuses the log of who does not lead, or may begin no term any more.
fn may_lead(vote: &Vote, from: Sender) -> Result<(), ServiceError> {
    is_of(vote, from)?;
    let term = vote.leader_id.get_term();
    match from.until_term {
        Some(until) if term > until => stranger(format!(
            "member {} was removed and leads no term after {until}; it says {term}",
            from.member
        )),
        _ => Ok(()),
    }
}

/// Refuses the candidacy of who does not stand, or may stand no more.
fn may_stand(vote: &Vote, from: Sender) -> Result<(), ServiceError> {
    is_of(vote, from)?;
    match from.until_term {
        Some(_) => stranger(format!(
            "member {} was removed and has no vote",
            from.member
        )),
        None => Ok(()),
    }
}

fn stranger(what: String) -> Result<(), ServiceError> {
    Err(ServiceError::new(refusal::STRANGER, what))
}

#[cfg(test)]
mod tests {
    use ck_control::MemberNumber;

    use super::*;

    fn sender(member: u64, until_term: Option<u64>) -> Sender {
        let member = MemberNumber(member);
        Sender { member, until_term }
    }

    #[test]
    fn a_member_leads_and_stands_for_itself_alone() {
        let vote = Vote::new(7, 2);
        for check in [may_lead, may_stand] {
            assert!(check(&vote, sender(2, None)).is_ok());
            let refused = check(&vote, sender(3, None)).unwrap_err();
            assert_eq!(refused.code, refusal::STRANGER);
            assert!(refused.message.contains("member 3 speaks as member 2"));
        }
    }

    #[test]
    fn who_was_removed_leads_to_the_end_of_its_term_and_stands_no_more() {
        for (term, leads) in [(6, true), (7, true), (8, false), (u64::MAX, false)] {
            let vote = Vote::new_committed(term, 2);
            assert_eq!(may_lead(&vote, sender(2, Some(7))).is_ok(), leads, "{term}");
            assert!(may_stand(&vote, sender(2, Some(7))).is_err(), "{term}");
        }
    }
}
