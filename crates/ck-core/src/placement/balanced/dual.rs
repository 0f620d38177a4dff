//! The proof that no plan within quota moves fewer copies: a price for every node.

use alloc::vec;
use alloc::vec::Vec;

use crate::placement::balanced::exchange::{Exchange, MOVED};
use crate::placement::balanced::flow::{Arcs, Labels};
use crate::placement::balanced::problem::Problem;
use crate::placement::balanced::ranking::Ranking;

/// Prices at which no single exchange gains anything, from the rows of a plan; in copies.
///
/// `None` when the budget ends before they are found.
pub(super) fn prices(
    exchange: &Exchange<'_, '_>,
    counts: &[u32],
    budget: &mut u64,
) -> Option<Vec<i64>> {
    let problem = exchange.problem;
    let nodes = problem.nodes();
    let mut labels = Labels {
        of: vec![0; nodes + 1],
    };
    let mut attained = vec![0; nodes + 1];
    loop {
        *budget = budget.checked_sub(exchange.effort())?;
        let mut fell = exchange.relax(&mut labels, &mut attained);
        for (at, count) in counts.iter().enumerate() {
            if *count < problem.boxes.high[at] && labels.of[nodes] < labels.of[at] {
                labels.of[at] = labels.of[nodes];
                fell = true;
            }
            if *count > problem.boxes.low[at] && labels.of[at] < labels.of[nodes] {
                labels.of[nodes] = labels.of[at];
                fell = true;
            }
        }
        if !fell {
            let pool = labels.of[nodes].div_euclid(MOVED);
            return Some(
                labels.of[..nodes]
                    .iter()
                    .map(|l| l.div_euclid(MOVED) - pool)
                    .collect(),
            );
        }
    }
}

/// A lower bound on the copies moved by any plan within quota, from any prices (weak duality of
/// linear programming): what the rows cost at these prices, less what the counts can earn.
pub(super) fn bound(problem: &Problem<'_>, prices: &[i64]) -> i64 {
    let labels = Labels {
        of: prices.to_vec(),
    };
    let ranking = Ranking::new(problem, &labels);
    let mut choice = Vec::new();
    let rows: i64 = (0..problem.partitions())
        .map(|partition| cheapest_row(problem, &ranking, prices, partition, &mut choice))
        .sum();
    let earned: i64 = prices
        .iter()
        .enumerate()
        .map(|(at, price)| {
            let count = if *price > 0 {
                problem.boxes.high[at]
            } else {
                problem.boxes.low[at]
            };
            price * i64::from(count)
        })
        .sum();
    rows - earned
}

/// The cost of the cheapest valid row: surviving copies for their price, others for one more.
fn cheapest_row(
    problem: &Problem<'_>,
    ranking: &Ranking,
    prices: &[i64],
    partition: usize,
    choice: &mut Vec<(i64, u32)>,
) -> i64 {
    let need = problem.needs.of(partition);
    let (copies, spread) = (usize::from(need.copies), usize::from(need.domains));
    choice.clear();
    if let Some(old) = &problem.old {
        choice.extend(
            old.survivors(partition)
                .map(|member| (prices[member as usize], member)),
        );
    }
    let kept = choice.len();
    // A cheapest row needs no more new nodes than these: the best overall, and of the best domains.
    let offer = |choice: &mut Vec<(i64, u32)>, entry: &(i64, u32)| {
        if !choice.iter().any(|(_, member)| *member == entry.1) {
            choice.push((entry.0 + 1, entry.1));
        }
    };
    for entry in ranking.order.iter().take(copies + kept) {
        offer(choice, entry);
    }
    for top in ranking.tops.iter().take(copies + kept) {
        offer(choice, &top[0]);
    }
    choice.sort_unstable();
    // Greedy, as rows are the bases of a matroid: a node is taken when the rest can be completed.
    let (mut taken, mut domains, mut cost) = (0, Vec::with_capacity(copies), 0);
    for (price, member) in choice.iter() {
        let domain = problem.domain[*member as usize];
        let fresh = !domains.contains(&domain);
        let missing = spread.saturating_sub(domains.len() + usize::from(fresh));
        if taken + 1 + missing > copies {
            continue;
        }
        taken += 1;
        cost += price;
        if fresh {
            domains.push(domain);
        }
    }
    cost
}
