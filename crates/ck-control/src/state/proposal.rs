//! Commands on their way into the log, and the versions of their meaning.

use alloc::string::String;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use crate::Position;
use crate::state::{Command, Halt, State};

/// The highest command version this build understands.
///
/// Version 2 differs in what the history says of a [`Command::Expire`]: it names the nodes.
pub const COMMAND_VERSION: u16 = 2;

/// From this version on an expiry names the nodes whose sessions ended.
pub(crate) const EXPIRY_NAMES_NODES: u16 = 2;

/// A command on its way into the log.
///
/// Reading one whose version is above [`COMMAND_VERSION`] fails before the command itself is looked
/// at. Whoever reads a *committed* entry and fails must stop: the entry must not be skipped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// Version of the command's meaning, 1 to [`COMMAND_VERSION`]. First, so that it is read first.
    #[serde(deserialize_with = "known_version")]
    pub version: u16,
    /// The proposer's wall clock, in milliseconds since 1970. For people; nothing depends on it.
    pub at_ms: u64,
    /// Who asked, at most 256 bytes: `node-1`, `operator`.
    pub actor: String,
    /// What is asked.
    pub command: Command,
}

impl Proposal {
    /// A proposal of version 1, which every build understands.
    #[must_use]
    pub const fn new(at_ms: u64, actor: String, command: Command) -> Self {
        Self {
            version: 1,
            at_ms,
            actor,
            command,
        }
    }

    /// The same in the newest version of its command that every member of `state` understands.
    #[must_use]
    pub fn for_members_of(self, state: &State) -> Self {
        let newest = match self.command {
            Command::Expire { .. } => EXPIRY_NAMES_NODES,
            _ => 1,
        };
        Self {
            version: newest.min(state.command_version_min()),
            ..self
        }
    }
}

fn known_version<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    let got = u16::deserialize(deserializer)?;
    if got > COMMAND_VERSION {
        let position = Position(0);
        return Err(D::Error::custom(Halt::UnknownVersion {
            position,
            got,
            known: COMMAND_VERSION,
        }));
    }
    Ok(got)
}
