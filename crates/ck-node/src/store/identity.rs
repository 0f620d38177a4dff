use ck_control::{ClusterId, Generation, HOMES_MAX, Home, MemberNumber, StoreId};
use ck_core::NodeId;
use serde::{Deserialize, Serialize};

use super::home::Place;
use super::{Store, StoreError, key};

/// Whose store this is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// The node it was made for. Another node may not open it.
    pub(crate) node: NodeId,
    /// Drawn when the store was made; a wiped disk comes back with another one.
    pub(crate) store: StoreId,
    /// Starts so far, this one included.
    pub(crate) generation: Generation,
    /// Where this start found it.
    pub(crate) place: Option<Place>,
    /// What was drawn when a start found it where the one before had not, each with the last start
    /// there, oldest first; the last one is for `place`, empty when that is not known.
    pub(crate) homes: Vec<(Home, Generation)>,
    /// The cluster it belongs to, once it does.
    pub(crate) membership: Option<Membership>,
}

/// The cluster a store belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Membership {
    pub(crate) cluster: ClusterId,
    pub(crate) cluster_name: String,
    pub(crate) member: MemberNumber,
}

impl Identity {
    /// Notes this start where it found the store; whether the start before is known to have been there.
    fn settle(&mut self, place: Option<Place>) -> bool {
        let mut at_home = false;
        if place.is_none() {
            self.homes.clear();
        } else if self.place == place
            && let Some((_, last)) = self.homes.last_mut()
        {
            *last = self.generation;
            at_home = true;
        } else {
            // Somewhere else than the start before: a copy, or a machine that was booted anew.
            let home = Home(uuid::Uuid::new_v4().as_u64_pair().0);
            self.homes.push((home, self.generation));
            let beyond = self.homes.len().saturating_sub(HOMES_MAX);
            self.homes.drain(..beyond);
        }
        self.place = place;
        at_home
    }
}

impl Store {
    /// Who this store belongs to; `None` right after it was made.
    pub(crate) fn identity(&self) -> Result<Option<Identity>, StoreError> {
        self.read(key::IDENTITY)
    }

    /// Who the store belongs to when `node` opens it; a new one is given its identity. Nothing is written.
    ///
    /// # Errors
    /// [`StoreError::OtherNode`] and [`StoreError::OtherCluster`] when it was made for another.
    pub(crate) fn identify(
        &self,
        node: &NodeId,
        cluster_name: &str,
    ) -> Result<Identity, StoreError> {
        let Some(found) = self.identity()? else {
            return Ok(Identity {
                node: node.clone(),
                store: StoreId(uuid::Uuid::new_v4().as_u128()),
                generation: Generation(0),
                place: None,
                homes: Vec::new(),
                membership: None,
            });
        };
        if found.node != *node {
            return Err(StoreError::OtherNode {
                path: self.path().to_owned(),
                found: found.node,
                wanted: node.clone(),
            });
        }
        if let Some(membership) = &found.membership
            && membership.cluster_name != cluster_name
        {
            return Err(StoreError::OtherCluster {
                path: self.path().to_owned(),
                found: membership.cluster_name.clone(),
                id: membership.cluster,
                wanted: cluster_name.to_owned(),
            });
        }
        Ok(found)
    }

    /// The next start of whom was found, and whether the start before is known to have found the store in
    /// the same place. Nothing is written: [`Store::adopt`] records the start. One that comes to nothing
    /// before anybody heard of it is taken back by adopting what was found: the mark of a clean stop
    /// counts for one start alone.
    pub(crate) fn begin(&self, mut found: Identity) -> (Identity, bool) {
        found.generation = found.generation.next();
        let at_home = found.settle(Place::of(self.path()));
        (found, at_home)
    }

    /// Records whose store this is from now on, the cluster it belongs to included.
    pub(crate) async fn adopt(&self, identity: &Identity) -> Result<(), StoreError> {
        self.write(key::IDENTITY, identity).await
    }
}
