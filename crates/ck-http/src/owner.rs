//! What a data plane answers who asks the wrong node, or asks too early, or knows an old grant.

use ck_api::{CK_FENCE, Code, Newest, Problem};
use ck_control::{FencingToken, State};
use ck_core::PartitionId;
use ck_node::{Handle, NotOwner, Ownership};
use hyper::HeaderMap;

use crate::orders::newest;
use crate::query::decode;

/// When to try again while a partition is handed over: that takes a commit.
const MOVING_MS: u64 = 20;

/// When to try again while a lease has run out, or a primary has died: that takes longer.
const FAILOVER_MS: u64 = 200;

/// The fencing token of the grant that a caller knows, by its header `CK-Fence`.
///
/// # Errors
/// 400 `invalid-parameter` when the header is given twice, or is no token.
pub fn fence(headers: &HeaderMap) -> Result<Option<FencingToken>, Box<Problem>> {
    let mut given = headers.get_all(CK_FENCE).iter();
    let Some(value) = given.next() else {
        return Ok(None);
    };
    let refused = |detail: String| {
        let problem = Problem::new(Code::InvalidParameter, detail).with_field(CK_FENCE);
        Box::new(problem.with_value(String::from_utf8_lossy(value.as_bytes())))
    };
    if given.next().is_some() {
        return Err(refused(
            "`CK-Fence` is given twice; send it once".to_owned(),
        ));
    }
    let text = value.to_str().unwrap_or("\u{fffd}");
    let token = text.parse::<FencingToken>();
    token.map(Some).map_err(|error| refused(error.to_string()))
}

/// The partition that a segment of a path names the key of, percent-decoded first: keys are bytes.
///
/// # Errors
/// 400 `invalid-parameter` for an empty segment, 409 `no-partitions` before the partitions exist.
pub fn partition_of(node: &Handle, segment: &str) -> Result<PartitionId, Box<Problem>> {
    if segment.is_empty() {
        let detail = "the key is empty; a key has at least one byte";
        let problem = Problem::new(Code::InvalidParameter, detail).with_field("key");
        return Err(Box::new(problem));
    }
    let published = node.published();
    let row = published.lookup(&decode(segment, false));
    row.map(|row| row.partition()).ok_or_else(|| {
        let detail = "the partitions have not been created yet; try again in a moment";
        Box::new(Problem::new(Code::NoPartitions, detail).with_retry_after_ms(FAILOVER_MS))
    })
}

/// The right to act on a partition for a caller that knows the grant `fence`, or none.
///
/// ```
/// use ck_http::{HeaderMap, Problem, admit, fence};
/// use ck_node::{Handle, PartitionId};
/// fn write(node: &Handle, partition: PartitionId, headers: &HeaderMap) -> Result<(), Box<Problem>> {
///     let own = admit(node, partition, fence(headers)?)?;
///     // … whatever takes time …
///     let proof = own.check().map_err(|refused| ck_http::not_owner(node, &refused, None))?;
///     // … the effect, which carries proof.token() …
///     # drop(proof);
///     Ok(())
/// }
/// ```
///
/// # Errors
/// The problem to answer with; nothing was done, and it says so by its code:
///
/// | | |
/// | --- | --- |
/// | 421 `not-owner` | another node is the primary; `newest` names it, its address and its epoch |
/// | 409 `epoch-old` | this node is, by a later grant than the caller knows |
/// | 503 `moving` | the partition is being handed over, this node's lease has run out, or it has not heard of the caller's grant yet |
/// | 503 `unavailable` | nobody is |
/// | 404, 409 | no such partition, or none yet; the cluster gives routes only (`advisory`) |
pub fn admit(
    node: &Handle,
    partition: PartitionId,
    fence: Option<FencingToken>,
) -> Result<Ownership, Box<Problem>> {
    let own = node
        .acquire(partition)
        .map_err(|refused| not_owner(node, &refused, fence))?;
    match fence {
        Some(fence) if fence != own.token() => {
            Err(differs(&node.published().state, own.token(), fence))
        }
        _ => Ok(own),
    }
}

/// What to answer when this node may not act on a partition: as [`admit`] does.
///
/// `fence` is the grant that the caller knows. One that is newer than what this node knows makes
/// the answer 503 `moving`, since this node's picture is the older one.
#[must_use]
pub fn not_owner(node: &Handle, refused: &NotOwner, fence: Option<FencingToken>) -> Box<Problem> {
    if let NotOwner::Ended { token } = refused {
        let partition = token.partition;
        return match node.acquire(partition) {
            // Granted anew meanwhile: the same request will be admitted.
            Ok(own) => moving(&node.published().state, own.partition(), refused, MOVING_MS),
            Err(now) => refusal(&node.published().state, &now, fence),
        };
    }
    refusal(&node.published().state, refused, fence)
}

fn refusal(state: &State, refused: &NotOwner, fence: Option<FencingToken>) -> Box<Problem> {
    let detail = refused.to_string();
    match refused {
        NotOwner::Unknown { partitions: 0, .. } => {
            Box::new(Problem::new(Code::NoPartitions, detail).with_retry_after_ms(FAILOVER_MS))
        }
        NotOwner::Unknown { .. } => Box::new(Problem::new(Code::PartitionUnknown, detail)),
        NotOwner::Advisory => Box::new(Problem::new(Code::Advisory, detail)),
        NotOwner::Elsewhere { partition, .. } if is_ahead(state, *partition, fence) => {
            moving(state, *partition, refused, MOVING_MS)
        }
        NotOwner::Elsewhere {
            partition,
            primary: Some(_),
        } => {
            let problem = Problem::new(Code::NotOwner, detail);
            Box::new(problem.with_newest(newest(state, Some(*partition))))
        }
        NotOwner::Elsewhere { partition, .. } => {
            let problem = Problem::new(Code::Unavailable, detail);
            let problem = problem.with_retry_after_ms(FAILOVER_MS);
            Box::new(problem.with_newest(newest(state, Some(*partition))))
        }
        NotOwner::LeaseLapsed { partition } => moving(state, *partition, refused, FAILOVER_MS),
        NotOwner::Moving { partition } => moving(state, *partition, refused, MOVING_MS),
        NotOwner::Ended { token } => moving(state, token.partition, refused, MOVING_MS),
        // A reason of a later version: in doubt, later.
        _ => Box::new(Problem::new(Code::Unavailable, detail).with_retry_after_ms(FAILOVER_MS)),
    }
}

/// Whether a caller knows a later grant than this node.
fn is_ahead(state: &State, partition: PartitionId, fence: Option<FencingToken>) -> bool {
    let known = state.partition(partition).map(|control| control.epoch);
    fence.is_some_and(|fence| {
        fence.partition == partition
            && (fence.incarnation, Some(fence.epoch)) > (state.incarnation(), known)
    })
}

fn moving(
    state: &State,
    partition: PartitionId,
    why: &dyn std::fmt::Display,
    after_ms: u64,
) -> Box<Problem> {
    let problem = Problem::new(Code::Moving, why.to_string()).with_retry_after_ms(after_ms);
    Box::new(problem.with_newest(newest(state, Some(partition))))
}

/// What to answer a caller that names another grant than the present one.
fn differs(state: &State, own: FencingToken, fence: FencingToken) -> Box<Problem> {
    let FencingToken { partition, .. } = own;
    if fence.partition != partition {
        let detail = format!(
            "`CK-Fence` is of {}, the request is about {partition}; send the token of that",
            fence.partition
        );
        let problem = Problem::new(Code::InvalidParameter, detail).with_field(CK_FENCE);
        return Box::new(problem.with_value(fence.to_string()));
    }
    if fence > own {
        let why = format!("this node has not heard of the grant {fence} yet; its own is {own}");
        return moving(state, partition, &why, MOVING_MS);
    }
    let detail =
        format!("the grant {fence} has ended, {partition} is served at {own}; take that one");
    let newest = Newest {
        // The state may be older than the grant by the time it is read, never the other way round.
        epoch: Some(own.epoch.0),
        ..newest(state, Some(partition))
    };
    let problem = Problem::new(Code::EpochOld, detail).with_field(CK_FENCE);
    Box::new(problem.with_value(fence.to_string()).with_newest(newest))
}

#[cfg(test)]
mod tests;
