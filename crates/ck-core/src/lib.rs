//! Where data goes: keys to partitions, partitions to a primary and its replicas.
//!
//! Everything here is a pure function of its arguments. The crate is `no_std` with `alloc`; it
//! reads no clock, draws no random number, uses no floating point and opens no socket, so a
//! placement computed in a unit test is the placement computed in production.
//!
//! - A [`KeyHash`] maps a key to a partition; `vectors/keys.json` freezes it for every language.
//! - A [`Topology`] lists nodes with weights, failure domains and states, a [`Spec`] says how many
//!   partitions, copies and domains there are to be.
//! - A [`Placement`] turns both, and the table before, into a [`Plan`]: [`Balanced`] by default,
//!   [`Ring`] and [`Rendezvous`] for agreement without a table, or a strategy of your own, which
//!   [`conformance`] tests. [`Plan::verify`] checks what a plan says of itself.
//! - A [`schedule::Migration`] brings one table to the next in the fewest rounds, adding before it
//!   drops; [`schedule::Schedule::verify`] checks that.
//! - An [`explain::Explainer`] says why a copy is where it is, and why not elsewhere.
//! - A [`Table`] is the result: look-ups, differences, figures, and text for snapshot tests.
//!
//! What it does *not* do: decide who may act (that is `ck-control`), move bytes between peers
//! (`ck-transport`), or run anything (`ck-node`).
#![no_std]

extern crate alloc;

pub mod conformance;
pub mod explain;
mod fraction;
pub mod id;
pub mod key;
pub mod placement;
pub mod schedule;
pub mod spec;
pub mod table;
pub mod topology;

pub use fraction::Fraction;
pub use id::{Epoch, IdError, NodeId, PartitionId, Version};
pub use key::KeyHash;
pub use placement::{
    Balanced, Certificate, Placement, PlacementError, Plan, Rendezvous, Ring, VerifyError,
};
pub use spec::{Evenness, Spec, SpecError};
pub use table::{DiffError, Row, RowChange, Stats, Table, TableDiff, TableError, TableText};
pub use topology::{Domain, Node, NodeState, Topology, TopologyError};
