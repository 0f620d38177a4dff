//! Which exit code the end of a node has.

use crate::error::ServeError;

/// How the reasons begin, or what they hold, that are a cluster's refusal: another name, a value
/// that conflicts, an id in use, a lost disk, a removal. A node tells its reason as text.
const REFUSALS: [&str; 5] = [
    "the cluster refused ",
    " belongs to cluster ",
    " was removed from the cluster",
    " takes this node for its member ",
    " data directory is a copy of its: ",
];

/// How the reason begins when what was asked for contradicts itself.
const CONTRADICTION: &str = "no cluster can be formed: ";

/// A node that ended by itself.
pub(crate) fn of_reason(reason: String) -> ServeError {
    if reason.starts_with(CONTRADICTION) {
        ServeError::Contradiction { reason }
    } else if REFUSALS.iter().any(|text| reason.contains(text)) {
        ServeError::Refused { reason }
    } else {
        ServeError::Ended { reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_has_its_exit_code() {
        for (reason, code) in [
            ("the cluster refused this node: node-2 is in use", 4),
            ("the cluster refused to open a session: x", 4),
            (
                "h:1 belongs to cluster \"a\", this node was started for \"b\"",
                4,
            ),
            ("n was removed from the cluster; to join again, start it", 4),
            (
                "node-2 runs already, and this data directory is a copy of its: stop one",
                4,
            ),
            ("no cluster can be formed: spread 9 is out of range", 2),
            ("the consensus core has died: disk full", 1),
        ] {
            assert_eq!(of_reason(reason.to_owned()).exit_code(), code, "{reason}");
        }
    }
}
