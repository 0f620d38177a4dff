//! What is done to data directories while their nodes do not run: a new incarnation of a cluster, from
//! a survivor's directory (`ck recover`) or from a backup (`ck restore`).
//!
//! Either way one node begins a new log as its only voter, under a new cluster id, so that nobody and
//! nothing of the incarnation before is heard; the other members that stay await that log. Every session
//! has ended; each copy is worth what it was.

mod anew;
mod error;
mod restore;
mod survivor;

pub use anew::Anew;
pub use error::OfflineError;
pub use restore::{restore, restore_into};
pub use survivor::Survivor;

use ck_control::State;
use ck_core::NodeId;

fn known(state: &State, node: &NodeId) -> Result<(), OfflineError> {
    if state.member_by_node(node.as_str()).is_some() {
        return Ok(());
    }
    Err(OfflineError::NodeUnknown {
        node: node.clone(),
        members: state.members().map(|member| member.node.clone()).collect(),
    })
}
