//! A state as the table on the wire.

use ck_api::{TableAnswer, TableMember, TableRow};
use ck_control::{Member, PartitionState, State};
use ck_core::Row;

use crate::render;
use crate::view::status_word;

/// The table of a state.
pub(crate) fn image(state: &State) -> TableAnswer {
    let table = state.table();
    // Rows name nodes by their index; each is looked up once and not once a row.
    let nodes = table.map_or(&[][..], |table| table.nodes());
    let numbers: Vec<Option<u64>> = nodes
        .iter()
        .map(|node| state.member_by_node(node.as_str()))
        .map(|member| member.map(|member| member.number.0))
        .collect();
    let rows = table.into_iter().flat_map(|table| table.rows());
    TableAnswer {
        incarnation: state.incarnation().0,
        version: state.version().0,
        replication_factor: state.config().replication_factor.into(),
        hash_config: render::hash_config(state),
        members: state.members().map(member).collect(),
        rows: rows.map(|one| row(state, one, &numbers)).collect(),
    }
}

fn member(member: &Member) -> TableMember {
    TableMember {
        member: member.number.0,
        id: member.node.to_string(),
        http: member.http_address.clone(),
        services: member.services.clone(),
        domain: member.domain.as_ref().map(ToString::to_string),
        weight: member.weight,
        status: status_word(member).to_owned(),
    }
}

fn row(state: &State, row: Row<'_>, numbers: &[Option<u64>]) -> TableRow {
    let id = row.partition();
    let doing = state.partition_state(id);
    let number = |index: &u32| numbers.get(*index as usize).copied().flatten();
    let mut copies = row.indexes().iter().filter_map(number);
    // The first of the row is the one that was granted the role, where it may act at all.
    let primary = match doing {
        PartitionState::Unavailable => None,
        _ => copies.next(),
    };
    TableRow {
        epoch: state.partition(id).map_or(0, |control| control.epoch.0),
        state: doing.name().to_owned(),
        primary,
        replicas: copies.collect(),
    }
}

#[cfg(test)]
mod tests {
    use ck_control::{Command, Config};

    use super::*;
    use crate::backend::Backend as _;
    use crate::fake::Fake;

    #[test]
    fn nobody_is_the_primary_where_nobody_may_act() {
        let config = Config {
            replication_factor: 1,
            spread: 1,
            min_in_sync: 1,
            ..Config::default()
        };
        let fake = Fake::with_partitions(config, 2);
        let before = image(&fake.state());
        let session = fake.state().open_session_of("node-2").unwrap().id;
        let member = fake.state().member_by_node("node-2").unwrap().number;
        fake.apply(Command::Stop { member, session }).unwrap();
        let after = image(&fake.state());
        let mut stranded = 0;
        for (before, after) in before.rows.iter().zip(&after.rows) {
            if before.primary == Some(member.0) {
                assert_eq!((after.primary, &*after.replicas), (None, &[member.0][..]));
                assert_eq!(after.state, "unavailable");
                stranded += 1;
            } else {
                assert_eq!(after.primary, before.primary);
            }
        }
        assert!(stranded > 0);
        assert_eq!(after.member(member.0).unwrap().status, "stopped");
    }
}
