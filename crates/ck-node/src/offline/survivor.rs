use std::path::{Path, PathBuf};

use ck_control::{ClusterId, Incarnation, Position, State};
use ck_core::NodeId;

use super::anew::Asked;
use super::{Anew, OfflineError, known};
use crate::consensus::{ReadBack, awaited, read_back};
use crate::store::{FILE, Identity, Membership, Replacement, Store, key};

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
        // One that awaits a log has none yet, and may be told to await another.
        let log = read_back(&store)?;
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

    /// The term of that entry. Of two logs, the one whose last entry has the higher term is the newer,
    /// however long the other is: entries of a leader that was deposed may follow one another for long.
    #[must_use]
    pub const fn last_term(&self) -> u64 {
        self.log.last_term
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
            doubts_copies: false,
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

    /// Whether this member may go on in the incarnation that another one has begun, in which those in
    /// `keep` stay. Nothing is changed.
    ///
    /// # Errors
    /// [`OfflineError::NotKept`] where it is not one of them, and [`OfflineError::Already`] where it is in that
    /// cluster.
    pub fn may_follow(&self, cluster: ClusterId, keep: &[NodeId]) -> Result<(), OfflineError> {
        let node = &self.identity.node;
        if cluster == self.membership.cluster {
            return Err(OfflineError::Already {
                node: node.clone(),
                cluster,
            });
        }
        if !keep.contains(node) {
            return Err(OfflineError::NotKept {
                node: node.clone(),
                cluster,
                stay: keep.to_vec(),
            });
        }
        Ok(())
    }

    /// Makes this member await the log of a new incarnation, which another one has begun and in which those
    /// in `keep` stay. Returns where the data as it was is kept.
    ///
    /// # Errors
    /// As [`Survivor::may_follow`], and [`OfflineError`]; the directory is as it was then.
    pub async fn follow(
        self,
        cluster: ClusterId,
        keep: &[NodeId],
    ) -> Result<PathBuf, OfflineError> {
        self.may_follow(cluster, keep)?;
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
