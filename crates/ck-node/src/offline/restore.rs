use std::path::Path;

use ck_control::{ClusterId, Generation, Incarnation, MemberNumber, Rejection};
use ck_core::NodeId;

use super::anew::Asked;
use super::{Anew, OfflineError, known};
use crate::backup::Backup;
use crate::consensus::awaited;
use crate::store::{FILE, Identity, MARKER, Membership, Replacement, Store, key};

/// Makes the data directory of a member from a backup, to begin a new incarnation with it.
///
/// # Errors
/// [`OfflineError`]; when there is data in `directory` already, or the node is no member for instance.
///
/// With `trusts_copies` a node is taken at its word for what the backup says it has in sync; without it
/// every partition waits until somebody says which copy counts. Applications' data is not in a backup: it
/// may be older than what the backup says, newer, or nothing.
pub async fn restore(
    backup: &Backup,
    node: &NodeId,
    directory: &Path,
    incarnation: Option<Incarnation>,
    trusts_copies: bool,
) -> Result<Anew, OfflineError> {
    let member = member(backup, node)?;
    let state = &backup.state;
    let asked = Asked {
        keep: None,
        incarnation,
        new_stores: true,
        doubts_copies: !trusts_copies,
    };
    let term = state.office().map_or(0, |office| office.term) + 1;
    let position = state.applied().next();
    let anew = Anew::new(state, position, term, (node.clone(), member), asked)?;
    make(backup, node, directory, anew.cluster, anew.log()?).await?;
    Ok(anew)
}

/// Makes the data directory of a further member from the same backup, to await the log of the new
/// incarnation.
///
/// # Errors
/// As [`restore`].
pub async fn restore_into(
    backup: &Backup,
    node: &NodeId,
    directory: &Path,
    cluster: ClusterId,
) -> Result<(), OfflineError> {
    let log = awaited(member(backup, node)?)?;
    make(backup, node, directory, cluster, log).await
}

fn member(backup: &Backup, node: &NodeId) -> Result<MemberNumber, OfflineError> {
    known(&backup.state, node)?;
    let member = backup.state.member_by_node(node.as_str());
    Ok(member.map_or(MemberNumber(0), |member| member.number))
}

async fn make(
    backup: &Backup,
    node: &NodeId,
    directory: &Path,
    cluster: ClusterId,
    log: Replacement,
) -> Result<(), OfflineError> {
    for name in [FILE, MARKER] {
        let path = directory.join(name);
        if path.exists() {
            return Err(OfflineError::Occupied { path });
        }
    }
    let state = &backup.state;
    let (Some(member), Some(genesis)) = (state.member_by_node(node.as_str()), state.formed())
    else {
        return Err(Rejection::NotFormed.into());
    };
    let identity = Identity {
        node: node.clone(),
        store: member.store,
        generation: Generation(member.generation.0),
        place: None,
        homes: Vec::new(),
        membership: Some(Membership {
            cluster,
            cluster_name: genesis.name.clone(),
            member: member.number,
        }),
    };
    let log = log.with(key::IDENTITY, &identity)?;
    let store = Store::open(directory)?;
    store.replace(log).await?;
    Ok(())
}
