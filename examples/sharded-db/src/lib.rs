//! A sharded SQL database: one SQLite file for each partition, on a cluster of nodes.
//!
//! Statements are routed by a key of the caller's choice; whatever has one key is in one file, and is
//! changed in transactions. `POST /schema` changes the schema of all partitions, `POST /query` asks
//! all of them. When a partition moves, its file follows without a request being refused for longer
//! than a commit takes.
//!
//! What it does *not* do: transactions over several keys' partitions, several copies of a partition
//! (a partition whose node is down waits for it), or access control.
#![deny(missing_docs)]

mod app;
mod config;
mod copying_in;
mod copying_out;
pub mod file;
mod front;
mod handler;
mod line;
mod problems;
mod query;
mod routes;
mod schema;
mod serving;
mod shipping;
mod store;
#[cfg(test)]
mod tests;

pub use app::Sql;
pub use config::SqlConfig;
