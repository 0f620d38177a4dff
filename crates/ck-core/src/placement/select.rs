//! One row of a stateless strategy: nodes offered in order of preference, taken while the row can
//! still be completed.

use alloc::vec::Vec;

use crate::placement::members::{Members, Need};
use crate::placement::{Needs, PlacementError, Plan, Proof, members};
use crate::{NodeId, PartitionId, Spec, Table, Topology};

/// A row that is being filled.
#[derive(Debug)]
pub(super) struct Draft {
    need: Need,
    members: Vec<u32>,
    domains: Vec<u32>,
}

impl Draft {
    fn new() -> Self {
        Self {
            need: Need {
                copies: 0,
                domains: 0,
            },
            members: Vec::new(),
            domains: Vec::new(),
        }
    }

    fn start(&mut self, need: Need) {
        self.need = need;
        self.members.clear();
        self.domains.clear();
    }

    /// The members taken so far, in order.
    pub(super) fn members(&self) -> &[u32] {
        &self.members
    }

    /// Moves a member that was taken to the front: it becomes the primary.
    pub(super) fn lead(&mut self, place: usize) {
        self.members[..=place].rotate_right(1);
    }

    pub(super) fn is_full(&self) -> bool {
        self.members.len() >= usize::from(self.need.copies)
    }

    /// Whether a member of that domain leaves room for the domains that are still missing.
    pub(super) fn has_room_for(&self, domain: u32) -> bool {
        let fresh = usize::from(!self.domains.contains(&domain));
        let missing = usize::from(self.need.domains).saturating_sub(self.domains.len() + fresh);
        self.members.len() + 1 + missing <= usize::from(self.need.copies)
    }

    /// Takes a member that is not in the row yet and that the row [has room
    /// for](Self::has_room_for).
    pub(super) fn take(&mut self, member: u32, domain: u32) {
        self.members.push(member);
        if !self.domains.contains(&domain) {
            self.domains.push(domain);
        }
    }
}

/// What a stateless strategy may use for one row.
pub(super) struct Offer<'a> {
    pub(super) members: &'a Members<'a>,
    previous: Option<&'a Table>,
}

impl Offer<'_> {
    /// Whether the member may hold the partition: any if it is open, else only what it held.
    pub(super) fn may_hold(&self, partition: PartitionId, member: u32) -> bool {
        let member = &self.members.list[member as usize];
        let held = || {
            let row = self.previous.and_then(|table| table.row(partition));
            row.is_some_and(|row| row.contains(member.node.id.as_str()))
        };
        member.open || held()
    }
}

/// Builds a plan row by row.
///
/// `begin` prepares what all rows share, `fill` fills one draft.
pub(super) fn row_by_row<S>(
    topology: &Topology,
    spec: &Spec,
    previous: Option<&Table>,
    begin: impl FnOnce(&Members<'_>, &Needs) -> S,
    mut fill: impl FnMut(&mut S, &Offer<'_>, PartitionId, &mut Draft),
) -> Result<Plan, PlacementError> {
    let members = members(topology, spec, previous)?;
    let needs = Needs::new(&members, previous);
    let mut shared = begin(&members, &needs);
    let offer = Offer {
        members: &members,
        previous,
    };
    let width = usize::from(spec.replication_factor());
    let mut cells = Vec::with_capacity(spec.partitions() as usize * width);
    let mut draft = Draft::new();
    for number in 0..spec.partitions() {
        draft.start(needs.of(number as usize));
        fill(&mut shared, &offer, PartitionId(number), &mut draft);
        cells.extend_from_slice(draft.members());
        cells.resize((number as usize + 1) * width, u32::MAX);
    }
    let nodes: Vec<NodeId> = members
        .list
        .iter()
        .map(|member| member.node.id.clone())
        .collect();
    let table = Table::from_cells(nodes, spec.replication_factor(), cells)
        .expect("a draft takes each member once and no more than a row holds");
    Plan::assemble(
        table.clone(),
        previous,
        Proof::of(&table, &members, &needs, previous),
    )
}
