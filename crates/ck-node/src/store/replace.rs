use serde::Serialize;

use super::writer::Job;
use super::{Store, StoreError};
use crate::codec;

/// What takes the place of a store's log and snapshot.
#[derive(Debug, Default)]
pub(crate) struct Replacement {
    /// Names with their records.
    pub(super) values: Vec<(&'static str, Vec<u8>)>,
    /// Names that have no value any more.
    pub(super) without: Vec<&'static str>,
    /// The snapshot's record; absent when there is none any more.
    pub(super) snapshot: Option<Vec<u8>>,
}

impl Replacement {
    pub(crate) fn with<T: Serialize>(
        mut self,
        name: &'static str,
        value: &T,
    ) -> Result<Self, codec::CodecError> {
        self.values
            .push((name, codec::seal(&codec::encode(value)?)));
        Ok(self)
    }

    pub(crate) fn without(mut self, name: &'static str) -> Self {
        self.without.push(name);
        self
    }

    pub(crate) fn with_snapshot(mut self, bytes: &[u8]) -> Self {
        self.snapshot = Some(codec::seal(bytes));
        self
    }
}

impl Store {
    /// Throws the log and the snapshot away and puts something in their place, all at once and durably.
    pub(crate) async fn replace(&self, replacement: Replacement) -> Result<(), StoreError> {
        self.inner
            .writer
            .run(|reply| Job::Replace { replacement, reply })
            .await
    }
}
