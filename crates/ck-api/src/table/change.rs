//! What changes from one version of the table to a later one.

use serde::{Deserialize, Serialize};

use super::{TableAnswer, TableMember, TableRow};

/// Data of the event `delta`: everything that differs between two versions, whole entries. It may join
/// several versions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TableDelta {
    /// Incarnation of the cluster.
    pub incarnation: u64,
    /// The version it begins at. It applies to any table from there on, up to `version`.
    pub from: u64,
    /// The version it leads to.
    pub version: u64,
    /// Rows that changed, in order of partition number.
    pub rows: Vec<DeltaRow>,
    /// Members that are new or changed, whole, in order of member number.
    #[serde(default)]
    pub members: Vec<TableMember>,
    /// Numbers of members that are gone.
    #[serde(default)]
    pub gone: Vec<u64>,
    /// Copies asked for of each partition, when that changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replication_factor: Option<u32>,
}

/// A changed row.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DeltaRow {
    /// Number of the partition.
    pub partition: u32,
    /// Grants of its primary role so far.
    pub epoch: u64,
    /// `stable`, `moving`, `degraded` or `unavailable`.
    pub state: String,
    /// Member number of the node that may act; null while nobody may.
    pub primary: Option<u64>,
    /// Member numbers of the other copies, in order of preference; of all copies while there is no
    /// primary.
    pub replicas: Vec<u64>,
}

/// Why a change cannot be taken over. The table has to be asked for anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeltaError {
    /// It is of another incarnation of the cluster.
    #[error(
        "a change of incarnation {got} does not fit a table of {known}; ask for the table anew"
    )]
    Incarnation {
        /// The change's.
        got: u64,
        /// The table's.
        known: u64,
    },
    /// Versions between the table and the change are missing.
    #[error("a change from version {from} does not fit a table of {known}; ask for the table anew")]
    Gap {
        /// Where the change begins.
        from: u64,
        /// The table's version.
        known: u64,
    },
    /// It changes a partition that the table does not have.
    #[error(
        "a change of partition-{partition} does not fit a table of {rows} rows; ask for it anew"
    )]
    Partition {
        /// The partition's number.
        partition: u32,
        /// The table's rows.
        rows: usize,
    },
}

impl TableDelta {
    /// What leads from one table to a later one of the same incarnation with as many rows, or from one
    /// without rows to one with some. `from` and `version` are theirs.
    #[must_use]
    pub fn between(before: &TableAnswer, after: &TableAnswer) -> Self {
        let rows = (0..).zip(&after.rows);
        let changed = rows.filter(|(at, row)| {
            let old = usize::try_from(*at).ok().and_then(|at| before.rows.get(at));
            old != Some(*row)
        });
        let rows = changed.map(|(partition, row): (u32, _)| DeltaRow::of(partition, row));
        let is_new = |one: &&TableMember| before.member(one.member) != Some(*one);
        let is_gone = |one: &&TableMember| after.member(one.member).is_none();
        let factor = Some(after.replication_factor);
        Self {
            incarnation: after.incarnation,
            from: before.version,
            version: after.version,
            rows: rows.collect(),
            members: after.members.iter().filter(is_new).cloned().collect(),
            gone: before
                .members
                .iter()
                .filter(is_gone)
                .map(|one| one.member)
                .collect(),
            replication_factor: factor.filter(|factor| *factor != before.replication_factor),
        }
    }

    /// Whether nothing differs but the version.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
            && self.members.is_empty()
            && self.gone.is_empty()
            && self.replication_factor.is_none()
    }

    pub(super) fn apply_to(&self, table: &mut TableAnswer) -> Result<(), DeltaError> {
        let (known, got) = (table.incarnation, self.incarnation);
        if known != got {
            return Err(DeltaError::Incarnation { got, known });
        }
        if self.version <= table.version {
            return Ok(());
        }
        if self.from > table.version {
            let known = table.version;
            return Err(DeltaError::Gap {
                from: self.from,
                known,
            });
        }
        let grown = self.grown(table.rows.len())?;
        table.rows.resize_with(grown, TableRow::default);
        for row in &self.rows {
            // Looked at by `grown` on any machine this is built for.
            if let Some(place) = table.rows.get_mut(row.partition as usize) {
                *place = row.row();
            }
        }
        let replaced = |number: u64| {
            self.gone.contains(&number) || self.members.iter().any(|one| one.member == number)
        };
        table.members.retain(|one| !replaced(one.member));
        table.members.extend(self.members.iter().cloned());
        table.members.sort_unstable_by_key(|one| one.member);
        if let Some(factor) = self.replication_factor {
            table.replication_factor = factor;
        }
        table.version = self.version;
        Ok(())
    }

    /// How many rows there are with this change: it may create the partitions, all of them, and never
    /// some.
    fn grown(&self, rows: usize) -> Result<usize, DeltaError> {
        let creates = rows == 0 && (0..).zip(&self.rows).all(|(at, row)| row.partition == at);
        let grown = if creates { self.rows.len() } else { rows };
        let beyond = |row: &&DeltaRow| row.partition as usize >= grown;
        match self.rows.iter().find(beyond) {
            None => Ok(grown),
            Some(row) => Err(DeltaError::Partition {
                partition: row.partition,
                rows,
            }),
        }
    }
}

impl DeltaRow {
    fn of(partition: u32, row: &TableRow) -> Self {
        Self {
            partition,
            epoch: row.epoch,
            state: row.state.clone(),
            primary: row.primary,
            replicas: row.replicas.clone(),
        }
    }

    /// The row by itself.
    #[must_use]
    pub fn row(&self) -> TableRow {
        TableRow {
            epoch: self.epoch,
            state: self.state.clone(),
            primary: self.primary,
            replicas: self.replicas.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(primary: u64) -> TableRow {
        TableRow {
            epoch: 1,
            state: "stable".into(),
            primary: Some(primary),
            replicas: vec![],
        }
    }

    fn member(number: u64, status: &str) -> TableMember {
        TableMember {
            member: number,
            status: status.into(),
            ..TableMember::default()
        }
    }

    fn table() -> TableAnswer {
        TableAnswer {
            incarnation: 1,
            version: 30,
            replication_factor: 3,
            members: vec![member(1, "active"), member(4, "active")],
            rows: vec![row(1), row(4)],
            ..TableAnswer::default()
        }
    }

    fn delta(from: u64, version: u64) -> TableDelta {
        TableDelta {
            incarnation: 1,
            from,
            version,
            rows: vec![DeltaRow {
                partition: 1,
                epoch: 5,
                state: "degraded".into(),
                primary: None,
                replicas: vec![1, 3],
            }],
            members: vec![member(3, "active"), member(1, "down")],
            gone: vec![4],
            replication_factor: None,
        }
    }

    #[test]
    fn a_change_replaces_whole_entries_and_leaves_the_rest() {
        let mut now = table();
        now.apply(&delta(30, 33)).unwrap();
        assert_eq!(now.version, 33);
        assert_eq!(now.rows[0], row(1));
        assert_eq!((now.rows[1].epoch, now.rows[1].primary), (5, None));
        assert_eq!(now.members, [member(1, "down"), member(3, "active")]);
        assert_eq!(now.replication_factor, 3);
        assert_eq!(now.member(3), Some(&member(3, "active")));
        assert_eq!(now.member(4), None);
    }

    #[test]
    fn a_change_that_begins_earlier_applies_and_an_old_one_does_nothing() {
        let mut now = table();
        now.apply(&delta(12, 31)).unwrap();
        assert_eq!(now.version, 31);
        let before = now.clone();
        for old in [delta(12, 31), delta(3, 4)] {
            now.apply(&old).unwrap();
            assert_eq!(now, before);
        }
    }

    #[test]
    fn a_change_that_does_not_fit_leaves_the_table_alone() {
        let mut now = table();
        let gap = DeltaError::Gap {
            from: 31,
            known: 30,
        };
        assert_eq!(now.apply(&delta(31, 32)), Err(gap));
        let other = TableDelta {
            incarnation: 2,
            ..delta(30, 31)
        };
        assert!(matches!(
            now.apply(&other),
            Err(DeltaError::Incarnation { got: 2, known: 1 })
        ));
        let mut beyond = delta(30, 31);
        beyond.rows[0].partition = 2;
        assert!(matches!(
            now.apply(&beyond),
            Err(DeltaError::Partition {
                partition: 2,
                rows: 2
            })
        ));
        assert_eq!(now, table());
    }

    #[test]
    fn what_differs_leads_from_the_one_to_the_other() {
        let before = table();
        let mut after = table();
        after.apply(&delta(30, 33)).unwrap();
        after.replication_factor = 2;
        let found = TableDelta::between(&before, &after);
        assert_eq!((found.rows.len(), found.gone.as_slice()), (1, &[4][..]));
        assert_eq!(found.replication_factor, Some(2));
        let mut now = before.clone();
        now.apply(&found).unwrap();
        assert_eq!(now, after);
        assert!(TableDelta::between(&after, &after).is_empty() && !found.is_empty());
        let none = TableAnswer {
            rows: Vec::new(),
            ..before
        };
        let mut created = none.clone();
        created.apply(&TableDelta::between(&none, &after)).unwrap();
        assert_eq!(created, after);
    }

    #[test]
    fn the_partitions_come_all_at_once_or_not_at_all() {
        let mut now = TableAnswer {
            rows: Vec::new(),
            ..table()
        };
        assert!(now.apply(&delta(30, 31)).is_err(), "partition-1 alone");
        let mut created = delta(30, 31);
        created.rows[0].partition = 0;
        now.apply(&created).unwrap();
        assert_eq!(now.rows.len(), 1);
    }

    #[test]
    fn what_is_not_known_yet_is_read_over() {
        let text = r#"{"incarnation":1,"from":1,"version":2,"rows":[{"partition":0,"epoch":1,
            "state":"stable","primary":null,"replicas":[],"later":1}],"later":{}}"#;
        let read: TableDelta = serde_json::from_str(text).unwrap();
        assert_eq!((read.rows.len(), read.gone.len()), (1, 0));
    }
}
