//! Which operations ran while the primary of their partition changed.

use std::collections::BTreeMap;

use ck_core::PartitionId;

use super::Tenure;

/// The changes of each partition, in order: when the old owner was seen last, and the new one first.
pub(super) struct Changes(BTreeMap<PartitionId, Vec<(u64, u64)>>);

/// What lies between one time of ownership and the next under another token.
pub(super) fn changes(tenures: &BTreeMap<PartitionId, Vec<Tenure>>) -> Changes {
    let of = |tenures: &Vec<Tenure>| {
        let pairs = tenures.windows(2);
        let pairs = pairs.filter(|pair| pair[0].token != pair[1].token);
        let pairs = pairs.map(|pair| {
            let to = pair[1].from;
            (pair[0].until.map_or(to, |until| until.min(to)), to)
        });
        pairs.collect()
    };
    let all = tenures.iter();
    Changes(all.map(|(id, tenures)| (*id, of(tenures))).collect())
}

impl Changes {
    pub(super) fn count(&self) -> u64 {
        self.0.values().map(|all| all.len() as u64).sum()
    }

    /// How many of these, each a partition with a start and an end, overlap one.
    pub(super) fn overlapping(&self, spans: &[(PartitionId, u64, u64)]) -> u64 {
        let overlaps = |(partition, start, end): &&(PartitionId, u64, u64)| {
            let Some(changes) = self.0.get(partition) else {
                return false;
            };
            // They come in order and do not overlap, so the first that ends late enough decides.
            let at = changes.partition_point(|(_, to)| to < start);
            changes.get(at).is_some_and(|(from, _)| from <= end)
        };
        spans.iter().filter(overlaps).count() as u64
    }
}
