use alloc::string::String;

use ck_core::Version;
use serde::{Deserialize, Serialize};

use crate::Position;

/// Most bytes of a summary.
pub(crate) const SUMMARY_BYTES_MAX: usize = 512;

/// One accepted command: who changed what, when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// Its place in the log.
    pub position: Position,
    /// Version of the state that has it.
    pub version: Version,
    /// When, by the proposer's wall clock, in milliseconds since 1970.
    pub at_ms: u64,
    /// Who asked.
    pub actor: String,
    /// The command's name: `register`, `rebalance-begin`.
    pub kind: String,
    /// What it did, for people; at most 512 bytes.
    pub summary: String,
}

/// `text`, cut at a character to at most `bytes` bytes.
pub(crate) fn cut(mut text: String, bytes: usize) -> String {
    if text.len() > bytes {
        let end = text.floor_char_boundary(bytes);
        text.truncate(end);
    }
    text
}
