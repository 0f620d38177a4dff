//! What every [`Placement`] has to satisfy, as a suite that any strategy can be run through.
//!
//! Meant for tests; the library itself does not use it.
//!
//! ```
//! use ck_core::{Rendezvous, conformance};
//! conformance::check(&Rendezvous::weighted())?;
//! # Ok::<(), conformance::Violation>(())
//! ```

mod cases;

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::{Node, NodeState, Placement, PlacementError, Plan, Row, Spec, Table, Topology};
use cases::Case;

/// A clause of the contract that a strategy broke.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{clause:?} is violated in the case `{case}`: {detail}")]
pub struct Violation {
    /// The clause.
    pub clause: Clause,
    /// The situation in which it was broken.
    pub case: String,
    /// What was found, and what was expected.
    pub detail: String,
}

/// The clauses of [`Placement`]'s contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Clause {
    /// As many rows as partitions; each of distinct nodes of the topology, as many as there can be.
    Valid,
    /// Rows touch as many failure domains as the spread asks for and the nodes allow.
    Spread,
    /// Nothing on a node that is draining or down, nothing new on a cordoned one.
    States,
    /// A plan is marked degraded exactly when a row is too short or too narrow.
    Degraded,
    /// The same arguments give the same plan.
    Deterministic,
    /// The order in which nodes are listed does not matter.
    Order,
    /// The plan's figures are those of its table.
    Figures,
    /// What cannot be placed is refused, and nothing else.
    Refusals,
}

/// Runs `strategy` through every case.
///
/// # Errors
/// The first [`Violation`] found.
pub fn check(strategy: &dyn Placement) -> Result<(), Violation> {
    for case in cases::all() {
        case.check(strategy)?;
    }
    refusals(strategy)
}

impl Case {
    fn check(&self, strategy: &dyn Placement) -> Result<(), Violation> {
        let mut previous: Option<Table> = None;
        for (step, (nodes, spec)) in self.steps.iter().enumerate() {
            let at = At {
                case: &self.name,
                step,
            };
            let topology = at.topology(nodes.clone())?;
            let plan = at.place(strategy, &topology, spec, previous.as_ref())?;
            at.rows(&plan, &topology, spec, previous.as_ref())?;
            at.figures(&plan, &topology, spec, previous.as_ref())?;

            let again = at.place(strategy, &topology, spec, previous.as_ref())?;
            at.expect(Clause::Deterministic, again == plan, || {
                "two calls differ".into()
            })?;
            let reversed = at.topology(nodes.iter().rev().cloned().collect())?;
            let relisted = previous.as_ref().map(relisted);
            let other = at.place(strategy, &reversed, spec, relisted.as_ref())?;
            at.expect(Clause::Order, same_rows(&other.table, &plan.table), || {
                "nodes listed in another order are placed otherwise".into()
            })?;
            previous = Some(plan.table);
        }
        Ok(())
    }
}

/// Where in the suite a check is made.
struct At<'a> {
    case: &'a str,
    step: usize,
}

impl At<'_> {
    fn expect(
        &self,
        clause: Clause,
        holds: bool,
        detail: impl FnOnce() -> String,
    ) -> Result<(), Violation> {
        if holds {
            return Ok(());
        }
        let case = format!("{}, step {}", self.case, self.step);
        Err(Violation {
            clause,
            case,
            detail: detail(),
        })
    }

    fn refuse<T>(&self, clause: Clause, detail: String) -> Result<T, Violation> {
        let case = format!("{}, step {}", self.case, self.step);
        Err(Violation {
            clause,
            case,
            detail,
        })
    }

    fn topology(&self, nodes: Vec<Node>) -> Result<Topology, Violation> {
        Topology::new(nodes).or_else(|error| self.refuse(Clause::Valid, format!("{error}")))
    }

    fn place(
        &self,
        strategy: &dyn Placement,
        topology: &Topology,
        spec: &Spec,
        previous: Option<&Table>,
    ) -> Result<Plan, Violation> {
        strategy
            .place(topology, spec, previous)
            .or_else(|error| self.refuse(Clause::Refusals, format!("refused: {error}")))
    }

    fn rows(
        &self,
        plan: &Plan,
        topology: &Topology,
        spec: &Spec,
        previous: Option<&Table>,
    ) -> Result<(), Violation> {
        let (got, asked) = (plan.table.partitions(), spec.partitions());
        self.expect(Clause::Valid, got == asked, || {
            format!("{got} rows, not {asked}")
        })?;
        let mut short = false;
        for row in plan.table.rows() {
            let before = previous.and_then(|table| table.row(row.partition()));
            short |= self.row(row, before, topology, spec)?;
        }
        self.expect(Clause::Degraded, plan.degraded == short, || {
            format!("marked {}, but a row falls short: {short}", plan.degraded)
        })
    }

    /// Checks one row; tells whether it falls short of the spec.
    fn row(
        &self,
        row: Row<'_>,
        before: Option<Row<'_>>,
        topology: &Topology,
        spec: &Spec,
    ) -> Result<bool, Violation> {
        let held = |node: &Node| before.is_some_and(|row| row.contains(node.id.as_str()));
        let usable = |node: &&Node| match node.state {
            NodeState::Active => true,
            NodeState::Cordoned => held(node),
            NodeState::Draining | NodeState::Down => false,
        };
        for id in row.nodes() {
            let Some(node) = topology.node(id.as_str()) else {
                return self.refuse(
                    Clause::Valid,
                    format!("{row:?}: {id} is not in the topology"),
                );
            };
            let state = node.state;
            self.expect(Clause::States, usable(&node), || {
                format!("{row:?}: {id} is {state}")
            })?;
        }
        let allowed: Vec<&Node> = topology.nodes().iter().filter(usable).collect();
        let limit = usize::from(spec.replication_factor());
        let copies = row.nodes().len();
        let due = limit.min(allowed.len());
        let enough = copies == due;
        self.expect(Clause::Valid, enough, || {
            format!("{row:?}: {copies} copies, not {due}")
        })?;
        let placed: Vec<&Node> = row
            .nodes()
            .filter_map(|id| topology.node(id.as_str()))
            .collect();
        let (touched, reachable) = (domains(&placed), domains(&allowed));
        let spread = usize::from(spec.spread());
        let due = spread.min(reachable).min(copies);
        self.expect(Clause::Spread, touched >= due, || {
            format!("{row:?}: {touched} failure domains, not {due}")
        })?;
        Ok(copies < limit || touched < spread)
    }

    fn figures(
        &self,
        plan: &Plan,
        topology: &Topology,
        spec: &Spec,
        previous: Option<&Table>,
    ) -> Result<(), Violation> {
        let measured = Plan::new(plan.table.clone(), topology, spec, previous)
            .or_else(|error| self.refuse(Clause::Figures, format!("{error}")))?;
        let figures = |plan: &Plan| (plan.copies_moved, plan.primaries_changed, plan.lower_bound);
        let (got, due) = (figures(plan), figures(&measured));
        self.expect(Clause::Figures, got == due, || {
            format!("moved, changed, bound are {got:?}, but the table's are {due:?}")
        })?;
        let sound = plan.copies_moved >= plan.lower_bound || !plan.optimal;
        self.expect(
            Clause::Figures,
            sound && (!plan.optimal || plan.gap == 0),
            || format!("optimal with {got:?} and a gap of {}", plan.gap),
        )
    }
}

/// Failure domains of some nodes: the widest segment, or one of its own.
fn domains(nodes: &[&Node]) -> usize {
    let named: BTreeSet<&str> = nodes
        .iter()
        .filter_map(|node| node.domain.as_ref())
        .map(crate::topology::Domain::widest)
        .collect();
    named.len() + nodes.iter().filter(|node| node.domain.is_none()).count()
}

/// The same rows, over a node list that holds one id more, so that indexes differ.
fn relisted(table: &Table) -> Table {
    let mut nodes = table.nodes().to_vec();
    let extra = cases::id("!");
    let at = nodes.binary_search(&extra).unwrap_or_else(|at| at);
    nodes.insert(at, extra);
    let shift = |cell: &u32| {
        if *cell as usize >= at && *cell != u32::MAX {
            cell + 1
        } else {
            *cell
        }
    };
    let cells = table.cells().iter().map(shift).collect();
    Table::from_cells(nodes, table.width(), cells).unwrap_or_else(|_| table.clone())
}

fn same_rows(a: &Table, b: &Table) -> bool {
    a.partitions() == b.partitions() && a.rows().zip(b.rows()).all(|(a, b)| a.nodes().eq(b.nodes()))
}

/// What has to be refused.
fn refusals(strategy: &dyn Placement) -> Result<(), Violation> {
    let at = At {
        case: "refusals",
        step: 0,
    };
    let spec = cases::spec(8, 2, 1);
    let down = |name| Node::new(cases::id(name)).with_state(NodeState::Down);
    let cordoned = Node::new(cases::id("c")).with_state(NodeState::Cordoned);
    for nodes in [Vec::new(), [down("a"), down("b")].into(), [cordoned].into()] {
        let topology = at.topology(nodes)?;
        let count = topology.nodes().len();
        let refused = matches!(
            strategy.place(&topology, &spec, None),
            Err(PlacementError::NoUsableNode { nodes }) if nodes == count
        );
        at.expect(Clause::Refusals, refused, || {
            format!("{topology:?} has no usable node")
        })?;
    }
    let topology = at.topology([Node::new(cases::id("a"))].into())?;
    let plan = at.place(strategy, &topology, &spec, None)?;
    let other = cases::spec(9, 2, 1);
    let refused = strategy.place(&topology, &other, Some(&plan.table))
        == Err(PlacementError::Partitions {
            previous: 8,
            spec: 9,
        });
    at.expect(Clause::Refusals, refused, || {
        "8 partitions cannot become 9".into()
    })
}
