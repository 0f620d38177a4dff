//! No write is acknowledged that a copy lacks on which the cluster counts.
//!
//! As long as a copy is being made, or is in sync, every transaction is sent to it and waited for. A
//! copy that does not answer is taken out through the control plane first; what is not settled then
//! is acknowledged by nobody.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ck_http::{Code, Problem, Request, StatusCode};
use ck_node::{FencingToken, MemberNumber, MoveRejection, OperationError, PartitionId, Rejection};
use ck_serve::problem_of;

use crate::copying_in::told;
use crate::file::Mark;
use crate::line::{Line, Part, Role};
use crate::problems;
use crate::store::Store;

/// Bytes that are sent at a time, unless one transaction is longer.
pub(crate) const PART_BYTES_MAX: usize = 8 << 20;

/// Parts that are sent for one settling, before the copy is given up.
const PARTS_MAX: usize = 64;

/// Time this node gets to see that a copy is out.
const SEEN_TIMEOUT: Duration = Duration::from_secs(2);

/// Says where a copy stands, in answers between nodes.
pub(crate) const MARK: &str = "sql-mark";

/// How sending to a copy ended.
enum Shipped {
    /// It has everything.
    All,
    /// It does not answer, or cannot go on.
    Lost(String),
    /// It has seen a later grant than ours.
    Deposed(String),
}

impl Store {
    /// Returns once every copy that counts has all there is.
    ///
    /// # Errors
    /// 504 `outcome-unknown`: what was written stays on this node, and is acknowledged by nobody.
    pub(crate) async fn settle(
        self: &Arc<Self>,
        part: &Part,
        line: &mut Line,
        token: FencingToken,
    ) -> Result<(), Box<Problem>> {
        if !matches!(line.role, Role::Primary(mine) if mine == token) {
            return Err(problems::unknown(format!(
                "{} was granted anew while it was written to; look before repeating it",
                part.id
            )));
        }
        let node = self.node()?.clone();
        line.prune(part.id, &node.published().state);
        for stranger in strangers(&node, part.id, line) {
            self.take_out(part.id, line, token, stranger).await?;
        }
        let members: Vec<MemberNumber> = line.targets.keys().copied().collect();
        for member in members {
            match self.ship(part.id, line, token, member).await {
                Shipped::All => {}
                Shipped::Lost(why) => {
                    tracing::warn!(partition = %part.id, %member, "a copy is taken out: {why}");
                    self.take_out(part.id, line, token, member).await?;
                }
                Shipped::Deposed(why) => {
                    line.role = Role::Idle;
                    return Err(problems::unknown(format!(
                        "{why}; look before repeating it"
                    )));
                }
            }
        }
        line.trim();
        part.settled.send_replace(line.mark.seq);
        Ok(())
    }

    /// Sends a copy what it lacks.
    async fn ship(
        &self,
        partition: PartitionId,
        line: &mut Line,
        token: FencingToken,
        member: MemberNumber,
    ) -> Shipped {
        for _ in 0..PARTS_MAX {
            let Some(target) = line.targets.get(&member) else {
                return Shipped::All;
            };
            if target.have >= line.mark.seq {
                return Shipped::All;
            }
            let Some(news) = line.after(target.have, PART_BYTES_MAX) else {
                return Shipped::Lost("it lacks more than is kept".to_owned());
            };
            let request = Request::post(format!("/sql-peer/{}/apply", partition.0))
                .header("ck-fence", token.to_string())
                .body(joined(&news))
                .expect("a number makes a path, and a token a header");
            let address = target.address.clone();
            let time = self.config.ship_timeout;
            let received = match self.courier.send(&address, request, time).await {
                Ok(received) => received,
                Err(error) => return Shipped::Lost(error.to_string()),
            };
            let problem = problem_of(&received);
            if let Some(problem) = problem.as_ref().filter(|one| one.code == FENCED) {
                return Shipped::Deposed(problem.detail.clone());
            }
            let mark = told(received.headers(), MARK);
            let mark = mark.and_then(|mark| mark.parse::<Mark>().ok());
            let status = received.status();
            let Some(mark) = mark.filter(|_| status == StatusCode::OK) else {
                let why = problem.map_or_else(|| status.to_string(), |one| one.detail);
                return Shipped::Lost(why);
            };
            let Some(target) = line.targets.get_mut(&member) else {
                return Shipped::All;
            };
            if mark.seq <= target.have {
                return Shipped::Lost(format!("it stays at {mark}"));
            }
            target.have = mark.seq;
        }
        Shipped::Lost(format!("it lacks more than {PARTS_MAX} parts"))
    }

    /// Goes on without a copy: first the control plane says so.
    pub(crate) async fn take_out(
        &self,
        partition: PartitionId,
        line: &mut Line,
        token: FencingToken,
        member: MemberNumber,
    ) -> Result<(), Box<Problem>> {
        let node = self.node()?;
        let asked = node.take_out_of_sync(token, member).await;
        let counts = |state: &ck_node::State| {
            let control = state.partition(partition);
            let moved = control.and_then(|control| control.transfer);
            let moved = moved.and_then(|id| state.transfer(id));
            control.is_some_and(|control| control.is_in_sync(member))
                || moved.is_some_and(|one| one.target.member == member)
        };
        match asked {
            Ok(()) => {}
            // Out already, by an expiry or because its move ended; seen here before it counts.
            Err(OperationError::Rejected(Rejection::Move(MoveRejection::NotInSync { .. }))) => {
                let seen = node.applied_until(|state| !counts(state));
                if tokio::time::timeout(SEEN_TIMEOUT, seen).await.is_err() {
                    return Err(cannot(partition, member, &"its removal is not seen here"));
                }
            }
            Err(error) => {
                if matches!(error, OperationError::Rejected(_)) {
                    line.role = Role::Idle;
                }
                return Err(cannot(partition, member, &error));
            }
        }
        line.targets.remove(&member);
        line.trim();
        Ok(())
    }
}

/// The problem of a copy that has seen a later grant.
pub(crate) const FENCED: &str = "copy-fenced";

/// Members that count, and whose copies this process does not feed.
fn strangers(
    node: &ck_node::Handle,
    partition: PartitionId,
    line: &Line,
) -> BTreeSet<MemberNumber> {
    let published = node.published();
    let me = node.member();
    let control = published.state.partition(partition);
    let in_sync = control.map(|control| control.in_sync.as_slice());
    let others = in_sync.unwrap_or_default().iter().copied();
    others
        .filter(|member| Some(*member) != me && !line.targets.contains_key(member))
        .collect()
}

fn cannot(
    partition: PartitionId,
    member: MemberNumber,
    why: &dyn std::fmt::Display,
) -> Box<Problem> {
    let detail = format!(
        "member {member} may not have the last transactions of {partition}, and cannot be taken out: \
         {why}; what was written is kept, look before repeating it"
    );
    Box::new(Problem::new(Code::OutcomeUnknown, detail))
}

/// Parts of a body, one after the other.
pub(crate) fn joined(parts: &[Bytes]) -> Bytes {
    match parts {
        [one] => one.clone(),
        _ => parts.concat().into(),
    }
}
