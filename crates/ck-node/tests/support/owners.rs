//! Who owns what among several nodes.

use ck_core::PartitionId;
use ck_node::Handle;

use super::World;

pub(crate) const PARTITIONS: u32 = 64;

pub(crate) fn partitions() -> impl Iterator<Item = PartitionId> {
    (0..PARTITIONS).map(PartitionId)
}

/// Everybody that owns a partition at this instant, as far as one look after the other can tell:
/// no more than one of them is right, and a later one has the higher epoch.
pub(crate) fn owners(handles: &[Handle], partition: PartitionId) -> Vec<(usize, u64)> {
    let own = |(at, handle): (usize, &Handle)| {
        let own = handle.acquire(partition).ok()?;
        let proof = own.check().ok()?;
        Some((at, proof.token().epoch.0))
    };
    handles.iter().enumerate().filter_map(own).collect()
}

pub(crate) fn all_owned(handles: &[Handle]) -> bool {
    partitions().all(|partition| owners(handles, partition).len() == 1)
}

pub(crate) fn leader_of(handles: &[Handle]) -> usize {
    let leader = handles.iter().find_map(Handle::leader).unwrap().node;
    handles
        .iter()
        .position(|handle| *handle.node_id() == leader)
        .unwrap()
}

pub(crate) fn cut_off(world: &World, at: usize, of: usize) {
    let others: Vec<String> = (1..=of)
        .filter(|n| *n != at + 1)
        .map(super::address)
        .collect();
    let others: Vec<&str> = others.iter().map(String::as_str).collect();
    world.network.partition(&[&super::address(at + 1)], &others);
}
