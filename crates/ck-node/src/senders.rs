//! Who is heard, as which member, and for whom a peer may ask.
//!
//! The transport knows which node sends: by its certificate, or by its word where there are none. The member
//! number, the store and the cluster of a message are only claimed, so they are held against the state here.

use ck_control::MemberNumber;
use ck_transport::{PeerId, ServiceError};

use crate::operation::Operation;
use crate::shared::Shared;
use crate::wire::{Forward, refusal};

/// A peer that is heard, under its own member number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sender {
    pub(crate) member: MemberNumber,
    /// The last term it is heard in; absent: whichever it speaks of.
    pub(crate) until_term: Option<u64>,
}

/// Which member that is, if it is to be heard.
///
/// A number stands for one node and one store: a disk that was wiped has forgotten what it promised. Who
/// was removed is heard while it votes; and, while the log still has it, as the leader of a term that has
/// begun here, so that it can hand over. Who lags may not know its leader's number yet: one that is not
/// known is heard once it is in the log, or once those that are known are silent.
pub(crate) fn heard(node: &Shared, from: &PeerId) -> Result<Sender, ServiceError> {
    let stranger = |what: String| Err(ServiceError::new(refusal::STRANGER, what));
    let Some(member) = from.member.map(MemberNumber) else {
        return stranger(format!("{} is no member", from.node));
    };
    let cluster = node.membership().map(|membership| membership.cluster.0);
    if from.cluster.map(|theirs| theirs.0) != cluster {
        return stranger(format!(
            "{} does not say that it is of this cluster",
            from.node
        ));
    }
    let heard = |until_term| Ok(Sender { member, until_term });
    let published = node.publisher.current();
    if let Some(known) = published.state.member(member) {
        if known.node != from.node {
            let is = &known.node;
            return stranger(format!(
                "{} is not member {member}, which is {is}",
                from.node
            ));
        }
        if known.store.0 != from.store {
            return stranger(format!(
                "{} has lost the store of member {member}; take it out with `ck remove {}`",
                from.node, from.node
            ));
        }
        return heard(None);
    }
    let status = node.status();
    if published.state.is_removed(member) {
        if status.voters.contains(&member) {
            return heard(None);
        }
        if status.members.contains(&member) {
            return heard(Some(status.term));
        }
        return stranger(format!(
            "member {member}, as which {} speaks, was removed; it joins again with an empty data \
             directory",
            from.node
        ));
    }
    if status.members.contains(&member) || !is_in_contact(node) {
        return heard(None);
    }
    stranger(format!(
        "{} speaks as member {member}, which is not known here",
        from.node
    ))
}

/// Whether this node leads with a majority, or follows a member it knows.
fn is_in_contact(node: &Shared) -> bool {
    let Some(consensus) = node.consensus.get() else {
        return false;
    };
    let status = node.status();
    let last = *node.followed.lock();
    (status.leads() && !status.majority_silent)
        || last.is_some_and(|last| last.elapsed() < consensus.silent_after())
}

/// Notes that the log came from `member`, where it is a known one that this node follows.
pub(crate) fn note_followed(node: &Shared, member: MemberNumber) {
    let known = || node.publisher.current().state.member(member).is_some();
    if node.status().leader == Some(member) && known() {
        *node.followed.lock() = Some(std::time::Instant::now());
    }
}

/// Who is no member may ask to become one, for itself and nobody else, and nothing else; members pass
/// that on.
pub(crate) fn may_ask(node: &Shared, from: &PeerId, forward: &Forward) -> bool {
    match &forward.operation {
        Operation::Join(request) | Operation::Register(request) if request.itself.is_some() => {
            request.node == from.node || (forward.relayed && is_member(node, from))
        }
        _ => is_member(node, from),
    }
}

/// Whether `from` is a member, with the store it registered.
fn is_member(node: &Shared, from: &PeerId) -> bool {
    let published = node.publisher.current();
    let member = from
        .member
        .and_then(|number| published.state.member(MemberNumber(number)));
    member.is_some_and(|member| member.store.0 == from.store && member.node == from.node)
}

/// The member that `from` was in this cluster, if it was removed.
pub(crate) fn was_removed(node: &Shared, from: &PeerId) -> Option<MemberNumber> {
    let cluster = node.membership()?.cluster;
    let member = MemberNumber(from.member?);
    let same = from.cluster.is_some_and(|theirs| theirs.0 == cluster.0);
    (same && node.publisher.current().state.is_removed(member)).then_some(member)
}

#[cfg(test)]
mod tests;
