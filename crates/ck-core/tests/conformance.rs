//! Every strategy of this crate against the contract, and strategies that break it.

use ck_core::conformance::{Clause, check};
use ck_core::{Balanced, Placement, PlacementError, Plan, Rendezvous, Ring, Spec, Table, Topology};

#[test]
fn balanced_keeps_the_contract() {
    check(&Balanced::new()).unwrap();
    check(&Balanced::new().with_work_budget(0)).unwrap();
}

#[test]
fn rendezvous_keeps_the_contract() {
    check(&Rendezvous::weighted()).unwrap();
    check(&Rendezvous::md5()).unwrap();
}

#[test]
fn ring_keeps_the_contract() {
    check(&Ring::new()).unwrap();
    check(&Ring::new().with_slack_per_mille(0).with_points(0)).unwrap();
}

/// A strategy that spoils the plans of another one.
struct Spoilt<F>(F);

impl<F: Fn(Plan, &Topology, &Spec, Option<&Table>) -> Plan> Placement for Spoilt<F> {
    fn place(
        &self,
        topology: &Topology,
        spec: &Spec,
        previous: Option<&Table>,
    ) -> Result<Plan, PlacementError> {
        let plan = Rendezvous::weighted().place(topology, spec, previous)?;
        Ok((self.0)(plan, topology, spec, previous))
    }
}

fn broken(spoil: impl Fn(Plan, &Topology, &Spec, Option<&Table>) -> Plan) -> Clause {
    check(&Spoilt(spoil)).unwrap_err().clause
}

fn replaced(plan: Plan, cells: Vec<u32>) -> Plan {
    let table = Table::from_cells(plan.table.nodes().to_vec(), plan.table.width(), cells).unwrap();
    let mut plan = plan;
    plan.table = table;
    plan
}

#[test]
fn a_short_row_is_found() {
    let clause = broken(|plan, _, _, _| {
        let mut cells = plan.table.cells().to_vec();
        let last = usize::from(plan.table.width()) - 1;
        cells[last] = u32::MAX;
        replaced(plan, cells)
    });
    assert_eq!(clause, Clause::Valid);
}

#[test]
fn a_narrow_row_is_found() {
    let clause = broken(|plan, topology, spec, previous| {
        let flat = Spec::new(spec.partitions(), spec.replication_factor(), 1).unwrap();
        let _ = plan;
        Rendezvous::weighted()
            .place(topology, &flat, previous)
            .unwrap()
    });
    assert!(
        matches!(clause, Clause::Spread | Clause::Degraded),
        "{clause:?}"
    );
}

#[test]
fn a_copy_on_a_draining_node_is_found() {
    let clause = broken(|plan, topology, spec, previous| {
        let all = topology.nodes().iter().cloned();
        let all = all.map(|node| node.with_state(ck_core::NodeState::Active));
        let _ = plan;
        Rendezvous::weighted()
            .place(&Topology::new(all).unwrap(), spec, previous)
            .unwrap()
    });
    assert_eq!(clause, Clause::States);
}

#[test]
fn wrong_figures_are_found() {
    let clause = broken(|mut plan, _, _, _| {
        plan.copies_moved += 1;
        plan
    });
    assert_eq!(clause, Clause::Figures);
    let clause = broken(|mut plan, _, _, _| {
        plan.degraded = !plan.degraded;
        plan
    });
    assert_eq!(clause, Clause::Degraded);
}

#[test]
fn dependence_on_anything_else_is_found() {
    let calls = core::cell::Cell::new(0_usize);
    let clause = broken(|plan, _, _, _| {
        calls.set(calls.get() + 1);
        let mut cells = plan.table.cells().to_vec();
        let row = plan
            .table
            .row(ck_core::PartitionId(0))
            .unwrap()
            .indexes()
            .len();
        if row > 0 {
            cells[..row].rotate_left(calls.get() % row);
        }
        replaced(plan, cells)
    });
    assert!(
        matches!(clause, Clause::Deterministic | Clause::Figures),
        "{clause:?}"
    );
}

#[test]
fn dependence_on_the_node_list_of_the_table_is_found() {
    let clause = broken(|plan, topology, spec, previous| {
        let listed = previous.map_or(0, |table| table.nodes().len());
        let mut cells = plan.table.cells().to_vec();
        let row = plan
            .table
            .row(ck_core::PartitionId(0))
            .unwrap()
            .indexes()
            .len();
        if row > 1 {
            cells[..row].rotate_left(listed % row);
        }
        Plan::new(replaced(plan, cells).table, topology, spec, previous).unwrap()
    });
    assert_eq!(clause, Clause::Order);
}
