//! Rows in blocks: a change copies the blocks it touches, and shares the others.

use std::collections::BTreeMap;
use std::sync::Arc;

use ck_core::PartitionId;

use super::route::Route;

/// Rows of a block. Few enough that a copy is cheap, many enough that there are few blocks.
const BLOCK: usize = 64;

/// The rows of a table, by partition number.
#[derive(Debug, Clone)]
pub(super) struct Rows {
    blocks: Arc<[Arc<[Route]>]>,
    len: u32,
}

impl Rows {
    /// Those rows, in order of partition number.
    pub(super) fn new(rows: &[Route]) -> Self {
        Self {
            blocks: rows.chunks(BLOCK).map(Arc::from).collect(),
            len: u32::try_from(rows.len()).unwrap_or(u32::MAX),
        }
    }

    /// How many there are.
    pub(super) const fn len(&self) -> u32 {
        self.len
    }

    /// The row of a partition.
    #[inline]
    pub(super) fn row(&self, partition: PartitionId) -> Option<&Route> {
        let at = partition.index();
        self.blocks.get(at / BLOCK)?.get(at % BLOCK)
    }

    /// These rows with others in the place of some; those beyond the last one are left out.
    pub(super) fn with(&self, changed: impl IntoIterator<Item = Route>) -> Self {
        let mut touched: BTreeMap<usize, Vec<Route>> = BTreeMap::new();
        for route in changed {
            let at = route.partition().index();
            let Some(block) = self.blocks.get(at / BLOCK) else {
                continue;
            };
            let copy = touched.entry(at / BLOCK).or_insert_with(|| block.to_vec());
            if let Some(place) = copy.get_mut(at % BLOCK) {
                *place = route;
            }
        }
        let mut blocks = self.blocks.to_vec();
        for (at, block) in touched {
            blocks[at] = block.into();
        }
        Self {
            blocks: blocks.into(),
            len: self.len,
        }
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Route> {
        self.blocks.iter().flat_map(|block| block.iter())
    }
}
