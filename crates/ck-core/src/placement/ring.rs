//! A consistent-hash ring with weighted virtual nodes and bounded loads.

use alloc::vec::Vec;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::placement::select::{Draft, Offer, row_by_row};
use crate::placement::{Members, Needs, Placement, PlacementError, Plan};
use crate::{Fraction, PartitionId, Spec, Table, Topology};

/// Most virtual nodes on one ring; beyond that all nodes have fewer, in proportion.
const POINTS_MAX: u64 = 1 << 18;

/// A consistent-hash ring (Karger and others, 1997): agreement without a table.
///
/// Every node stands on the ring at `points` places per unit of weight, at
/// `xxh3_64(node id, seed = place number)`; partition p at p × 2⁶⁴ ÷ P. A partition goes to the next
/// nodes clockwise that its spread admits and that are not full. A node is full at its exact share
/// times 1 + slack, for copies and for primaries (consistent hashing with bounded loads: Mirrokni,
/// Thorup and Zadimoghaddam, 2018). Where nodes that are full leave a row short, it takes the next
/// ones nevertheless.
///
/// ```
/// use ck_core::{Node, NodeId, Placement, Ring, Spec, Topology};
/// let nodes = ["a", "b", "c", "d"].map(|name| NodeId::new(name).map(Node::new));
/// let topology = Topology::new(nodes.into_iter().collect::<Result<Vec<_>, _>>()?)?;
/// let spec = Spec::new(64, 3, 1)?;
/// let plan = Ring::new().with_slack_per_mille(100).place(&topology, &spec, None)?;
/// let stats = plan.table.stats(&topology, &spec);
/// assert!(stats.nodes.iter().all(|node| node.copies <= 53)); // 48 and a tenth, rounded up
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ring {
    points: u32,
    slack_per_mille: u32,
}

impl Default for Ring {
    fn default() -> Self {
        Self::new()
    }
}

impl Ring {
    /// 128 places per unit of weight, slack 25 %.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            points: 128,
            slack_per_mille: 250,
        }
    }

    /// Places on the ring per unit of weight; 0 counts as 1. More make shares more even, and
    /// building the ring slower. At most 262,144 are used for the whole ring.
    #[must_use]
    pub const fn with_points(mut self, points: u32) -> Self {
        self.points = if points == 0 { 1 } else { points };
        self
    }

    /// How far above its exact share a node may be loaded, in thousandths of it. Less makes loads
    /// more even, and moves more when nodes come and go.
    #[must_use]
    pub const fn with_slack_per_mille(mut self, slack: u32) -> Self {
        self.slack_per_mille = slack;
        self
    }
}

impl Placement for Ring {
    fn place(
        &self,
        topology: &Topology,
        spec: &Spec,
        previous: Option<&Table>,
    ) -> Result<Plan, PlacementError> {
        row_by_row(
            topology,
            spec,
            previous,
            |members, needs| Circle::new(*self, members, needs),
            Circle::fill,
        )
    }
}

/// Points in order, and how full every member is.
struct Circle {
    points: Vec<(u64, u32)>,
    loads: Vec<Load>,
}

struct Load {
    copies: u32,
    copies_max: u32,
    primaries: u32,
    primaries_max: u32,
}

impl Circle {
    fn new(ring: Ring, members: &Members<'_>, needs: &Needs) -> Self {
        let weights: u64 = members.list.iter().map(|m| u64::from(m.node.weight)).sum();
        let wanted = u128::from(weights) * u128::from(ring.points);
        let mut points = Vec::new();
        for (at, member) in members.list.iter().enumerate() {
            let own = u128::from(member.node.weight) * u128::from(ring.points);
            let fewer = own * u128::from(POINTS_MAX) / wanted.max(1);
            let count = if wanted > u128::from(POINTS_MAX) {
                fewer.max(1)
            } else {
                own
            };
            let id = member.node.id.as_str().as_bytes();
            let count = u64::try_from(count).unwrap_or(POINTS_MAX);
            points.extend((0..count).map(|place| (xxh3_64_with_seed(id, place), at as u32)));
        }
        points.sort_unstable();
        // Of neighbouring places of one node the last stands for all.
        points.reverse();
        points.dedup_by_key(|point| point.1);
        points.reverse();

        let partitions = members.spec.partitions();
        let (copies, spare) = needs.totals(partitions);
        let rows = Fraction::from(u64::from(needs.owned(partitions)));
        let slack = u128::from(ring.slack_per_mille);
        let most = |share: Fraction| {
            let bound = share.numerator().saturating_mul(1000 + slack);
            let most = bound.div_ceil(share.denominator().saturating_mul(1000));
            u32::try_from(most).unwrap_or(u32::MAX)
        };
        let load = |share: Fraction| Load {
            copies: 0,
            copies_max: most(share),
            primaries: 0,
            primaries_max: most(share.scaled(rows, Fraction::from(copies))),
        };
        Self {
            points,
            loads: members
                .quotas(copies, spare)
                .into_iter()
                .map(load)
                .collect(),
        }
    }

    fn fill(&mut self, offer: &Offer<'_>, partition: PartitionId, draft: &mut Draft) {
        let position =
            (u128::from(partition.0) << 64) / u128::from(offer.members.spec.partitions());
        let start = self
            .points
            .partition_point(|point| u128::from(point.0) < position);
        for heeding in [true, false] {
            for step in 0..self.points.len() {
                if draft.is_full() {
                    break;
                }
                let (_, member) = self.points[(start + step) % self.points.len()];
                let load = &self.loads[member as usize];
                let domain = offer.members.list[member as usize].domain;
                let fits = (!heeding || load.copies < load.copies_max)
                    && !draft.members().contains(&member)
                    && draft.has_room_for(domain)
                    && offer.may_hold(partition, member);
                if fits {
                    draft.take(member, domain);
                }
            }
        }
        let below = |member: &u32| {
            let load = &self.loads[*member as usize];
            load.primaries < load.primaries_max
        };
        if let Some(place) = draft.members().iter().position(below) {
            draft.lead(place);
        }
        for (place, member) in draft.members().iter().enumerate() {
            let load = &mut self.loads[*member as usize];
            load.copies += 1;
            load.primaries += u32::from(place == 0);
        }
    }
}
