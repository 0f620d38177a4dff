//! The state as a numbered format, to be kept and sent.

use serde::{Deserialize, Deserializer, Serialize};

use crate::state::{InvariantError, State};

/// The format this build writes; it reads this one and every one before it.
pub const SNAPSHOT_FORMAT: u16 = 1;

/// The whole state, with the number of its format in front.
///
/// Reading one of a newer format fails, with the text of [`SnapshotError::Newer`], before its body
/// is looked at. Formats once released are read for good.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    #[serde(deserialize_with = "known_format")]
    format: u16,
    state: State,
}

/// Why a snapshot cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// Written by a newer build.
    #[error("snapshot format {got} is newer than {known}, the newest this build reads; upgrade it")]
    Newer {
        /// The format as given.
        got: u16,
        /// The newest known.
        known: u16,
    },
    /// A format that never was.
    #[error("snapshot format {got} never existed; the least is 1")]
    Unknown {
        /// The format as given.
        got: u16,
    },
    /// The state in it breaks a rule that every state keeps.
    #[error("the snapshot holds no valid state; restore it from another node")]
    Invalid(#[source] InvariantError),
}

impl SnapshotError {
    /// Whether this build reads a format.
    ///
    /// # Errors
    /// [`SnapshotError::Newer`] and [`SnapshotError::Unknown`].
    pub const fn check_format(got: u16) -> Result<(), Self> {
        match got {
            0 => Err(Self::Unknown { got }),
            1..=SNAPSHOT_FORMAT => Ok(()),
            _ => Err(Self::Newer {
                got,
                known: SNAPSHOT_FORMAT,
            }),
        }
    }
}

fn known_format<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    let got = u16::deserialize(deserializer)?;
    SnapshotError::check_format(got).map_err(serde::de::Error::custom)?;
    Ok(got)
}

impl Snapshot {
    /// The state as it is; cheap, nothing is copied.
    #[must_use]
    pub fn of(state: &State) -> Self {
        Self {
            format: SNAPSHOT_FORMAT,
            state: state.clone(),
        }
    }

    /// The state in it, after checking it.
    ///
    /// # Errors
    /// [`SnapshotError::Invalid`] when it breaks an invariant.
    pub fn into_state(self) -> Result<State, SnapshotError> {
        SnapshotError::check_format(self.format)?;
        self.state
            .check_invariants()
            .map_err(SnapshotError::Invalid)?;
        Ok(self.state.restored())
    }
}
