//! Tables of the past, made from one that is kept and what changed after it.

use std::sync::Arc;

use ck_api::{TableAnswer, TableDelta};

/// A table of the past, as what it is made from.
pub(crate) struct Past {
    pub(super) from: Arc<TableAnswer>,
    pub(super) changes: Vec<Arc<TableDelta>>,
    pub(super) version: u64,
}

impl Past {
    /// Makes it: takes as long as there are changes.
    pub(crate) fn table(self) -> TableAnswer {
        let mut table = Arc::unwrap_or_clone(self.from);
        for change in &self.changes {
            advance(&mut table, change);
        }
        table.version = self.version;
        table
    }
}

/// Lets a change take effect on the table before it.
pub(super) fn advance(table: &mut TableAnswer, delta: &TableDelta) {
    let applied = table.apply(delta);
    debug_assert!(
        applied.is_ok(),
        "each change begins where the one before ended"
    );
}
