//! Tolerance and the least maximum: what counts may be instead of the quota, and what that saves.

use ck_core::{
    Balanced, Evenness, Node, NodeId, Placement, Plan, Spec, SpecError, Table, Topology,
    VerifyError,
};

fn topology(weights: &[u32]) -> Topology {
    let node = |(at, weight): (usize, &u32)| {
        Node::new(NodeId::new(&format!("n{at:02}")).unwrap()).with_weight(*weight)
    };
    Topology::new(weights.iter().enumerate().map(node)).unwrap()
}

fn place(topology: &Topology, spec: &Spec, previous: Option<&Table>) -> Plan {
    let plan = Balanced::new().place(topology, spec, previous).unwrap();
    plan.verify(topology, spec, previous).unwrap();
    assert!(plan.optimal);
    plan
}

fn copies(plan: &Plan, topology: &Topology, spec: &Spec) -> Vec<u32> {
    let stats = plan.table.stats(topology, spec);
    stats.nodes.iter().map(|node| node.copies).collect()
}

#[test]
fn tolerance_saves_the_moves_that_lie_within_it() {
    let spec = Spec::new(1000, 3, 1).unwrap();
    let (before, after) = (topology(&[1; 10]), topology(&[1; 11]));
    let first = place(&before, &spec, None);
    let exact = place(&after, &spec, Some(&first.table));
    assert_eq!(
        exact.copies_moved, 272,
        "⌊3000 ÷ 11⌋ for the node that joins"
    );
    // A share of 272.7, less a tenth, is 245.4; ten nodes may keep up to 300 = ⌈272.7 × 1.1⌉.
    let loose = spec.with_tolerance(100).unwrap();
    let plan = place(&after, &loose, Some(&first.table));
    assert_eq!(plan.copies_moved, 245);
    assert_eq!(copies(&plan, &after, &loose)[10], 245);
    let found = plan.verify(&after, &spec, Some(&first.table)).unwrap_err();
    assert!(matches!(found, VerifyError::Quota { .. }), "{found}");
    // Nothing is spent on balance that the tolerance does not ask for.
    let again = place(&after, &loose, Some(&plan.table));
    assert_eq!((again.copies_moved, again.primaries_changed), (0, 0));
}

#[test]
fn a_first_placement_is_as_even_as_without_tolerance() {
    let nodes = topology(&[1, 2, 3, 40, 7]);
    let spec = Spec::new(256, 2, 1).unwrap();
    let loose = spec.with_tolerance(250).unwrap();
    let plan = place(&nodes, &loose, None);
    plan.verify(&nodes, &spec, None).unwrap();
    assert_eq!(plan.table.stats(&nodes, &loose).copies_off_quota, 0);
}

#[test]
fn a_plan_beyond_the_tolerance_is_refused() {
    let spec = Spec::new(1000, 3, 1).unwrap();
    let (before, after) = (topology(&[1; 10]), topology(&[1; 11]));
    let first = place(&before, &spec, None);
    let loose = spec.with_tolerance(200).unwrap();
    let plan = place(&after, &loose, Some(&first.table));
    let tight = spec.with_tolerance(100).unwrap();
    let found = plan.verify(&after, &tight, Some(&first.table)).unwrap_err();
    assert!(
        matches!(
            found,
            VerifyError::Quota {
                got: 218,
                low: 245,
                high: 300,
                ..
            }
        ),
        "{found}"
    );
}

#[test]
fn the_least_maximum_may_leave_a_newcomer_empty() {
    let spec = Spec::new(10, 2, 1).unwrap().with_least_maximum();
    assert_eq!(spec.evenness(), Evenness::LeastMaximum);
    let (before, after) = (topology(&[3, 3, 3]), topology(&[3, 3, 3, 1]));
    let first = place(&before, &spec, None);
    let plan = place(&after, &spec, Some(&first.table));
    // Seven copies on a weight of three is the least that the largest can be without the newcomer;
    // it takes two for six to do.
    let held = copies(&plan, &after, &spec);
    assert!(held[..3].iter().all(|count| *count <= 6), "{held:?}");
    assert_eq!(plan.copies_moved, 2);
    let quota = Spec::new(10, 2, 1).unwrap();
    assert!(place(&after, &quota, Some(&first.table)).copies_moved <= 2);
}

#[test]
fn only_one_way_to_be_even_can_be_asked_for() {
    let read = |more: &str| {
        let text = format!(r#"{{"partitions":8,"replication_factor":2,{more}}}"#);
        serde_json::from_str::<Spec>(&text)
    };
    let spec = read(r#""tolerance_permille":50"#).unwrap();
    assert_eq!(spec.tolerance_permille(), 50);
    let written = serde_json::to_string(&spec).unwrap();
    assert!(written.contains(r#""tolerance_permille":50"#), "{written}");
    assert_eq!(serde_json::from_str::<Spec>(&written).unwrap(), spec);
    for both in [
        r#""strict":true,"tolerance_permille":50"#,
        r#""least_maximum":true,"tolerance_permille":50"#,
        r#""strict":true,"least_maximum":true"#,
    ] {
        let error = read(both).unwrap_err();
        assert!(error.to_string().contains("exclude one another"), "{error}");
    }
    let error = Spec::new(8, 2, 1)
        .unwrap()
        .with_tolerance(1001)
        .unwrap_err();
    assert_eq!(error, SpecError::Tolerance { got: 1001 });
    assert_eq!(spec.with_strict(true).evenness(), Evenness::Strict);
    assert_eq!(spec.with_strict(false), spec);
}
