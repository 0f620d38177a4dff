//! The handler under crashes, partitions, moves and everything else a seed draws.

use ck_sim::{Simulation, Verdict};
use simulated_handler::{Care, Disks, NoteKeeper};

/// Runs a seed; returns what came of it, and how many notes were acknowledged.
fn run(seed: u64, care: Care) -> (Verdict, usize) {
    let disks = Disks::default();
    let on_disk = disks.clone();
    let verdict = Simulation::new(seed)
        .nodes(4)
        .partitions(4)
        .requests(|handler: &NoteKeeper, token| handler.append(token))
        .invariant("a primary has every acknowledged note", |cluster| {
            let mut nodes = cluster.nodes();
            nodes.try_for_each(|(node, handler)| match handler.began_without().first() {
                Some((partition, lacking)) => {
                    Err(format!("{node} serves {partition} without {lacking} notes"))
                }
                None => Ok(()),
            })
        })
        .run(move |node| NoteKeeper::new(node.clone(), care, on_disk.clone()));
    (verdict, disks.acknowledged())
}

#[test]
fn a_careful_handler_loses_nothing() {
    let mut acknowledged = 0;
    for seed in 1..=40 {
        let (verdict, notes) = run(seed, Care::Careful);
        assert_eq!(verdict.violation, None, "seed {seed}: {:#?}", verdict.trace);
        acknowledged += notes;
    }
    assert!(acknowledged > 2_000, "only {acknowledged} notes");
}

#[test]
fn a_careless_one_is_caught_by_a_seed() {
    let found = (1..=40).find_map(|seed| {
        let violation = run(seed, Care::Careless).0.violation?;
        Some((seed, violation))
    });
    let (seed, violation) = found.expect("a copy without its second step loses notes");
    assert_eq!(violation.invariant, "a primary has every acknowledged note");
    // The same seed is sound with the step, and fails in the same way every time.
    assert_eq!(run(seed, Care::Careful).0.violation, None);
    assert_eq!(run(seed, Care::Careless).0.violation, Some(violation));
}
