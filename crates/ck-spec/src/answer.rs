//! The JSON answer, written row by row so that a million partitions need no second copy.

use ck_api::{Balance, DomainStats, PartitionStats};
use ck_core::placement::Plan;
use ck_core::table::Stats;
use ck_core::{Fraction, Row, Table};
use serde::ser::{Serialize, SerializeStruct, Serializer};

use crate::Request;

/// What `ck place --json` and each line of `--batch` answer.
#[derive(Debug, serde::Serialize)]
pub struct Answer<'a> {
    partitions: Rows<'a>,
    count: u32,
    plan: Figures,
    stats: PartitionStats,
}

/// What the plan costs.
#[derive(Debug, serde::Serialize)]
struct Figures {
    copies_moved: u64,
    primaries_changed: u64,
    lower_bound: u64,
    optimal: bool,
    gap: u64,
    degraded: bool,
}

impl<'a> Answer<'a> {
    /// The answer to `request`, for which `plan` was made.
    #[must_use]
    pub fn new(request: &Request, plan: &'a Plan) -> Self {
        Self {
            partitions: Rows(&plan.table),
            count: plan.table.partitions(),
            plan: Figures {
                copies_moved: plan.copies_moved,
                primaries_changed: plan.primaries_changed,
                lower_bound: plan.lower_bound,
                optimal: plan.optimal,
                gap: plan.gap,
                degraded: plan.degraded,
            },
            stats: stats(&plan.table.stats(&request.topology, &request.spec)),
        }
    }
}

#[derive(Debug)]
struct Rows<'a>(&'a Table);

impl Serialize for Rows<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.rows().map(OneRow))
    }
}

/// One row, as `GET /partitions` prints it.
#[derive(Debug)]
pub struct OneRow<'a>(pub Row<'a>);

impl Serialize for OneRow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut row = serializer.serialize_struct("Partition", 3)?;
        row.serialize_field("id", &Shown(self.0.partition()))?;
        row.serialize_field(
            "primary_node",
            self.0.primary().map_or("", |id| id.as_str()),
        )?;
        row.serialize_field("replica_nodes", &Replicas(self.0))?;
        row.end()
    }
}

struct Shown<T>(T);

impl<T: std::fmt::Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

struct Replicas<'a>(Row<'a>);

impl Serialize for Replicas<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.replicas().map(ck_core::NodeId::as_str))
    }
}

/// The figures as `GET /partitions/stats` names them.
fn stats(stats: &Stats) -> PartitionStats {
    let mut answer = PartitionStats {
        total_partitions: stats.partitions.into(),
        unavailable: stats.unowned.into(),
        under_replicated: stats.under_replicated.into(),
        spread_violations: stats.spread_violations.into(),
        copies: balance(
            stats.nodes.iter().map(|node| node.copies),
            stats.copies_balance,
            stats.copies_off_quota,
        ),
        primaries: balance(
            stats.nodes.iter().map(|node| node.primaries),
            stats.primaries_balance,
            stats.primaries_off_quota,
        ),
        ..PartitionStats::default()
    };
    for node in &stats.nodes {
        let id = node.id.to_string();
        answer
            .partitions_per_node
            .insert(id.clone(), node.primaries.into());
        answer
            .replicas_per_node
            .insert(id, (node.copies - node.primaries).into());
    }
    for domain in &stats.domains {
        let held = DomainStats {
            nodes: domain.nodes.into(),
            copies: domain.copies,
            primaries: domain.primaries,
            partitions: domain.partitions.into(),
        };
        answer.domains.insert(domain.name.clone(), held);
    }
    answer
}

fn balance(counts: impl Iterator<Item = u32> + Clone, ratio: Fraction, off: u32) -> Balance {
    Balance {
        min: counts.clone().min().unwrap_or_default().into(),
        max: counts.max().unwrap_or_default().into(),
        max_over_share_permille: u64::try_from(ratio.per_mille()).unwrap_or(u64::MAX),
        off_share: off.into(),
    }
}
