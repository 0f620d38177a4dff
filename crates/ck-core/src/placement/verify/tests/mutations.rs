//! Every way to falsify a plan that this file lists is refused.

use super::*;

/// What is to be refused: a name, the change, and what the refusal is about.
type Mutation = (&'static str, fn(&mut Plan), fn(&VerifyError) -> bool);

fn edit(plan: &mut Plan, edit: impl FnOnce(&mut [Vec<u32>])) {
    let mut rows: Vec<Vec<u32>> = plan
        .table
        .rows()
        .map(|row| row.indexes().to_vec())
        .collect();
    edit(&mut rows);
    let cells = |row: &Vec<u32>| {
        let mut row = row.clone();
        row.resize(3, u32::MAX);
        row
    };
    let cells = rows.iter().flat_map(cells).collect();
    plan.table = Table::from_cells(plan.table.nodes().to_vec(), 3, cells).unwrap();
}

/// Puts another node into the table's list of names, and so into all of a node's rows.
fn rename(plan: &mut Plan, name: &str) {
    let mut ids = plan.table.nodes().to_vec();
    ids[9] = NodeId::new(name).unwrap();
    plan.table = Table::from_cells(ids, 3, plan.table.cells().to_vec()).unwrap();
}

/// Two rows trade whatever they do not share: counts stay, moves do not.
fn trade(rows: &mut [Vec<u32>]) {
    let other = (1..rows.len()).find(|at| rows[*at].iter().all(|m| !rows[0].contains(m)));
    rows.swap(0, other.unwrap());
}

const FALSE_FIGURE: fn(&VerifyError) -> bool = |e| matches!(e, VerifyError::Figure { .. });
const UNPROVED: fn(&VerifyError) -> bool = |e| matches!(e, VerifyError::Unproved { .. });

const MUTATIONS: &[Mutation] = &[
    (
        "a copy is left out",
        |p| edit(p, |rows| rows[4].truncate(2)),
        |e| {
            matches!(
                e,
                VerifyError::Copies {
                    got: 2,
                    expected: 3,
                    ..
                }
            )
        },
    ),
    (
        "a row is empty",
        |p| edit(p, |rows| rows[4].clear()),
        |e| matches!(e, VerifyError::Copies { got: 0, .. }),
    ),
    (
        "a node that nobody knows",
        |p| rename(p, "stranger"),
        |e| matches!(e, VerifyError::UnknownNode { .. }),
    ),
    (
        "a node that is down",
        |p| rename(p, "out"),
        |e| matches!(e, VerifyError::State { .. }),
    ),
    ("two rows exchanged", |p| edit(p, trade), FALSE_FIGURE),
    (
        "two copies of a row exchanged",
        |p| edit(p, |rows| rows[7].swap(0, 1)),
        FALSE_FIGURE,
    ),
    ("fewer moves stated", |p| p.copies_moved -= 1, FALSE_FIGURE),
    ("more moves stated", |p| p.copies_moved += 1, FALSE_FIGURE),
    (
        "fewer changes stated",
        |p| p.primaries_changed = p.primaries_changed.wrapping_sub(1),
        FALSE_FIGURE,
    ),
    (
        "degraded although it is not",
        |p| p.degraded = true,
        FALSE_FIGURE,
    ),
    (
        "a bound that is too high",
        |p| p.lower_bound = p.copies_moved,
        FALSE_FIGURE,
    ),
    (
        "a bound that is too low",
        |p| p.lower_bound -= 1,
        FALSE_FIGURE,
    ),
    ("a gap where there is none", |p| p.gap = 1, FALSE_FIGURE),
    (
        "a proof by counts that do not suffice",
        |p| p.certificate = Certificate::Counts,
        UNPROVED,
    ),
    (
        "prices that prove nothing",
        |p| p.certificate = Certificate::Prices(vec![0; 10]),
        UNPROVED,
    ),
    (
        "prices beyond all measure",
        |p| p.certificate = Certificate::Prices(vec![i64::MAX, i64::MIN, 0, 0, 0, 0, 0, 0, 0, 0]),
        UNPROVED,
    ),
    (
        "a price too few",
        |p| p.certificate = Certificate::Prices(vec![0; 9]),
        |e| {
            matches!(
                e,
                VerifyError::Prices {
                    got: 9,
                    expected: 10
                }
            )
        },
    ),
];

#[test]
fn every_mutation_is_refused() {
    let (topology, spec, previous, plan) = hard();
    let mut list = topology.nodes().to_vec();
    list.push(Node::new(NodeId::new("out").unwrap()).with_state(NodeState::Down));
    let topology = Topology::new(list).unwrap();
    plan.verify(&topology, &spec, Some(&previous)).unwrap();
    for (name, mutate, expected) in MUTATIONS {
        let mut mutated = plan.clone();
        mutate(&mut mutated);
        let found = mutated.verify(&topology, &spec, Some(&previous));
        let found = found.expect_err(name);
        assert!(expected(&found), "{name}: {found}");
    }
    assert!(MUTATIONS.len() >= 10);
}
