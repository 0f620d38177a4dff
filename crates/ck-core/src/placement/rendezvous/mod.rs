//! Highest random weight: every node scores every partition, the best scores win.

mod log;

use alloc::format;
use alloc::vec::Vec;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::key::md5;
use crate::placement::select::{Draft, Offer, row_by_row};
use crate::placement::{Placement, PlacementError, Plan};
use crate::{PartitionId, Spec, Table, Topology};
use log::minus_log2;

/// Rendezvous hashing (Thaler and Ravishankar, 1998): agreement without a table.
///
/// Each partition goes to the nodes with the best scores that its spread admits. When a node joins
/// or leaves, only partitions in which it wins or won change; balance is that of chance.
///
/// The weighted form scores node n as −log₂(u) ÷ weight, smallest first, with
/// u = `xxh3_64(node id, seed = partition number)` ÷ 2⁶⁴, so that a node wins in proportion to its
/// weight. The logarithm is a fixed-point one, off by less than 2⁻⁵⁰; the chance that this decides
/// a partition is below 2⁻⁴⁹ × (sum of the weights ÷ smallest weight).
///
/// ```
/// use ck_core::{Node, NodeId, Placement, Rendezvous, Spec, Topology};
/// let nodes = ["a", "b", "c", "d"].map(|name| NodeId::new(name).map(Node::new));
/// let topology = Topology::new(nodes.into_iter().collect::<Result<Vec<_>, _>>()?)?;
/// let plan = Rendezvous::weighted().place(&topology, &Spec::new(64, 3, 1)?, None)?;
/// assert_eq!(plan.copies_moved, 192);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rendezvous {
    score: Score,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Score {
    Weighted,
    Md5,
}

impl Rendezvous {
    /// Scores by weight.
    #[must_use]
    pub const fn weighted() -> Self {
        Self {
            score: Score::Weighted,
        }
    }

    /// The placement of the Go library, row by row: ascending
    /// `u32_be(md5("partition-<number>" + node id)[0..4])`, equal scores by node id. Weights do not
    /// count.
    #[must_use]
    pub const fn md5() -> Self {
        Self { score: Score::Md5 }
    }
}

impl Default for Rendezvous {
    fn default() -> Self {
        Self::weighted()
    }
}

impl Placement for Rendezvous {
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
            |members, _| Vec::with_capacity(members.list.len()),
            |scores, offer, partition, draft| {
                self.score(offer, partition, scores);
                fill(scores, offer, draft);
            },
        )
    }
}

/// A member's score: `value ÷ weight`, smallest first.
#[derive(Debug, Clone, Copy)]
struct Entry {
    value: u64,
    weight: u32,
    member: u32,
    domain: u32,
}

impl Entry {
    /// Exact, by cross-multiplication. Members are in order of id, which breaks ties.
    fn beats(&self, other: &Self) -> bool {
        let (own, others) = (
            u128::from(self.value) * u128::from(other.weight),
            u128::from(other.value) * u128::from(self.weight),
        );
        (own, self.member) < (others, other.member)
    }
}

impl Rendezvous {
    fn score(self, offer: &Offer<'_>, partition: PartitionId, scores: &mut Vec<Entry>) {
        scores.clear();
        let name = format!("{partition}");
        for (at, member) in offer.members.list.iter().enumerate() {
            if !offer.may_hold(partition, at as u32) {
                continue;
            }
            let id = member.node.id.as_str().as_bytes();
            let (value, weight) = match self.score {
                Score::Weighted => {
                    let word = xxh3_64_with_seed(id, u64::from(partition.0));
                    (minus_log2(word), member.node.weight)
                }
                Score::Md5 => (u64::from(md5::prefix(&[name.as_bytes(), id])), 1),
            };
            scores.push(Entry {
                value,
                weight,
                member: at as u32,
                domain: member.domain,
            });
        }
    }
}

fn fill(scores: &mut Vec<Entry>, offer: &Offer<'_>, draft: &mut Draft) {
    debug_assert!(
        scores.len() <= offer.members.list.len(),
        "one score a member"
    );
    while !draft.is_full() {
        let fitting = scores
            .iter()
            .enumerate()
            .filter(|(_, e)| draft.has_room_for(e.domain));
        let best = fitting.reduce(|best, next| if next.1.beats(best.1) { next } else { best });
        let Some((at, entry)) = best.map(|(at, entry)| (at, *entry)) else {
            return;
        };
        draft.take(entry.member, entry.domain);
        scores.swap_remove(at);
    }
}
