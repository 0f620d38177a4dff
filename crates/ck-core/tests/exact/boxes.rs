//! What every node may hold, from the exact shares alone.

use std::collections::BTreeMap;

use ck_core::{Evenness, Fraction, Node, Spec, Stats, Topology};

use crate::reference::domains;

/// The fewest and the most of every node.
pub(crate) type Boxes = Vec<(u32, u32)>;

/// Boxes of copies and of primaries, of nodes that are all active and without caps.
pub(crate) fn boxes(stats: &Stats, topology: &Topology, spec: &Spec) -> (Boxes, Boxes) {
    let known: Vec<_> = stats
        .nodes
        .iter()
        .filter(|node| node.state.is_some())
        .collect();
    let around = |share: Fraction| (share.floor() as u32, share.ceil() as u32);
    let copies = match spec.evenness() {
        Evenness::Tolerance { permille } => {
            let permille = u128::from(permille);
            let times = |share: Fraction, by: u128| {
                Fraction::new(share.numerator() * by, share.denominator() * 1000)
            };
            let range = |share: Fraction| {
                let (low, high) = (times(share, 1000 - permille), times(share, 1000 + permille));
                let high = high.ceil().min(u128::from(spec.partitions()));
                (low.floor() as u32, high as u32)
            };
            known.iter().map(|node| range(node.quota)).collect()
        }
        Evenness::LeastMaximum => least_maximum(stats, topology, spec),
        _ => known.iter().map(|node| around(node.quota)).collect(),
    };
    let primaries = match spec.evenness() {
        Evenness::Tolerance { .. } | Evenness::LeastMaximum => {
            let nodes = topology.nodes().len() as u32;
            let each = u32::from(spec.replication_factor()).min(nodes);
            let part = |(low, high): &(u32, u32)| (low / each, high.div_ceil(each));
            copies.iter().map(part).collect()
        }
        _ => known.iter().map(|n| around(n.primary_quota)).collect(),
    };
    (copies, primaries)
}

/// Tries every ratio of a count to a weight.
fn least_maximum(stats: &Stats, topology: &Topology, spec: &Spec) -> Boxes {
    let nodes: Vec<&Node> = topology.nodes().iter().collect();
    let domain = domains(&nodes);
    let partitions = spec.partitions();
    let copies: u32 = stats.nodes.iter().map(|node| node.copies).sum();
    let each = copies / partitions;
    let many = domain.iter().max().map_or(0, |most| *most as u32 + 1);
    let spare = (each - u32::from(spec.spread()).min(many).min(each)) * partitions;
    let highs = |ratio: Fraction| -> Vec<u32> {
        let most = |node: &&Node| {
            let most = ratio.numerator() * u128::from(node.weight) / ratio.denominator();
            most.min(u128::from(partitions)) as u32
        };
        nodes.iter().map(most).collect()
    };
    let suffices = |ratio: Fraction| {
        let mut held: BTreeMap<usize, u32> = BTreeMap::new();
        for (at, high) in highs(ratio).into_iter().enumerate() {
            *held.entry(domain[at]).or_default() += high;
        }
        let within: u32 = held.values().map(|held| held.min(&partitions)).sum();
        let beyond: u32 = held.values().map(|k| k.saturating_sub(partitions)).sum();
        within + beyond.min(spare) >= copies
    };
    let mut ratios: Vec<Fraction> = nodes
        .iter()
        .flat_map(|node| (1..=partitions).map(|c| Fraction::new(c.into(), node.weight.into())))
        .collect();
    ratios.sort_unstable();
    let least = ratios.partition_point(|ratio| !suffices(*ratio));
    highs(ratios[least])
        .into_iter()
        .map(|high| (0, high))
        .collect()
}
