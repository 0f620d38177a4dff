//! Random sequences of commands, valid and hostile: no panic, no broken rule, the same everywhere.

use alloc::vec::Vec;

use proptest::prelude::*;

use super::ops::{PARTITIONS, command, one_in, op};
use super::world::{World, config, table};
use crate::Config;
use crate::state::{Applied, Command, Entry, Snapshot, State};

/// Nobody is promoted who may lack a write, but by order; and nobody without an open session.
pub(super) fn check_promotions(command: &Command, before: &State, after: &State) {
    let ordered = matches!(command, Command::Promote { .. });
    for (partition, control) in after.partitions() {
        let old = before.partition(partition);
        let Some(holder) = control
            .holder
            .filter(|new| old.and_then(|old| old.holder) != Some(*new))
        else {
            continue;
        };
        assert!(
            after.session(holder.session).is_some(),
            "{partition}: granted to nobody"
        );
        let Some(old) = old.filter(|_| !ordered) else {
            continue;
        };
        let proven = old.is_in_sync(holder.member) && !old.unproven.contains(&holder.member);
        assert!(
            proven,
            "{partition}: {} was promoted by {command:?}",
            holder.member
        );
    }
}

/// A set that is only last known stays as it is until one of its members has proof, or is removed.
fn check_last_known(command: &Command, before: &State, after: &State) {
    for (partition, new) in after.partitions() {
        let old = before
            .partition(partition)
            .filter(|old| old.last_known && new.last_known);
        let Some(old) = old.filter(|_| !matches!(command, Command::Remove { .. })) else {
            continue;
        };
        assert_eq!(old.in_sync, new.in_sync, "{partition}: {command:?}");
        assert!(
            old.unproven.iter().all(|one| new.unproven.contains(one)),
            "{partition}"
        );
    }
}

/// What happens to a plan moves nothing, and gives nobody a role.
fn check_plans(command: &Command, before: &State, after: &State) {
    if !matches!(command, Command::Rebalance { .. }) {
        return;
    }
    assert_eq!(after.table(), before.table(), "{command:?}");
    assert!(
        after.partitions().eq(before.partitions()) && after.sessions().eq(before.sessions()),
        "{command:?}"
    );
}

fn restored(state: &State) -> State {
    let settings = bincode::config::standard();
    let bytes = bincode::serde::encode_to_vec(Snapshot::of(state), settings).unwrap();
    let (snapshot, _) = bincode::serde::decode_from_slice::<Snapshot, _>(&bytes, settings).unwrap();
    snapshot.into_state().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..Default::default() })]

    #[test]
    fn random_commands_break_no_rule_and_agree_everywhere(
        unformed in one_in(20),
        uncreated in one_in(5),
        ops in prop::collection::vec(op(), 1..80),
        cut in 0..80_usize,
    ) {
        let custom = Config { custom_bytes_max: 50, members_max: 4, ..config(PARTITIONS, 3) };
        let mut world = if unformed { World::empty() } else { World::of(4, custom) };
        if !uncreated && !unformed {
            let table = table(&["1 2 3", "2 3 4", "3 4 1", "4 2"]);
            world.ok(Command::CreatePartitions { table, strategy: None });
        }
        let start = world.state.clone();
        let mut log: Vec<(Entry, Applied)> = Vec::new();
        for op in ops {
            let command = command(&world, op);
            let before = world.state.clone();
            let applied = world.apply(command.clone());
            check_promotions(&command, &before, &world.state);
            check_last_known(&command, &before, &world.state);
            check_plans(&command, &before, &world.state);
            world.position -= 1;
            log.push((world.entry(command), applied));
        }
        let (mut replica, mut late) = (start.clone(), start);
        for (at, (entry, applied)) in log.iter().enumerate() {
            if at == cut.min(log.len() - 1) {
                late = restored(&replica);
            }
            prop_assert_eq!(&replica.apply(entry).unwrap(), applied);
            if at >= cut.min(log.len() - 1) {
                prop_assert_eq!(&late.apply(entry).unwrap(), applied);
            }
        }
        prop_assert!(replica == world.state);
        prop_assert!(late == world.state);
    }
}
