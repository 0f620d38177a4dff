//! The default strategy: exact balance, fewest moves, spread, few primary changes.

mod alternate;
mod direct;
mod dual;
mod exchange;
mod flow;
mod initial;
mod primaries;
mod problem;
mod ranking;
mod rows;
mod survivors;
#[cfg(test)]
mod tests;
mod wants;

use alloc::vec::Vec;

use crate::placement::plan::Proof;
use crate::placement::targets::Boxes;
use crate::placement::{Certificate, Needs, Placement, PlacementError, Plan, members};
use crate::{NodeId, Spec, Table, Topology};
use dual::{bound, prices};
use exchange::Exchange;
use flow::{Balance, Settled, settle};
use problem::{Old, Problem};
use rows::Rows;

/// Rows a plan may visit while it looks for the fewest moves, unless told otherwise.
const WORK_BUDGET: u64 = 400_000_000;

/// The default strategy.
///
/// In this order, none at the expense of an earlier one:
/// 1. every partition on distinct nodes, in as many failure domains as the spread asks for;
/// 2. every node its *quota* of copies, rounded down or up: its weighted max-min fair share;
/// 3. the fewest copies that are not already where they are wanted;
/// 4. every node its quota of primaries, rounded down or up;
/// 5. few primaries changed.
///
/// Whether the moves are proved to be the fewest is in [`Plan::optimal`].
///
/// ```
/// use ck_core::{Balanced, Node, NodeId, Placement, Spec, Topology};
/// let nodes = |count: u32| {
///     Topology::new((0..count).map(|n| Node::new(NodeId::new(&format!("n{n}")).unwrap())))
/// };
/// let spec = Spec::new(256, 3, 1)?;
/// let first = Balanced::new().place(&nodes(10)?, &spec, None)?;
/// let joined = Balanced::new().place(&nodes(11)?, &spec, Some(&first.table))?;
/// assert_eq!(joined.copies_moved, 69); // ⌊256 × 3 ÷ 11⌋: what the new node needs, no more
/// assert!(joined.optimal);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Balanced {
    work_budget: u64,
}

impl Default for Balanced {
    fn default() -> Self {
        Self::new()
    }
}

impl Balanced {
    /// The strategy with its default options.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            work_budget: WORK_BUDGET,
        }
    }

    /// Bounds the search for the fewest moves, in rows visited. Default 400 million, which is
    /// seconds; almost all plans need a few visits a row.
    ///
    /// A plan that was stopped is valid and says so: [`Plan::optimal`] is false and [`Plan::gap`]
    /// bounds what it moves too much.
    #[must_use]
    pub const fn with_work_budget(mut self, rows: u64) -> Self {
        self.work_budget = rows;
        self
    }
}

impl Placement for Balanced {
    fn place(
        &self,
        topology: &Topology,
        spec: &Spec,
        previous: Option<&Table>,
    ) -> Result<Plan, PlacementError> {
        let members = members(topology, spec, previous)?;
        let problem = Problem::new(members, previous);
        let mut budget = self.work_budget;
        let (mut rows, bound) = match &problem.old {
            None => (initial::deal(&problem), Bound::by_counts(problem.copies)),
            Some(old) => incremental(&problem, old, &mut budget),
        };
        // Roles always get their share of the work, whatever the copies took.
        let mut budget = budget.max(self.work_budget / 4);
        let assigned = primaries::assign(&problem, &mut rows, &mut budget);
        if assigned == Settled::Done && problem.boxes.holds(&rows.counts) {
            alternate::improve(&problem, &mut rows, budget);
        }

        let roles_within = problem.needs.are_uneven() || problem.lead_boxes.holds(&rows.led);
        let within = problem.boxes.holds(&rows.counts) && roles_within;
        let degraded = falls_short(&problem, &rows);
        let nodes: Vec<NodeId> = problem
            .members
            .list
            .iter()
            .map(|member| member.node.id.clone())
            .collect();
        let cells = rows.into_cells(&problem);
        let table = Table::from_cells(nodes, spec.replication_factor(), cells)
            .expect("planned rows are whole and name each node once");
        let Bound {
            lower_bound,
            proved,
            certificate,
        } = bound;
        let proof = Proof {
            lower_bound,
            proved,
            within,
            degraded,
            certificate,
        };
        Plan::assemble(table, previous, proof)
    }
}

/// How many moves are proved to be needed, and why.
struct Bound {
    lower_bound: u64,
    proved: u64,
    certificate: Certificate,
}

impl Bound {
    fn by_counts(lower_bound: u64) -> Self {
        Self {
            lower_bound,
            proved: lower_bound,
            certificate: Certificate::Counts,
        }
    }
}

/// Rows within quota, starting from surviving ones, and how many moves that takes at least.
fn incremental(problem: &Problem<'_>, old: &Old, budget: &mut u64) -> (Rows, Bound) {
    let (rows, kept) = survivors::keep(problem, old, budget);
    let wanted: u64 = problem
        .targets
        .iter()
        .zip(&problem.members.list)
        .map(|(target, member)| u64::from(member.held.min(*target)))
        .sum();
    let lower_bound = problem.copies - kept.min(wanted);
    let mut quick = close(problem, rows, true, budget);
    direct::settle(problem, &mut quick);
    quick = close(problem, quick, false, budget);
    let evened = problem.boxes.holds(&quick.counts);
    if evened && moved(problem, &quick) == lower_bound {
        return (quick, Bound::by_counts(lower_bound));
    }

    // From the start again: what was moved one by one need not be of least cost.
    let (rows, _) = survivors::keep(problem, old, budget);
    let mut balance = Balance::new(&rows.counts, &problem.boxes);
    let mut exchange = Exchange::new(problem, rows);
    settle(&mut exchange, &mut balance, budget);
    let exact = moved(problem, &exchange.rows);
    let off = |rows: &Rows| !problem.boxes.holds(&rows.counts);
    if evened && (off(&exchange.rows) || moved(problem, &quick) < exact) {
        exchange.rows = quick;
    }
    // The proof is made from the result, whichever way that was found.
    exchange.count_moves_only();
    let mut allowance = (*budget).max(exchange.rows.leads.len() as u64 * 64);
    let bound = match prices(&exchange, &exchange.rows.counts, &mut allowance) {
        Some(prices) => {
            let proved = u64::try_from(bound(problem, &prices))
                .unwrap_or(0)
                .max(lower_bound);
            Bound {
                lower_bound,
                proved,
                certificate: Certificate::Prices(prices),
            }
        }
        None => Bound::by_counts(lower_bound),
    };
    (exchange.rows, bound)
}

/// Exchanges through rows that have new copies anyway, as far as they lead to the targets; with
/// `fresh` those alone, else also out of rows of a node above its target.
fn close(problem: &Problem<'_>, rows: Rows, fresh: bool, budget: &mut u64) -> Rows {
    if rows.counts == problem.targets {
        return rows;
    }
    let targets = Boxes {
        low: problem.targets.clone(),
        high: problem.targets.clone(),
    };
    let mut balance = Balance::new(&rows.counts, &targets);
    let mut exchange = Exchange::close(problem, rows, fresh);
    settle(&mut exchange, &mut balance, budget);
    exchange.rows
}

/// Copies that were not there before.
fn moved(problem: &Problem<'_>, rows: &Rows) -> u64 {
    let fresh = |partition: usize| {
        rows.row(partition)
            .iter()
            .filter(|m| !problem.had(partition, **m))
            .count() as u64
    };
    (0..problem.partitions())
        .filter(|partition| rows.touched[*partition])
        .map(fresh)
        .sum()
}

/// Whether a row has too few copies or touches too few domains for the spec.
fn falls_short(problem: &Problem<'_>, rows: &Rows) -> bool {
    let spec = &problem.members.spec;
    let (copies, spread) = (
        usize::from(spec.replication_factor()),
        usize::from(spec.spread()),
    );
    if let Needs::Same(need) = &problem.needs
        && (usize::from(need.copies) < copies || usize::from(need.domains) >= spread)
    {
        return usize::from(need.copies) < copies;
    }
    (0..problem.partitions()).any(|partition| {
        let row = rows.row(partition);
        row.len() < copies || (spread > 1 && problem.spans(row.iter().copied()) < spread)
    })
}
