//! The whole table, compact, and what changes of it: `GET /table` and `GET /watch`.
//!
//! Rows name nodes by their member numbers, which are never used again; `members` says who they are.
//! A watcher is told the table once and what changed from then on:
//!
//! ```
//! use ck_api::{TableAnswer, TableDelta};
//! let mut table = TableAnswer { incarnation: 1, version: 30, ..TableAnswer::default() };
//! let delta = r#"{"incarnation":1,"from":30,"version":31,"rows":
//!   [{"partition":0,"epoch":5,"state":"stable","primary":2,"replicas":[1,3]}],"members":[],"gone":[]}"#;
//! let delta: TableDelta = serde_json::from_str(delta)?;
//! table.apply(&delta)?;
//! assert_eq!((table.version, table.rows[0].primary), (31, Some(2)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod binary;
mod change;

pub use binary::{BinaryMember, BinaryRow, TABLE_BINARY_FORMAT, TableBinary};
pub use change::{DeltaError, DeltaRow, TableDelta};

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::cluster::HashConfig;

/// Media type of [`TableBinary`], asked for by `Accept`.
pub const BINCODE: &str = "application/x-bincode";

/// Names of the events of `GET /watch`.
pub mod event {
    /// The whole table; the data is a [`TableAnswer`](super::TableAnswer).
    pub const TABLE: &str = "table";
    /// What changed; the data is a [`TableDelta`](super::TableDelta).
    pub const DELTA: &str = "delta";
    /// Something happened; the data is a [`Lifecycle`](super::Lifecycle).
    pub const LIFECYCLE: &str = "lifecycle";
    /// Nothing happened; the data is a [`Heartbeat`](super::Heartbeat).
    pub const HEARTBEAT: &str = "heartbeat";
    /// The reader was too slow and the stream ends; the data is a [`Problem`](crate::Problem).
    pub const DROPPED: &str = "dropped";
}

/// Answer to `GET /table`, and data of the event `table`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TableAnswer {
    /// Incarnation of the cluster.
    pub incarnation: u64,
    /// Version of the table.
    pub version: u64,
    /// Copies asked for of each partition.
    pub replication_factor: u32,
    /// What any language needs to compute key → partition.
    pub hash_config: HashConfig,
    /// The members, in order of member number.
    pub members: Vec<TableMember>,
    /// The rows, in order of partition number; empty before the partitions are created.
    pub rows: Vec<TableRow>,
}

/// A member, as far as one needs to know it to go there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TableMember {
    /// Its member number, never reused.
    pub member: u64,
    /// Its node id.
    pub id: String,
    /// Its HTTP address, `host:port`; empty without one.
    pub http: String,
    /// Services: name to address.
    #[serde(default)]
    pub services: BTreeMap<String, String>,
    /// Failure domain; absent means the node is its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// Share of the copies relative to the others'.
    #[serde(default)]
    pub weight: u32,
    /// Its status, as in `GET /nodes`.
    #[serde(default)]
    pub status: String,
}

/// Where one partition is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TableRow {
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

impl TableAnswer {
    /// Whether a table or a delta of that place is newer than this table. A greater incarnation is
    /// newer, whatever the version.
    #[must_use]
    pub const fn is_before(&self, incarnation: u64, version: u64) -> bool {
        self.incarnation < incarnation
            || (self.incarnation == incarnation && self.version < version)
    }

    /// The member of that number.
    #[must_use]
    pub fn member(&self, number: u64) -> Option<&TableMember> {
        let at = self.members.binary_search_by_key(&number, |one| one.member);
        at.ok().map(|at| &self.members[at])
    }

    /// Takes a change over. One that is not newer is left alone, so that the same one may come twice.
    ///
    /// # Errors
    /// [`DeltaError`] when something in between was missed: the table is as before, and has to be
    /// asked for anew.
    pub fn apply(&mut self, delta: &TableDelta) -> Result<(), DeltaError> {
        delta.apply_to(self)
    }
}

/// Data of the event `lifecycle`: something happened in the cluster. Comes after the `delta` that has
/// what it changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Lifecycle {
    /// Version of the table that has it.
    pub version: u64,
    /// What happened: `formed`, `leader`, `node-joined`, `node-left`, `node-up`, `node-down`,
    /// `node-rejoined`, `node-changed`, `partitions-created`, `plan`, `transfer`, `failover`, `config`,
    /// or `missed` where this server was not told some of it. Others may be added.
    pub kind: String,
    /// The node it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Number of the partition it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<u32>,
    /// A sentence for people.
    pub text: String,
}

/// Data of the event `heartbeat`: the stream lives, and nothing changed since the event before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Heartbeat {
    /// Version of the table.
    pub version: u64,
}
