//! What the nodes of a guarded cluster have in common, and others have not.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
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

/// The secrets of a node: it shows the first when it joins, and admits who shows any. Clones share them,
/// so that a secret can be replaced while the node runs.
#[derive(Clone, Default)]
pub struct Secrets(Arc<ArcSwap<Vec<Secret>>>);

impl Secrets {
    /// Those, the one to show first. None: whoever asks is admitted.
    #[must_use]
    pub fn new(secrets: impl IntoIterator<Item = Secret>) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(
            secrets.into_iter().collect(),
        )))
    }

    /// Has those instead, from the next question on.
    pub fn replace(&self, secrets: impl IntoIterator<Item = Secret>) {
        self.0.store(Arc::new(secrets.into_iter().collect()));
    }

    /// The one to show.
    pub(crate) fn shown(&self) -> Option<Secret> {
        self.0.load().first().cloned()
    }

    /// Whether anything has to be shown.
    pub(crate) fn guard(&self) -> bool {
        !self.0.load().is_empty()
    }

    /// Whether it is one of them.
    pub(crate) fn accept(&self, shown: Option<&Secret>) -> bool {
        let known = self.0.load();
        // Each is compared, whichever it is.
        shown.is_some_and(|shown| {
            known
                .iter()
                .fold(false, |found, secret| (secret == shown) | found)
        })
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({})", self.0.load().len())
    }
}

#[cfg(test)]
mod tests {
    use super::{Secret, Secrets};

    #[test]
    fn any_of_them_is_accepted_and_they_can_be_replaced() {
        let secrets = Secrets::new([Secret::new("new"), Secret::new("old")]);
        let shared = secrets.clone();
        assert_eq!(secrets.shown(), Some(Secret::new("new")));
        assert!(secrets.accept(Some(&Secret::new("old"))));
        assert!(!secrets.accept(Some(&Secret::new("other"))) && !secrets.accept(None));
        shared.replace([Secret::new("new")]);
        assert!(!secrets.accept(Some(&Secret::new("old"))));
        assert!(!Secrets::default().guard() && secrets.guard());
        assert_eq!(format!("{secrets:?}"), "Secrets(1)");
    }

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
