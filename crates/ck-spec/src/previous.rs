//! The table a spec starts from, read in one pass: every node name is kept once, every row as
//! indexes, so that a million rows cost no allocation each.

use std::collections::HashMap;
use std::fmt;

use ck_core::spec::{PARTITIONS_MAX, REPLICATION_FACTOR_MAX};
use ck_core::{NodeId, PartitionId, Table};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::Refusal;

/// Filler of short rows, as `Table::from_cells` reads them.
const VACANT: u32 = u32::MAX;

/// Rows as given, in the order given.
#[derive(Debug, Default)]
pub(crate) struct Previous {
    index_of: HashMap<Box<str>, u32>,
    names: Vec<NodeId>,
    rows: Vec<RowAt>,
    cells: Vec<u32>,
}

#[derive(Debug, Clone, Copy)]
struct RowAt {
    partition: PartitionId,
    start: usize,
    length: usize,
}

impl Previous {
    /// The table these rows make.
    ///
    /// # Errors
    /// [`Refusal`] unless there is exactly one row for each of `partitions`, no node twice in one.
    pub(crate) fn into_table(self, partitions: u32) -> Result<Table, Refusal> {
        if self.rows.len() != partitions as usize {
            return Err(Refusal::new(
                "partition-count",
                "previous.partitions",
                self.rows.len(),
                format!(
                    "previous.partitions has {} rows, but partitions is {partitions}; \
                     a plan cannot change the number of partitions",
                    self.rows.len()
                ),
            ));
        }
        let width = self
            .rows
            .iter()
            .map(|row| row.length)
            .max()
            .unwrap_or(1)
            .max(1);
        let (names, rank) = sorted(self.names);
        let mut cells = vec![VACANT; self.rows.len() * width];
        let mut seen = vec![false; self.rows.len()];
        for (at, row) in self.rows.iter().enumerate() {
            let field = || format!("previous.partitions[{at}].id");
            let shown = row.partition.to_string();
            let Some(seen) = seen.get_mut(row.partition.index()) else {
                let message = format!(
                    "{}: {shown} is out of range; use partition-0 to partition-{}",
                    field(),
                    partitions - 1
                );
                return Err(Refusal::new("out-of-range", field(), shown, message));
            };
            if std::mem::replace(seen, true) {
                let message = format!("{}: {shown} appears twice; give each one row", field());
                return Err(Refusal::new("duplicate-partition", field(), shown, message));
            }
            let target = &mut cells[row.partition.index() * width..][..row.length];
            let source = &self.cells[row.start..row.start + row.length];
            for (copy, (cell, name)) in target.iter_mut().zip(source).enumerate() {
                if source[..copy].contains(name) {
                    let id = names[rank[*name as usize] as usize].as_str();
                    let field = format!("previous.partitions[{at}].replica_nodes");
                    let message = format!("{field}: node {id:?} stands twice in {shown}");
                    return Err(Refusal::new("duplicate-node", field, id, message));
                }
                *cell = rank[*name as usize];
            }
        }
        let width = u8::try_from(width).expect("rows longer than 16 are refused while reading");
        Table::from_cells(names, width, cells)
            .map_err(|error| Refusal::whole("invalid-value", format!("previous: {error}")))
    }
}

/// The names in order, and the place of each former index among them.
fn sorted(names: Vec<NodeId>) -> (Vec<NodeId>, Vec<u32>) {
    let mut order: Vec<(NodeId, usize)> = names
        .into_iter()
        .enumerate()
        .map(|(at, name)| (name, at))
        .collect();
    order.sort_unstable();
    let mut rank = vec![0; order.len()];
    for (place, (_, at)) in order.iter().enumerate() {
        rank[*at] = u32::try_from(place).expect("fewer names than cells, which are counted in u32");
    }
    (order.into_iter().map(|(name, _)| name).collect(), rank)
}

/// What an answer of `GET /partitions` or of `ck place` holds, so that either may be given back.
#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum TableField {
    Partitions,
    Count,
    Incarnation,
    Version,
    Plan,
    Stats,
}

impl<'de> Deserialize<'de> for Previous {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TableVisitor;

        impl<'de> Visitor<'de> for TableVisitor {
            type Value = Previous;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table such as {\"partitions\":[…]}")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Previous, A::Error> {
                let mut previous = Previous::default();
                let mut read = false;
                while let Some(field) = map.next_key()? {
                    match field {
                        TableField::Partitions if read => {
                            return Err(A::Error::duplicate_field("partitions"));
                        }
                        TableField::Partitions => {
                            map.next_value_seed(Rows(&mut previous))?;
                            read = true;
                        }
                        TableField::Count
                        | TableField::Incarnation
                        | TableField::Version
                        | TableField::Plan
                        | TableField::Stats => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                if read {
                    Ok(previous)
                } else {
                    Err(A::Error::missing_field("partitions"))
                }
            }
        }

        deserializer.deserialize_map(TableVisitor)
    }
}

struct Rows<'b>(&'b mut Previous);

impl<'de> DeserializeSeed<'de> for Rows<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Rows<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of partitions")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let mut scratch = Vec::new();
        while let Some(()) = seq.next_element_seed(RowSeed(self.0, &mut scratch))? {
            if self.0.rows.len() > PARTITIONS_MAX as usize {
                return Err(A::Error::custom(format_args!(
                    "more than {PARTITIONS_MAX} partitions"
                )));
            }
        }
        Ok(())
    }
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum RowField {
    Id,
    PrimaryNode,
    ReplicaNodes,
    Epoch,
    State,
}

/// One row; the second is room for the replicas, reused from row to row.
struct RowSeed<'b>(&'b mut Previous, &'b mut Vec<u32>);

impl<'de> DeserializeSeed<'de> for RowSeed<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for RowSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a partition such as {\"id\":…,\"primary_node\":…,\"replica_nodes\":[…]}")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self(previous, replicas) = self;
        replicas.clear();
        let (mut id, mut primary, mut listed) = (None, None, false);
        while let Some(field) = map.next_key()? {
            match field {
                RowField::Id if id.is_some() => return Err(A::Error::duplicate_field("id")),
                RowField::Id => id = Some(map.next_value_seed(Id)?),
                RowField::PrimaryNode if primary.is_some() => {
                    return Err(A::Error::duplicate_field("primary_node"));
                }
                RowField::PrimaryNode => primary = Some(map.next_value_seed(Primary(previous))?),
                RowField::ReplicaNodes if listed => {
                    return Err(A::Error::duplicate_field("replica_nodes"));
                }
                RowField::ReplicaNodes => {
                    map.next_value_seed(Replicas(previous, replicas))?;
                    listed = true;
                }
                RowField::Epoch | RowField::State => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        let partition = id.ok_or_else(|| A::Error::missing_field("id"))?;
        let primary = primary.flatten();
        if primary.is_none() && !replicas.is_empty() {
            return Err(A::Error::custom(
                "a row with replica_nodes needs a primary_node; leave both out for an empty row",
            ));
        }
        let start = previous.cells.len();
        previous.cells.extend(primary);
        previous.cells.extend_from_slice(replicas);
        let length = previous.cells.len() - start;
        if length > usize::from(REPLICATION_FACTOR_MAX) {
            return Err(A::Error::custom(format_args!(
                "a row of {length} copies is too long; at most {REPLICATION_FACTOR_MAX} are allowed"
            )));
        }
        previous.rows.push(RowAt {
            partition,
            start,
            length,
        });
        Ok(())
    }
}

struct Id;

impl<'de> DeserializeSeed<'de> for Id {
    type Value = PartitionId;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<PartitionId, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Id {
    type Value = PartitionId;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a partition id such as \"partition-3\"")
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<PartitionId, E> {
        value.parse().map_err(E::custom)
    }
}

/// A node's name, as its index.
struct Name<'b>(&'b mut Previous);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = u32;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<u32, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = u32;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a node id")
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<u32, E> {
        if let Some(index) = self.0.index_of.get(value) {
            return Ok(*index);
        }
        let name = NodeId::new(value).map_err(E::custom)?;
        let index = u32::try_from(self.0.names.len())
            .ok()
            .filter(|index| *index != VACANT);
        let index = index.ok_or_else(|| E::custom("too many node ids"))?;
        self.0.names.push(name);
        self.0.index_of.insert(Box::from(value), index);
        Ok(index)
    }
}

/// As [`Name`], where null and the empty text mean that there is none.
struct Primary<'b>(&'b mut Previous);

impl<'de> DeserializeSeed<'de> for Primary<'_> {
    type Value = Option<u32>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<u32>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for Primary<'_> {
    type Value = Option<u32>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a node id")
    }

    fn visit_unit<E: Error>(self) -> Result<Option<u32>, E> {
        Ok(None)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Option<u32>, E> {
        if value.is_empty() {
            Ok(None)
        } else {
            Name(self.0).visit_str(value).map(Some)
        }
    }
}

struct Replicas<'b>(&'b mut Previous, &'b mut Vec<u32>);

impl<'de> DeserializeSeed<'de> for Replicas<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Replicas<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of node ids")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(index) = seq.next_element_seed(Name(self.0))? {
            self.1.push(index);
            if self.1.len() > usize::from(REPLICATION_FACTOR_MAX) {
                return Err(A::Error::custom(format_args!(
                    "more than {REPLICATION_FACTOR_MAX} copies in a row"
                )));
            }
        }
        Ok(())
    }
}
