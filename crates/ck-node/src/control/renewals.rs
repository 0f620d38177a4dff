//! Renewals on their way: this node's to the leader, the members' at the leader.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ck_control::{Answer, Nonce, Renewal, SessionId, Time};
use ck_transport::{Address, Request};
use tokio::sync::oneshot;

use crate::codec;
use crate::shared::Shared;
use crate::wire::kind;

/// Renewals of one session that may wait for a confirmation; the oldest gives way. A lease has
/// five, and the newest is worth all of them.
const WAITING_MAX: usize = 8;

/// Sessions that may wait before those that have given up are looked for.
const SWEPT_AT_LEAST: usize = 64;

/// When a renewal was sent, on its node's clock, and whom its answer goes to.
type Asked = (Time, oneshot::Sender<Answer>);

/// Members that wait for the leader's answer.
#[derive(Default)]
pub(super) struct Waiting {
    sessions: BTreeMap<(SessionId, Nonce), Vec<Asked>>,
    /// How many sessions may wait until they are swept again.
    sweep_at: usize,
}

impl Waiting {
    pub(super) fn wait(&mut self, renewal: &Renewal, answer: oneshot::Sender<Answer>) {
        if self.sessions.len() >= self.sweep_at {
            // Whoever asked has given up on some of them meanwhile.
            self.sessions.retain(|_, waiting| {
                waiting.retain(|(_, one)| !one.is_closed());
                !waiting.is_empty()
            });
            self.sweep_at = (self.sessions.len() * 2).max(SWEPT_AT_LEAST);
        }
        let waiting = self
            .sessions
            .entry((renewal.session, renewal.process))
            .or_default();
        if waiting.len() >= WAITING_MAX {
            waiting.remove(0);
        }
        waiting.push((renewal.sent, answer));
    }

    /// Passes the leader's answer to whoever waits for it.
    pub(super) fn answer(&mut self, answer: Answer) {
        let (asked, sent) = match answer {
            Answer::Granted {
                session,
                process,
                sent,
                ..
            } => ((session, process), Some(sent)),
            Answer::Fenced { session, process } => ((session, process), None),
        };
        let Some(waiting) = self.sessions.get_mut(&asked) else {
            return;
        };
        // An earlier one is never answered any more, and Fenced is for all of them.
        let answered = |at: Time| sent.is_none_or(|sent| at <= sent);
        let mut kept = Vec::new();
        for (at, one) in waiting.drain(..) {
            if !answered(at) {
                kept.push((at, one));
            } else if sent.is_none_or(|sent| at == sent) {
                // Who has gone away meanwhile sends another.
                let _ = one.send(answer);
            }
        }
        *waiting = kept;
        if waiting.is_empty() {
            self.sessions.remove(&asked);
        }
    }
}

/// Asks the leader. `None` when there is no answer: another renewal follows anyway.
pub(super) async fn ask(
    node: &Arc<Shared>,
    leader: &Address,
    renewal: &Renewal,
    within: Duration,
) -> Option<Answer> {
    let payload = codec::encode(renewal).ok()?;
    let request = Request::new(kind::RENEW, Bytes::from(payload));
    match node.transport().call(leader, request, within).await {
        Ok((_, reply)) => codec::decode(&reply.payload).ok(),
        Err(source) => {
            tracing::debug!(%source, to = %leader, "a renewal was not answered");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ck_control::{LeaseTerms, MemberNumber, Position, Profile};

    fn renewal(session: u64, sent: u64) -> Renewal {
        Renewal {
            member: MemberNumber(1),
            session: SessionId(session),
            process: Nonce(1),
            sent: Time(sent),
            applied: Position(0),
            unanswered: Duration::ZERO,
            leaving: false,
            reports: Vec::new(),
        }
    }

    fn granted(session: u64, sent: u64) -> Answer {
        Answer::Granted {
            session: SessionId(session),
            process: Nonce(1),
            sent: Time(sent),
            terms: LeaseTerms::of(Profile::Lan),
            floor: Position(0),
            handing_over: false,
        }
    }

    #[test]
    fn an_answer_goes_to_its_renewal_and_to_nobody_else() {
        let mut waiting = Waiting::default();
        let ask = |waiting: &mut Waiting, session, sent| {
            let (sender, receiver) = oneshot::channel();
            waiting.wait(&renewal(session, sent), sender);
            receiver
        };
        let mut first = ask(&mut waiting, 5, 10);
        let mut second = ask(&mut waiting, 5, 20);
        let mut third = ask(&mut waiting, 5, 30);
        let mut other = ask(&mut waiting, 6, 20);
        waiting.answer(granted(5, 20));
        assert!(first.try_recv().is_err(), "it was passed over");
        assert_eq!(second.try_recv(), Ok(granted(5, 20)));
        assert_eq!(third.try_recv(), Err(oneshot::error::TryRecvError::Empty));
        assert_eq!(other.try_recv(), Err(oneshot::error::TryRecvError::Empty));
        let fenced = |process| Answer::Fenced {
            session: SessionId(5),
            process: Nonce(process),
        };
        waiting.answer(fenced(2));
        assert_eq!(third.try_recv(), Err(oneshot::error::TryRecvError::Empty));
        let fenced = fenced(1);
        waiting.answer(fenced);
        assert_eq!(third.try_recv(), Ok(fenced));
    }

    #[test]
    fn those_who_wait_for_one_session_are_bounded() {
        let mut waiting = Waiting::default();
        let mut receivers = Vec::new();
        for sent in 0..100 {
            let (sender, receiver) = oneshot::channel();
            waiting.wait(&renewal(5, sent), sender);
            receivers.push(receiver);
        }
        assert_eq!(
            waiting.sessions[&(SessionId(5), Nonce(1))].len(),
            WAITING_MAX
        );
        for session in 0..10_000 {
            let (sender, receiver) = oneshot::channel();
            waiting.wait(&renewal(session, 0), sender);
            drop(receiver);
        }
        let kept = waiting.sessions.len();
        assert!(
            kept <= 2 * SWEPT_AT_LEAST,
            "{kept}: who has gone away waits no more"
        );
    }
}
