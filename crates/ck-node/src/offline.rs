//! What is done to data directories while their nodes do not run: a new incarnation of a cluster, from
//! a survivor's directory (`ck recover`) or from a backup (`ck restore`).
//!
//! Either way one node begins a new log as its only voter, under a new cluster id, so that nobody and
//! nothing of the incarnation before is heard; the other members that stay await that log. Every session
//! has ended; each copy is worth what it was.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use ck_control::{
    ClusterId, Generation, Halt, Incarnation, MemberNumber, NewIncarnation, Position, Rejection,
    State,
};
use ck_core::{NodeId, PartitionId};

use crate::backup::Backup;
use crate::codec::CodecError;
use crate::consensus::{ReadBack, awaited, begun, read_back};
use crate::published::now_ms;
use crate::store::{FILE, Identity, MARKER, Membership, Replacement, Store, StoreError, key};

/// Written down as having asked.
const ACTOR: &str = "operator";

/// Why a data directory was left as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OfflineError {
    /// The store cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no node's data.
    #[error("{} holds no data of a node; name the directory that its --data named", path.display())]
    NoData {
        /// The directory.
        path: PathBuf,
    },
    /// There is data already.
    #[error("{} is there already; name another directory, or move it away", path.display())]
    Occupied {
        /// The file.
        path: PathBuf,
    },
    /// The node never came to belong to a cluster, or heard nothing from it.
    #[error(
        "{} of node {node} knows of no cluster; recover on a node that was a member", path.display()
    )]
    NoCluster {
        /// The directory.
        path: PathBuf,
        /// The node.
        node: NodeId,
    },
    /// A node that is none.
    #[error("{node} is no member; the members are {}", list(.members))]
    NodeUnknown {
        /// The node.
        node: NodeId,
        /// Those there are.
        members: Vec<NodeId>,
    },
    /// The directory is of that cluster already.
    #[error("node {node} belongs to cluster {cluster} already; start it")]
    Already {
        /// The node.
        node: NodeId,
        /// The cluster.
        cluster: ClusterId,
    },
    /// The log holds what this build does not understand.
    #[error("the log cannot be read to its end: {0}; use a newer `ck`")]
    Halt(#[from] Halt),
    /// The state cannot begin anew so.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// A value does not encode.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The copy of the data as it was cannot be kept.
    #[error("{} cannot be kept as a copy: {source}; make room for it", path.display())]
    Keep {
        /// The copy.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

fn list(nodes: &[NodeId]) -> String {
    let names: Vec<&str> = nodes.iter().map(NodeId::as_str).collect();
    names.join(", ")
}

/// A new incarnation, as it would begin.
#[derive(Debug, Clone)]
pub struct Anew {
    /// The node that begins it.
    pub node: NodeId,
    /// The cluster's id from then on.
    pub cluster: ClusterId,
    /// Its incarnation from then on.
    pub incarnation: Incarnation,
    /// The state it begins with.
    pub state: State,
    term: u64,
    member: MemberNumber,
}

impl Anew {
    fn new(
        before: &State,
        position: Position,
        term: u64,
        (node, member): (NodeId, MemberNumber),
        asked: Asked<'_>,
    ) -> Result<Self, OfflineError> {
        let at_ms = now_ms();
        let least = before.incarnation().next();
        let wanted = asked.incarnation.unwrap_or_default();
        let incarnation = least.max(Incarnation(at_ms / 1000)).max(wanted);
        let gone = match asked.keep {
            None => BTreeSet::new(),
            Some(keep) => {
                for kept in keep {
                    known(before, kept)?;
                }
                let stays = |name: &NodeId| *name == node || keep.contains(name);
                let members = before.members().filter(|member| !stays(&member.node));
                members.map(|member| member.number).collect()
            }
        };
        let cluster = ClusterId(uuid::Uuid::new_v4().as_u128());
        let state = before.begin_anew(&NewIncarnation {
            cluster,
            incarnation,
            position,
            at_ms,
            actor: ACTOR.to_owned(),
            gone,
            new_stores: asked.new_stores,
        })?;
        Ok(Self {
            node,
            cluster,
            incarnation,
            state,
            term,
            member,
        })
    }

    /// Partitions of which no copy stays.
    #[must_use]
    pub fn lost(&self) -> Vec<PartitionId> {
        self.partitions(|in_sync, copies| in_sync == 0 && copies == 0)
    }

    /// Partitions of which copies stay, and none that is known to have every write.
    #[must_use]
    pub fn out_of_sync(&self) -> Vec<PartitionId> {
        self.partitions(|in_sync, copies| in_sync == 0 && copies > 0)
    }

    fn partitions(&self, which: impl Fn(usize, usize) -> bool) -> Vec<PartitionId> {
        let Some(table) = self.state.table() else {
            return Vec::new();
        };
        let rows = table.rows().zip(self.state.partitions());
        rows.filter(|(row, (_, control))| which(control.in_sync.len(), row.indexes().len()))
            .map(|(row, _)| row.partition())
            .collect()
    }

    fn log(&self) -> Result<Replacement, CodecError> {
        let address = self.state.member(self.member);
        let address = address.map_or("", |member| &member.peer_address);
        begun(&self.state, self.term, self.member, address)
    }
}

/// What is asked of a new incarnation.
#[derive(Clone, Copy, Default)]
struct Asked<'a> {
    /// Who stays, beside the node that begins; absent: everybody.
    keep: Option<&'a [NodeId]>,
    incarnation: Option<Incarnation>,
    new_stores: bool,
}

fn known(state: &State, node: &NodeId) -> Result<(), OfflineError> {
    if state.member_by_node(node.as_str()).is_some() {
        return Ok(());
    }
    Err(OfflineError::NodeUnknown {
        node: node.clone(),
        members: state.members().map(|member| member.node.clone()).collect(),
    })
}

/// The data directory of a member that does not run, read back and locked.
pub struct Survivor {
    directory: PathBuf,
    store: Store,
    identity: Identity,
    membership: Membership,
    log: ReadBack,
}

impl Survivor {
    /// Opens the directory. Nothing is changed.
    ///
    /// # Errors
    /// [`OfflineError`], when the node runs for instance.
    pub fn open(directory: &Path) -> Result<Self, OfflineError> {
        let no_data = || OfflineError::NoData {
            path: directory.to_owned(),
        };
        if !directory.join(FILE).is_file() {
            return Err(no_data());
        }
        let store = Store::open(directory)?;
        let identity = store.identity()?.ok_or_else(no_data)?;
        let no_cluster = || OfflineError::NoCluster {
            path: directory.to_owned(),
            node: identity.node.clone(),
        };
        let membership = identity.membership.clone().ok_or_else(no_cluster)?;
        let log = read_back(&store)?;
        if log.state.formed().is_none() {
            return Err(no_cluster());
        }
        Ok(Self {
            directory: directory.to_owned(),
            store,
            membership,
            identity,
            log,
        })
    }

    /// The node whose directory it is.
    #[must_use]
    pub const fn node(&self) -> &NodeId {
        &self.identity.node
    }

    /// The cluster it is of.
    #[must_use]
    pub const fn cluster(&self) -> ClusterId {
        self.membership.cluster
    }

    /// What its log leads to, entries that are not known to be committed included: others may have
    /// acknowledged them.
    #[must_use]
    pub const fn state(&self) -> &State {
        &self.log.state
    }

    /// The last entry of its log.
    #[must_use]
    pub const fn last(&self) -> Position {
        Position(self.log.last)
    }

    /// The last entry that is known to be committed.
    #[must_use]
    pub const fn committed(&self) -> Position {
        Position(self.log.committed)
    }

    /// The new incarnation that this node would begin. Of the other members those in `keep` stay; the
    /// rest are taken out for good. Nothing is changed.
    ///
    /// # Errors
    /// [`OfflineError`], when one in `keep` is no member for instance.
    pub fn plan(
        &self,
        keep: &[NodeId],
        incarnation: Option<Incarnation>,
    ) -> Result<Anew, OfflineError> {
        known(&self.log.state, &self.identity.node)?;
        let position = Position(self.log.last.max(self.log.state.applied().0)).next();
        let asked = Asked {
            keep: Some(keep),
            incarnation,
            new_stores: false,
        };
        let who = (self.identity.node.clone(), self.membership.member);
        Anew::new(&self.log.state, position, self.log.term + 1, who, asked)
    }

    /// Begins a new incarnation. Returns where the data as it was is kept.
    ///
    /// # Errors
    /// [`OfflineError`]; the directory is as it was then.
    pub async fn begin(self, anew: &Anew) -> Result<PathBuf, OfflineError> {
        let log = anew.log()?;
        self.replace(log, anew.cluster).await
    }

    /// Makes this member await the log of a new incarnation, which another one has begun. Returns where
    /// the data as it was is kept.
    ///
    /// # Errors
    /// [`OfflineError`]; the directory is as it was then.
    pub async fn follow(self, cluster: ClusterId) -> Result<PathBuf, OfflineError> {
        if cluster == self.membership.cluster {
            return Err(OfflineError::Already {
                node: self.identity.node,
                cluster,
            });
        }
        let log = awaited(self.membership.member)?;
        self.replace(log, cluster).await
    }

    async fn replace(self, log: Replacement, cluster: ClusterId) -> Result<PathBuf, OfflineError> {
        let kept = self.keep()?;
        let membership = Membership {
            cluster,
            ..self.membership
        };
        let identity = Identity {
            membership: Some(membership),
            ..self.identity
        };
        let log = log.with(key::IDENTITY, &identity)?;
        self.store.replace(log).await?;
        Ok(kept)
    }

    /// Keeps the file as it is beside itself, under a name that no node opens.
    fn keep(&self) -> Result<PathBuf, OfflineError> {
        let incarnation = self.log.state.incarnation();
        let path = self.directory.join(format!("before-{incarnation}.redb"));
        let copied = || -> std::io::Result<()> {
            let mut to = std::fs::File::create_new(&path)?;
            let mut from = std::fs::File::open(self.store.path())?;
            std::io::copy(&mut from, &mut to)?;
            to.sync_all()?;
            std::fs::File::open(&self.directory)?.sync_all()
        };
        match copied() {
            Ok(()) => Ok(path),
            Err(source) if source.kind() == std::io::ErrorKind::AlreadyExists => {
                Err(OfflineError::Occupied { path })
            }
            Err(source) => {
                // What is there of it is of no use.
                let _ = std::fs::remove_file(&path);
                Err(OfflineError::Keep { path, source })
            }
        }
    }
}

/// Makes the data directory of a member from a backup, to begin a new incarnation with it.
///
/// # Errors
/// [`OfflineError`]; when there is data in `directory` already, or the node is no member for instance.
pub async fn restore(
    backup: &Backup,
    node: &NodeId,
    directory: &Path,
    incarnation: Option<Incarnation>,
) -> Result<Anew, OfflineError> {
    let member = member(backup, node)?;
    let state = &backup.state;
    let asked = Asked {
        keep: None,
        incarnation,
        new_stores: true,
    };
    let term = state.office().map_or(0, |office| office.term) + 1;
    let position = state.applied().next();
    let anew = Anew::new(state, position, term, (node.clone(), member), asked)?;
    make(backup, node, directory, anew.cluster, anew.log()?).await?;
    Ok(anew)
}

/// Makes the data directory of a further member from the same backup, to await the log of the new
/// incarnation.
///
/// # Errors
/// As [`restore`].
pub async fn restore_into(
    backup: &Backup,
    node: &NodeId,
    directory: &Path,
    cluster: ClusterId,
) -> Result<(), OfflineError> {
    let log = awaited(member(backup, node)?)?;
    make(backup, node, directory, cluster, log).await
}

fn member(backup: &Backup, node: &NodeId) -> Result<MemberNumber, OfflineError> {
    known(&backup.state, node)?;
    let member = backup.state.member_by_node(node.as_str());
    Ok(member.map_or(MemberNumber(0), |member| member.number))
}

async fn make(
    backup: &Backup,
    node: &NodeId,
    directory: &Path,
    cluster: ClusterId,
    log: Replacement,
) -> Result<(), OfflineError> {
    for name in [FILE, MARKER] {
        let path = directory.join(name);
        if path.exists() {
            return Err(OfflineError::Occupied { path });
        }
    }
    let state = &backup.state;
    let (Some(member), Some(genesis)) = (state.member_by_node(node.as_str()), state.formed())
    else {
        return Err(Rejection::NotFormed.into());
    };
    let identity = Identity {
        node: node.clone(),
        store: member.store,
        generation: Generation(member.generation.0),
        place: None,
        homes: Vec::new(),
        membership: Some(Membership {
            cluster,
            cluster_name: genesis.name.clone(),
            member: member.number,
        }),
    };
    let log = log.with(key::IDENTITY, &identity)?;
    let store = Store::open(directory)?;
    store.replace(log).await?;
    Ok(())
}
