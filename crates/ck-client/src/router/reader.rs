//! Look-ups for one thread.

use std::sync::Arc;

use arc_swap::{ArcSwapOption, Cache};

use super::route::Route;
use super::table::RouteTable;

/// Look-ups for one thread: without a lock or an allocation, revalidating one pointer each.
///
/// Clone one for each thread.
#[derive(Clone)]
pub struct RouteReader {
    table: Cache<Arc<ArcSwapOption<RouteTable>>, Option<Arc<RouteTable>>>,
}

impl RouteReader {
    pub(super) fn new(current: &Arc<ArcSwapOption<RouteTable>>) -> Self {
        Self {
            table: Cache::new(Arc::clone(current)),
        }
    }

    /// Where a key is, by the newest table known; `None` before there is one.
    #[inline]
    pub fn lookup(&mut self, key: &[u8]) -> Option<&Route> {
        let table = self.table.load().as_deref()?;
        table.route(table.partition(key))
    }
}

impl std::fmt::Debug for RouteReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RouteReader").finish_non_exhaustive()
    }
}
