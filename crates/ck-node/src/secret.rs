//! What the nodes of a guarded cluster have in common, and others have not.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A secret that a node shows when it joins a cluster whose changes need a token. Never printed.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text`.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// Takes the same time wherever the first difference is.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        let (ours, theirs) = (self.0.as_bytes(), other.0.as_bytes());
        let differing = ours
            .iter()
            .zip(theirs)
            .fold(0, |found, (a, b)| found | (a ^ b));
        // The length is no secret; the optimiser must not turn the fold into a search.
        ours.len() == theirs.len() && std::hint::black_box(differing) == 0
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn secrets_are_compared_whole_and_never_printed() {
        let secret = Secret::new("open sesame");
        assert_eq!(secret, Secret::new("open sesame"));
        for other in ["open sesamf", "open sesam", "open sesame!", ""] {
            assert_ne!(secret, Secret::new(other));
        }
        assert_eq!(format!("{secret:?}"), "Secret(..)");
    }
}
