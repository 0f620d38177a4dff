//! What can be asked of the state: the entries of the log.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use ck_core::{Domain, Epoch, NodeId, NodeState, PartitionId, Table, Version};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use crate::state::{Halt, InSyncChange, RebalanceCommand, State, TransferCommand, octets};
use crate::{
    ClusterId, Config, ConfigChange, Generation, Home, Incarnation, LeaseTerms, MemberNumber, Mode,
    Nonce, OfficeId, Position, SessionId, StoreId,
};

/// The highest command version this build understands.
///
/// Version 2 differs in what the history says of a [`Command::Expire`]: it names the nodes.
pub const COMMAND_VERSION: u16 = 2;

/// From this version on an expiry names the nodes whose sessions ended.
pub(crate) const EXPIRY_NAMES_NODES: u16 = 2;

/// Most homes of a store that a registration names; older ones are forgotten.
pub const HOMES_MAX: usize = 32;

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

/// A committed entry of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its place in the log.
    pub position: Position,
    /// The consensus term it was appended in.
    pub term: u64,
    /// What was proposed.
    pub proposal: Proposal,
}

/// Everything that changes the state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Forms the cluster; the first entry, and the only one of its kind.
    Genesis(Genesis),
    /// A process starts to lead. Refused when the entry's own term is another.
    Office {
        /// The leader.
        member: MemberNumber,
        /// Drawn by its process at its start.
        nonce: Nonce,
        /// The term it leads in.
        term: u64,
    },
    /// A node comes in, or comes back: opens a session.
    Register(Registration),
    /// Changes what is known of a node.
    Update {
        /// The node.
        node: NodeId,
        /// What changes.
        change: MemberChange,
    },
    /// A node ends its own session, having ended its lease.
    Stop {
        /// The member.
        member: MemberNumber,
        /// Its open session.
        session: SessionId,
    },
    /// Ends sessions whose lease has run out, all that were found in one tick.
    Expire {
        /// The office that waited.
        office: OfficeId,
        /// The sessions. Ones that have ended meanwhile are passed over.
        sessions: Vec<SessionId>,
    },
    /// Begins the removal of a node.
    Close {
        /// The node.
        node: NodeId,
    },
    /// Completes the removal of a closing node; its session ends as by expiry.
    Remove {
        /// The node.
        node: NodeId,
        /// The office that waited for the lease. May be absent only when no session is open.
        office: Option<OfficeId>,
    },
    /// Creates the partitions.
    CreatePartitions {
        /// The first table.
        table: Table,
        /// Name of the strategy that made it, at most 64 bytes.
        strategy: Option<String>,
    },
    /// Writes a custom value.
    SetCustom {
        /// Its key, 1 to 512 bytes.
        key: String,
        /// The value.
        #[serde(with = "octets")]
        value: Vec<u8>,
        /// Version the key must have now; 0 says it must not exist. Absent: whatever it is.
        expected: Option<Version>,
    },
    /// Deletes a custom value.
    DeleteCustom {
        /// Its key.
        key: String,
        /// Version the key must have now. Absent: whatever it is.
        expected: Option<Version>,
    },
    /// Changes the configuration.
    Configure {
        /// What changes.
        change: ConfigChange,
    },
    /// One step of a planned move.
    Transfer {
        /// The office that decided it; absent when an operator or a party did.
        office: Option<OfficeId>,
        /// The step.
        step: TransferCommand,
    },
    /// A plan that is carried out by transfers.
    Rebalance {
        /// What happens to it.
        step: RebalanceCommand,
    },
    /// A primary changes the in-sync set of its partition. Holds only for that grant.
    InSync {
        /// The partition.
        partition: PartitionId,
        /// The primary's session.
        session: SessionId,
        /// Its grant.
        epoch: Epoch,
        /// What changes.
        change: InSyncChange,
    },
    /// An operator makes a member the primary of a partition that nobody may act on.
    Promote {
        /// The partition.
        partition: PartitionId,
        /// The member; it needs an open session and a copy.
        member: MemberNumber,
        /// Whether writes that this member does not have may be lost.
        accept_loss: bool,
    },
    /// Stops planned moves because too much was lost, or lets them go on.
    Brake {
        /// The office that counted; absent when an operator lets them go on.
        office: Option<OfficeId>,
        /// Nodes lost; 0 lets moves go on.
        lost: u32,
    },
    /// Changes what is promised. A higher mode holds once every open session has applied this.
    SetMode {
        /// The mode.
        mode: Mode,
    },
    /// Sessions have applied the entry that raises the mode.
    ModeApplied {
        /// Position of that entry.
        since: Position,
        /// The sessions.
        sessions: Vec<SessionId>,
    },
    /// Changes the lease. A shorter one binds the leader only when the longer has run out.
    SetLease {
        /// The new terms.
        terms: LeaseTerms,
    },
    /// A longer lease of before has run out everywhere: leaders wait for the present one alone.
    LeaseSettled {
        /// The office that waited.
        office: OfficeId,
        /// Position of the entry that made the lease shorter.
        since: Position,
    },
}

impl Command {
    /// The command's name in history and logs.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Genesis(_) => "genesis",
            Self::Office { .. } => "office",
            Self::Register(_) => "register",
            Self::Update { .. } => "update",
            Self::Stop { .. } => "stop",
            Self::Expire { .. } => "expire",
            Self::Close { .. } => "close",
            Self::Remove { .. } => "remove",
            Self::CreatePartitions { .. } => "create-partitions",
            Self::SetCustom { .. } => "set-custom",
            Self::DeleteCustom { .. } => "delete-custom",
            Self::Configure { .. } => "configure",
            Self::Transfer { step, .. } => step.name(),
            Self::Rebalance { step } => step.name(),
            Self::InSync { .. } => "in-sync",
            Self::Promote { .. } => "promote",
            Self::Brake { .. } => "brake",
            Self::SetMode { .. } => "set-mode",
            Self::ModeApplied { .. } => "mode-applied",
            Self::SetLease { .. } => "set-lease",
            Self::LeaseSettled { .. } => "lease-settled",
        }
    }
}

/// The first entry: what the cluster is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Genesis {
    /// Its identity.
    pub cluster: ClusterId,
    /// Its name, 1 to 128 bytes.
    pub name: String,
    /// Its incarnation, 1 or more.
    pub incarnation: Incarnation,
    /// Its first configuration.
    pub config: Config,
    /// The node that forms it, which will be member 1.
    pub founder: Founder,
}

/// The node that formed the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Founder {
    /// Its name.
    pub node: NodeId,
    /// Its store.
    pub store: StoreId,
}

impl Registration {
    /// Where the process holds the lock of its store.
    pub(super) fn home(&self) -> Option<Home> {
        self.homes.last().map(|(home, _)| *home)
    }
}

/// What a clean stop leaves in its own store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StopMark {
    /// The session that was stopped: its lease had ended, and nothing was acknowledged after.
    pub session: SessionId,
    /// The start of the node that it belonged to.
    pub start: Generation,
}

/// A node coming in or coming back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    /// Its name.
    pub node: NodeId,
    /// Name for people, at most 128 bytes; may be empty.
    pub display_name: String,
    /// Its store: the node's identity as far as data is concerned.
    pub store: StoreId,
    /// Starts of this node so far, this one included.
    pub generation: Generation,
    /// Its member number, when it knows one.
    pub member: Option<MemberNumber>,
    /// Compare-and-set: the node's newest session, open or ended; absent when it never had one.
    pub previous: Option<SessionId>,
    /// The homes of its store, oldest first, each with the last start there, at most
    /// [`HOMES_MAX`]; in the last one it holds the exclusive lock. Empty where the system does not tell.
    ///
    /// The home of the previous session, at a later start, proves that session's process dead. A store
    /// that does not know that home is a copy from before that session.
    pub homes: Vec<(Home, Generation)>,
    /// The process, which alone may renew the session.
    pub process: Nonce,
    /// Whether everything it acknowledged before is on its disk, as it is for a node without an
    /// application.
    pub durable: bool,
    /// The mark of a clean stop in its store. It is as good as the entry of that stop where it is of
    /// the member's newest session, and this is the very next start: one between may have taken
    /// writes that it has lost.
    pub stopped: Option<StopMark>,
    /// Whether its previous session ever told an outside process what it owns.
    pub served: bool,
    /// Where peers reach it, `host:port`, 1 to 256 bytes; no other member's.
    pub peer_address: String,
    /// Where clients reach it, `host:port`, at most 256 bytes; empty when it has no such surface.
    pub http_address: String,
    /// Its share of the copies relative to the others', 1 or more.
    pub weight: u32,
    /// Its failure domain; absent: a domain of its own.
    pub domain: Option<Domain>,
    /// Service name to address: at most 64, names of 1 to 128 bytes, values at most 1,024.
    pub services: BTreeMap<String, String>,
    /// Labels, under the same limits.
    pub labels: BTreeMap<String, String>,
    /// The highest command version the node understands.
    pub command_version: u16,
}

/// What changes of a node; an absent field stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MemberChange {
    /// See [`Registration::display_name`].
    pub display_name: Option<String>,
    /// See [`Registration::weight`].
    pub weight: Option<u32>,
    /// See [`Registration::domain`]; `Some(None)` takes the domain away.
    pub domain: Option<Option<Domain>>,
    /// All services, replacing the present ones.
    pub services: Option<BTreeMap<String, String>>,
    /// All labels, replacing the present ones.
    pub labels: Option<BTreeMap<String, String>>,
    /// Active, cordoned or draining; a node is never told to be down.
    pub state: Option<NodeState>,
    /// See [`Registration::peer_address`].
    pub peer_address: Option<String>,
    /// See [`Registration::http_address`].
    pub http_address: Option<String>,
}

/// What a plan was made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trigger {
    /// A node joined.
    Join,
    /// A node came back.
    Rejoin,
    /// A node was lost or removed.
    Loss,
    /// An operator asked.
    Manual,
    /// A node is being emptied.
    Drain,
}

impl Trigger {
    /// The name used in events, JSON and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Join => "join",
            Self::Rejoin => "rejoin",
            Self::Loss => "loss",
            Self::Manual => "manual",
            Self::Drain => "drain",
        }
    }
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
