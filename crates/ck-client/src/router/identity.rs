//! Which cluster a router is of, and whether a server is.

use std::sync::{Mutex, MutexGuard, PoisonError};

use ck_api::Peer;

/// The cluster of the first server that was heard; later, what that cluster was restored as.
#[derive(Debug, Default)]
pub(super) struct Identity(Mutex<Option<Cluster>>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Cluster {
    name: String,
    id: String,
}

/// What a server is to a router.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// Of the same cluster.
    Ours,
    /// Of another one of the same name: what ours was restored as, perhaps.
    Perhaps(Claim),
}

/// What a server has to show a table for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claim(Cluster);

/// Why nothing is taken from a server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotOurs {
    #[error("it is part of no cluster yet")]
    NotFormed,
    #[error("it is in cluster {theirs}, this router is of {ours}")]
    Stranger { theirs: String, ours: String },
}

impl Identity {
    /// What a server is that says this of itself. The first one tells which cluster it is.
    pub(super) fn of(&self, peer: Peer) -> Result<Standing, NotOurs> {
        let theirs = Cluster {
            name: peer.cluster,
            id: peer.uuid.ok_or(NotOurs::NotFormed)?,
        };
        let mut ours = self.lock();
        let ours = ours.get_or_insert_with(|| theirs.clone());
        if ours.id == theirs.id {
            return Ok(Standing::Ours);
        }
        if ours.name == theirs.name {
            return Ok(Standing::Perhaps(Claim(theirs)));
        }
        Err(stranger(ours, theirs))
    }

    /// Gives the cluster that id from now on, if the claim holds.
    pub(super) fn admit(&self, Claim(theirs): Claim, holds: bool) -> Result<(), NotOurs> {
        let mut ours = self.lock();
        match &mut *ours {
            Some(ours) if !holds => Err(stranger(ours, theirs)),
            ours => {
                *ours = Some(theirs);
                Ok(())
            }
        }
    }

    /// The cluster's id; none before a server was heard.
    pub(super) fn id(&self) -> Option<String> {
        self.lock().as_ref().map(|cluster| cluster.id.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Option<Cluster>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stranger(ours: &Cluster, theirs: Cluster) -> NotOurs {
    NotOurs::Stranger {
        ours: ours.id.clone(),
        theirs: theirs.id,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(name: &str, id: &str) -> Peer {
        Peer {
            cluster: name.into(),
            uuid: Some(id.into()),
            ..Peer::default()
        }
    }

    #[test]
    fn only_a_claim_that_holds_changes_the_cluster() {
        let identity = Identity::default();
        assert_eq!(identity.of(Peer::default()), Err(NotOurs::NotFormed));
        assert_eq!(identity.of(peer("shop", "a")), Ok(Standing::Ours));
        let refused = identity.of(peer("bank", "b")).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "it is in cluster b, this router is of a"
        );
        let Ok(Standing::Perhaps(claim)) = identity.of(peer("shop", "b")) else {
            panic!("it has the same name");
        };
        assert!(identity.admit(claim.clone(), false).is_err());
        assert_eq!(identity.id().as_deref(), Some("a"));
        identity.admit(claim, true).unwrap();
        assert_eq!(identity.of(peer("shop", "b")), Ok(Standing::Ours));
        assert_ne!(identity.of(peer("shop", "a")), Ok(Standing::Ours));
    }
}
