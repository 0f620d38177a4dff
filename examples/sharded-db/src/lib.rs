//! A sharded SQL database.

pub mod file;
