//! The table in bincode, for whoever reads many of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{TableAnswer, TableMember, TableRow};

/// The format that is written. Another layout gets another number.
pub const TABLE_BINARY_FORMAT: u16 = 1;

/// States by their number in the binary form.
const STATES: [&str; 4] = ["stable", "moving", "degraded", "unavailable"];

/// The table in format 1, field by field as bincode 2 writes them in its standard configuration:
/// little-endian, integers of variable length, a length before each list and text, one byte before
/// what may be absent. The first field tells the format, so that a reader of another one stops there.
///
/// Never changed once released: a field more makes another format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableBinary {
    /// [`TABLE_BINARY_FORMAT`].
    pub format: u16,
    /// Incarnation of the cluster.
    pub incarnation: u64,
    /// Version of the table.
    pub version: u64,
    /// Copies asked for of each partition.
    pub replication_factor: u32,
    /// How keys are hashed: `xxh3` or `md5-mod`.
    pub hash: String,
    /// Number of partitions there are, or will be.
    pub partitions: u32,
    /// The members, in order of member number.
    pub members: Vec<BinaryMember>,
    /// The rows, in order of partition number; empty before the partitions are created.
    pub rows: Vec<BinaryRow>,
}

/// A member in format 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BinaryMember {
    /// Its member number.
    pub member: u64,
    /// Its node id.
    pub id: String,
    /// Its HTTP address; empty without one.
    pub http: String,
    /// Services: name to address.
    pub services: BTreeMap<String, String>,
    /// Failure domain; absent means the node is its own.
    pub domain: Option<String>,
    /// Share of the copies relative to the others'.
    pub weight: u32,
    /// Its status, as in `GET /nodes`.
    pub status: String,
}

/// A row in format 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BinaryRow {
    /// Grants of its primary role so far.
    pub epoch: u64,
    /// 0 stable, 1 moving, 2 degraded, 3 unavailable.
    pub state: u8,
    /// Member number of the node that may act; absent while nobody may.
    pub primary: Option<u64>,
    /// Member numbers of the other copies, in order of preference.
    pub replicas: Vec<u64>,
}

impl From<&TableAnswer> for TableBinary {
    fn from(table: &TableAnswer) -> Self {
        Self {
            format: TABLE_BINARY_FORMAT,
            incarnation: table.incarnation,
            version: table.version,
            replication_factor: table.replication_factor,
            hash: table.hash_config.hash.clone(),
            partitions: table.hash_config.partitions,
            members: table.members.iter().map(BinaryMember::from).collect(),
            rows: table.rows.iter().map(BinaryRow::from).collect(),
        }
    }
}

impl From<&TableMember> for BinaryMember {
    fn from(member: &TableMember) -> Self {
        Self {
            member: member.member,
            id: member.id.clone(),
            http: member.http.clone(),
            services: member.services.clone(),
            domain: member.domain.clone(),
            weight: member.weight,
            status: member.status.clone(),
        }
    }
}

impl From<&TableRow> for BinaryRow {
    fn from(row: &TableRow) -> Self {
        let state = STATES.iter().position(|name| *name == row.state);
        let worst = STATES.len() - 1;
        Self {
            epoch: row.epoch,
            state: u8::try_from(state.unwrap_or(worst)).unwrap_or(u8::MAX),
            primary: row.primary,
            replicas: row.replicas.clone(),
        }
    }
}

impl BinaryRow {
    /// The state's name, as in JSON; none for a number that has none.
    #[must_use]
    pub fn state_name(&self) -> Option<&'static str> {
        STATES.get(usize::from(self.state)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_keeps_its_name() {
        for name in STATES {
            let row = TableRow {
                state: name.into(),
                ..TableRow::default()
            };
            assert_eq!(BinaryRow::from(&row).state_name(), Some(name));
        }
        let strange = TableRow {
            state: "later".into(),
            ..TableRow::default()
        };
        assert_eq!(
            BinaryRow::from(&strange).state_name(),
            Some("unavailable"),
            "never taken for a better one"
        );
    }
}
