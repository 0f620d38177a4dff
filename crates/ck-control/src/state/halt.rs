use crate::Position;

/// An entry that this build must not go past. The state is unchanged; the node has to stop.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Halt {
    /// A command of a newer build. Skipping it would make this node differ from the others.
    #[error(
        "entry {position} has command version {got}, above {known}, the highest this build \
         understands; upgrade it"
    )]
    UnknownVersion {
        /// The entry; 0 when it was not read that far.
        position: Position,
        /// Its version.
        got: u16,
        /// The highest known.
        known: u16,
    },
    /// An entry at or before one that was applied.
    #[error(
        "entry {position} was applied already, up to {applied}; the log does not fit the state"
    )]
    Repeated {
        /// The entry.
        position: Position,
        /// The newest applied.
        applied: Position,
    },
}
