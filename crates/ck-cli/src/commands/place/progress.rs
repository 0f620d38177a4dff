//! What a person waits for while a very large spec is planned.

use std::io::{self, IsTerminal, Write};

/// Partitions from which on reading and planning take long enough to be told.
const LARGE: u32 = 1 << 20;

/// Bytes of such a spec with its previous table.
const LARGE_BYTES: u64 = 64 << 20;

/// A line on standard error for each step, on a terminal only.
pub(super) struct Progress {
    shown: bool,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self {
            shown: io::stderr().is_terminal(),
        }
    }

    /// Tells that a spec of that many bytes is read.
    pub(super) fn reading(&self, bytes: u64) {
        if bytes >= LARGE_BYTES {
            self.say(&format!("reading {} MiB …", bytes >> 20));
        }
    }

    /// Tells that a table of that many partitions is planned.
    pub(super) fn planning(&self, partitions: u32, nodes: usize) {
        if let Some(line) = line(partitions, nodes) {
            self.say(&line);
        }
    }

    fn say(&self, line: &str) {
        if self.shown {
            // With standard error closed there is nobody to tell.
            let _ = writeln!(io::stderr(), "{line}");
        }
    }
}

fn line(partitions: u32, nodes: usize) -> Option<String> {
    (partitions >= LARGE).then(|| format!("planning {partitions} partitions on {nodes} nodes …"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_takes_long_is_told() {
        assert_eq!(line(LARGE - 1, 10), None);
        let told = line(1 << 24, 1000).unwrap();
        assert_eq!(told, "planning 16777216 partitions on 1000 nodes …");
    }
}
