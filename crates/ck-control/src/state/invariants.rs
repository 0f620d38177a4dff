//! What is true of every state, and of every step from one to the next.

use serde::{Deserialize, Serialize};

use crate::ConfigError;
use crate::state::State;

/// A rule that a state breaks: a defect, never a user's mistake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum InvariantError {
    /// The configuration does not pass its check.
    #[error("the configuration is invalid: {0}")]
    Config(#[source] ConfigError),
}

impl State {
    /// Checks what is true of every state.
    ///
    /// # Errors
    /// [`InvariantError`] names the first rule that is broken, and where.
    pub fn check_invariants(&self) -> Result<(), InvariantError> {
        self.config().check().map_err(InvariantError::Config)
    }
}
