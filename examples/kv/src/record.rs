//! What is written: one change of one key.

use bytes::Bytes;

use crate::stamp::Stamp;

/// Longest key, in bytes.
pub const KEY_BYTES_MAX: usize = 1_024;

/// Longest value, in bytes.
pub const VALUE_BYTES_MAX: usize = 8 << 20;

/// What a record does to its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Sets its value.
    Put(Bytes),
    /// Takes it away.
    Delete,
    /// Nothing any more: a later record of the same batch changes the same key. Only the place in
    /// the line is kept.
    Superseded,
}

/// One change of one key, at its place in the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its place.
    pub stamp: Stamp,
    /// The key, 1 to [`KEY_BYTES_MAX`] bytes.
    pub key: Bytes,
    /// What is done.
    pub effect: Effect,
}

impl Record {
    /// Bytes it takes up, about.
    #[must_use]
    pub fn weight(&self) -> usize {
        const OVERHEAD: usize = 64;
        let value = match &self.effect {
            Effect::Put(value) => value.len(),
            Effect::Delete | Effect::Superseded => 0,
        };
        OVERHEAD + self.key.len() + value
    }
}

/// A record that may not be on every replica yet, without its value: that is in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// Its place.
    pub stamp: Stamp,
    /// Its key.
    pub key: Bytes,
}

/// A key with its value, as it is copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: Bytes,
    /// The record that set it.
    pub stamp: Stamp,
    /// Its value.
    pub value: Bytes,
}
