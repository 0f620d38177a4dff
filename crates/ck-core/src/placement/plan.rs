//! A table that is proposed, with what it costs.

use alloc::vec::Vec;

use crate::placement::bound::{lower_bound, within_quota};
use crate::placement::{Members, Needs, PlacementError, members};
use crate::table::TableDiff;
use crate::{Spec, Table, Topology};

/// A table that is proposed, with its cost and how far that is from the least possible.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Plan {
    /// The table.
    pub table: Table,
    /// Copies that are not in the previous table; without one, all of them.
    pub copies_moved: u64,
    /// Partitions whose primary is another node than before. The replacement of a dead primary
    /// counts; without a previous table none has changed.
    pub primaries_changed: u64,
    /// From the counts alone: no plan that gives every node its quota of copies, or what the
    /// [`Evenness`](crate::Evenness) of the spec allows instead, moves fewer. An optimal plan may
    /// have to move more.
    pub lower_bound: u64,
    /// Whether it is proved that no plan within quota moves fewer copies than this one, and this
    /// one is within quota, of copies and of primaries.
    pub optimal: bool,
    /// By how much `copies_moved` may exceed the fewest possible; 0 when `optimal`.
    pub gap: u64,
    /// Whether a row has fewer copies than the replication factor, or touches fewer failure
    /// domains than the spread, because there are too few usable nodes.
    pub degraded: bool,
    /// Why no plan within quota moves less than `copies_moved - gap`.
    pub certificate: Certificate,
}

/// What proves that a number of moves is needed; [`Plan::verify`] checks it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Certificate {
    /// The counts alone: nodes, or rows, lack that many copies.
    Counts,
    /// A price for each of [`Table::nodes`], in copies: dear where copies are to leave, cheap where
    /// they are to go. At these prices no row can be had for less.
    Prices(Vec<i64>),
}

impl Plan {
    /// Measures a table that a strategy proposes: its moves, their lower bound, whether that is
    /// reached.
    ///
    /// # Errors
    /// [`PlacementError`] when `table` or `previous` has another partition count than `spec`, or
    /// no node of `topology` can hold a copy.
    ///
    /// ```
    /// use ck_core::{Node, NodeId, Plan, Spec, Table, Topology};
    /// let id = NodeId::new("a")?;
    /// let topology = Topology::new([Node::new(id.clone())])?;
    /// let spec = Spec::new(2, 1, 1)?;
    /// let table = Table::from_named_rows(1, [[id.clone()], [id]])?;
    /// let plan = Plan::new(table, &topology, &spec, None)?;
    /// assert_eq!((plan.copies_moved, plan.lower_bound, plan.optimal), (2, 2, true));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(
        table: Table,
        topology: &Topology,
        spec: &Spec,
        previous: Option<&Table>,
    ) -> Result<Self, PlacementError> {
        let members = members(topology, spec, previous)?;
        let needs = Needs::new(&members, previous);
        let proof = Proof::of(&table, &members, &needs, previous);
        Self::assemble(table, previous, proof)
    }

    /// What has to happen for `previous` to become this plan's table.
    ///
    /// # Errors
    /// [`DiffError`](crate::DiffError) when `previous` is not the table it was made for.
    pub fn moves(&self, previous: &Table) -> Result<TableDiff, crate::DiffError> {
        previous.diff(&self.table)
    }

    pub(super) fn assemble(
        table: Table,
        previous: Option<&Table>,
        proof: Proof,
    ) -> Result<Self, PlacementError> {
        let (copies_moved, primaries_changed) = match previous {
            None => (table.rows().map(|row| row.indexes().len() as u64).sum(), 0),
            Some(previous) => {
                let movement = previous.movement(&table).map_err(|_| {
                    let (previous, spec) = (previous.partitions(), table.partitions());
                    PlacementError::Partitions { previous, spec }
                })?;
                (movement.copies_added, movement.primaries_changed)
            }
        };
        // A first placement has to make every one of its copies.
        let (lower_bound, proved) = match previous {
            None => (copies_moved, copies_moved),
            Some(_) => (proof.lower_bound, proof.proved.max(proof.lower_bound)),
        };
        Ok(Self {
            table,
            copies_moved,
            primaries_changed,
            lower_bound,
            optimal: proof.within && copies_moved <= proved,
            gap: copies_moved.saturating_sub(proved),
            degraded: proof.degraded,
            certificate: proof.certificate,
        })
    }
}

/// What is known of a table before it is compared with the previous one.
#[derive(Debug, Clone)]
pub(super) struct Proof {
    /// From the counts.
    pub(super) lower_bound: u64,
    /// The best bound that was proved; at least the one from the counts.
    pub(super) proved: u64,
    pub(super) within: bool,
    pub(super) degraded: bool,
    pub(super) certificate: Certificate,
}

impl Proof {
    /// What the counts alone tell of a table.
    pub(super) fn of(
        table: &Table,
        members: &Members<'_>,
        needs: &Needs,
        previous: Option<&Table>,
    ) -> Self {
        let lower_bound = lower_bound(members, needs, previous);
        let within = within_quota(members, needs, table);
        Self {
            lower_bound,
            proved: lower_bound,
            within,
            degraded: falls_short(table, members),
            certificate: Certificate::Counts,
        }
    }
}

/// Whether a row has too few copies, or touches too few failure domains.
fn falls_short(table: &Table, members: &Members<'_>) -> bool {
    let (copies, spread) = (members.spec.replication_factor(), members.spec.spread());
    let domains: Vec<Option<u32>> = table
        .nodes()
        .iter()
        .map(|id| {
            members
                .index_of(id.as_str())
                .map(|at| members.list[at as usize].domain)
        })
        .collect();
    let mut seen = Vec::with_capacity(usize::from(table.width()));
    table.rows().any(|row| {
        seen.clear();
        for domain in row
            .indexes()
            .iter()
            .filter_map(|index| domains[*index as usize])
        {
            if !seen.contains(&domain) {
                seen.push(domain);
            }
        }
        row.indexes().len() < usize::from(copies) || seen.len() < usize::from(spread)
    })
}
