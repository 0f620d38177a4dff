//! A first placement, with nothing to keep.

use crate::placement::balanced::problem::Problem;
use crate::placement::balanced::rows::Rows;

/// Exchanges tried per copy, so that a node shares its partitions with many others.
const EXCHANGES: usize = 2;

/// Fills all rows, every member with its target.
///
/// Copies are dealt out to the rows in turn, member after member, domain after domain, those
/// domains first that hold more copies than there are rows. So no member meets itself in a row, a
/// domain with no more copies than rows never does, and the larger ones together double up in a row
/// no more often than the spread allows.
pub(super) fn deal(problem: &Problem<'_>) -> Rows {
    let mut rows = Rows::empty(problem);
    let partitions = problem.partitions();
    let mut held = alloc::vec![0_u64; problem.members.domains as usize];
    for (member, target) in problem.targets.iter().enumerate() {
        held[problem.domain[member] as usize] += u64::from(*target);
    }
    let mut order: alloc::vec::Vec<usize> = (0..problem.nodes()).collect();
    order.sort_by_key(|member| {
        let domain = problem.domain[*member];
        (held[domain as usize] <= partitions as u64, domain, *member)
    });
    let mut slot = 0;
    for member in order {
        for _ in 0..problem.targets[member] {
            rows.push(slot % partitions, member as u32);
            slot += 1;
        }
    }
    mix(problem, &mut rows);
    rows
}

/// Exchanges copies between rows drawn from a fixed sequence.
fn mix(problem: &Problem<'_>, rows: &mut Rows) {
    let partitions = problem.partitions();
    let width = usize::from(problem.needs.of(0).copies);
    if partitions < 2 || width == 0 {
        return;
    }
    let mut sequence = Sequence(0);
    for _ in 0..EXCHANGES * partitions * width {
        let a = (sequence.below(partitions), sequence.below(width));
        let b = (sequence.below(partitions), sequence.below(width));
        let (x, y) = (rows.row(a.0)[a.1], rows.row(b.0)[b.1]);
        let apart = a.0 != b.0 && x != y;
        if apart && rows.may_replace(problem, a.0, a.1, y) && rows.may_replace(problem, b.0, b.1, x)
        {
            rows.exchange(a, b);
        }
    }
}

/// `SplitMix64` (Steele, Lea and Flood, *Fast splittable pseudorandom number generators*, 2014)
/// from a fixed start: a sequence, not a source of randomness.
struct Sequence(u64);

impl Sequence {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^= word >> 31;
        ((u128::from(word) * limit as u128) >> 64) as usize
    }
}
