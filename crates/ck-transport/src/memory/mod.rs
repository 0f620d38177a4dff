//! Peers in one process, with faults drawn from a seed.

mod exchange;
mod faults;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use tokio::sync::{Semaphore, watch};

use crate::closing::Closing;
use crate::limits::{Budget, DEADLINE_MAX};
use crate::{
    Address, BoxFuture, Limits, PeerId, Reply, Request, Service, Transport, TransportError,
};

use self::faults::{Draws, Fate};

pub use self::faults::Faults;

/// A network inside one process: any number of peers, each under an address of its own.
///
/// Time is tokio's, so a test with a paused clock runs without waiting and, on a single-threaded
/// runtime, the same way each time. The n-th message on a link has the same fate for the same
/// seed, whatever happens on other links. What is cut or lost is silence: the caller sees a
/// timeout. Where nobody has joined, calls are refused at once, as by a closed port.
pub struct MemoryNetwork {
    seed: u64,
    limits: Limits,
    state: Mutex<State>,
    /// Bumped when a link changes, for bodies that wait for a cut to heal.
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    peers: BTreeMap<String, Arc<Endpoint>>,
    links: BTreeMap<(String, String), Link>,
    cuts: BTreeSet<(String, String)>,
    faults: Faults,
}

/// One direction between two addresses.
struct Link {
    draws: Draws,
    faults: Option<Faults>,
    calls: Arc<Semaphore>,
}

struct Endpoint {
    address: String,
    me: RwLock<PeerId>,
    service: Arc<dyn Service>,
    running: Arc<Semaphore>,
    buffered: Arc<Budget>,
    closing: Closing,
}

impl MemoryNetwork {
    /// A network without faults, with the default limits.
    #[must_use]
    pub fn new(seed: u64) -> Arc<Self> {
        Self::with_limits(seed, Limits::default())
    }

    /// A network without faults, with `limits` for each peer.
    #[must_use]
    pub fn with_limits(seed: u64, limits: Limits) -> Arc<Self> {
        let state = Mutex::new(State::default());
        Arc::new(Self {
            seed,
            limits,
            state,
            changes: watch::Sender::new(0),
        })
    }

    /// Adds a peer. One that is already at `address` is shut down first, as by a restart.
    pub fn join(
        self: &Arc<Self>,
        address: impl Into<String>,
        me: PeerId,
        service: Arc<dyn Service>,
    ) -> Arc<MemoryTransport> {
        let endpoint = Arc::new(Endpoint {
            address: address.into(),
            me: RwLock::new(me),
            service,
            running: Arc::new(Semaphore::new(self.limits.requests_max)),
            buffered: Budget::new(self.limits.buffered_bytes_max),
            closing: Closing::new(),
        });
        let former = self
            .state
            .lock()
            .peers
            .insert(endpoint.address.clone(), Arc::clone(&endpoint));
        if let Some(former) = former {
            former.closing.close(TransportError::Closed);
        }
        Arc::new(MemoryTransport {
            network: Arc::clone(self),
            endpoint,
        })
    }

    /// Stops everything from `from` to `to`, replies included; the other direction still works.
    pub fn cut(&self, from: &str, to: &str) {
        self.state
            .lock()
            .cuts
            .insert((from.to_owned(), to.to_owned()));
        self.changed();
    }

    /// Mends the direction from `from` to `to`.
    pub fn heal(&self, from: &str, to: &str) {
        self.state
            .lock()
            .cuts
            .remove(&(from.to_owned(), to.to_owned()));
        self.changed();
    }

    /// Cuts both directions between every address of `one` and every address of `other`.
    pub fn partition(&self, one: &[&str], other: &[&str]) {
        let mut state = self.state.lock();
        for a in one {
            for b in other {
                state.cuts.insert(((*a).to_owned(), (*b).to_owned()));
                state.cuts.insert(((*b).to_owned(), (*a).to_owned()));
            }
        }
        drop(state);
        self.changed();
    }

    /// Mends every cut and takes every fault away.
    pub fn heal_all(&self) {
        let mut state = self.state.lock();
        state.cuts.clear();
        state.faults = Faults::default();
        for link in state.links.values_mut() {
            link.faults = None;
        }
        drop(state);
        self.changed();
    }

    /// The faults of every link that has none of its own.
    pub fn set_faults(&self, faults: Faults) {
        self.state.lock().faults = faults;
    }

    /// The faults from `from` to `to`.
    pub fn set_link_faults(&self, from: &str, to: &str, faults: Faults) {
        self.with_link(from, to, |link, _| link.faults = Some(faults));
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    fn with_link<T>(&self, from: &str, to: &str, act: impl FnOnce(&mut Link, &Faults) -> T) -> T {
        let mut state = self.state.lock();
        let State { links, faults, .. } = &mut *state;
        let link = links
            .entry((from.to_owned(), to.to_owned()))
            .or_insert_with(|| Link {
                draws: Draws::new(self.seed, from, to),
                faults: None,
                calls: Arc::new(Semaphore::new(self.limits.calls_per_connection_max)),
            });
        act(link, faults)
    }

    fn fate(&self, from: &str, to: &str) -> Fate {
        self.with_link(from, to, |link, shared| {
            let faults = link.faults.as_ref().unwrap_or(shared);
            link.draws.fate(faults)
        })
    }

    fn is_cut(&self, from: &str, to: &str) -> bool {
        self.state
            .lock()
            .cuts
            .contains(&(from.to_owned(), to.to_owned()))
    }

    fn peer(&self, address: &str) -> Option<Arc<Endpoint>> {
        self.state.lock().peers.get(address).cloned()
    }

    /// Carries one message: returns after its delay, or never.
    async fn carry(&self, from: &str, to: &str) -> Fate {
        let fate = self.fate(from, to);
        if fate.lost || self.is_cut(from, to) {
            pending::<()>().await;
        }
        if !fate.delay.is_zero() {
            tokio::time::sleep(fate.delay).await;
            // What is on its way when the link is cut is lost as well.
            if self.is_cut(from, to) {
                pending::<()>().await;
            }
        }
        fate
    }

    /// Resolves when the direction is not cut.
    async fn passable(&self, from: &str, to: &str) {
        let mut changes = self.changes.subscribe();
        while self.is_cut(from, to) {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    fn leave(&self, endpoint: &Arc<Endpoint>) {
        endpoint.closing.close(TransportError::Closed);
        let mut state = self.state.lock();
        if state
            .peers
            .get(&endpoint.address)
            .is_some_and(|there| Arc::ptr_eq(there, endpoint))
        {
            state.peers.remove(&endpoint.address);
        }
    }
}

impl fmt::Debug for MemoryNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        f.debug_struct("MemoryNetwork")
            .field("seed", &self.seed)
            .field("peers", &state.peers.keys())
            .field("cuts", &state.cuts)
            .finish_non_exhaustive()
    }
}

/// One peer of a [`MemoryNetwork`]. Dropping it shuts it down.
pub struct MemoryTransport {
    network: Arc<MemoryNetwork>,
    endpoint: Arc<Endpoint>,
}

impl Transport for MemoryTransport {
    fn call<'a>(
        &'a self,
        to: &'a Address,
        request: Request,
        deadline: Duration,
    ) -> BoxFuture<'a, Result<(PeerId, Reply), TransportError>> {
        let deadline = deadline.min(DEADLINE_MAX);
        Box::pin(async move {
            self.network
                .limits
                .check_payload(request.payload.len() as u64)?;
            let exchange = exchange::run(&self.network, &self.endpoint, to, request, deadline);
            tokio::select! {
                biased;
                reason = self.endpoint.closing.closed() => Err(reason),
                done = tokio::time::timeout(deadline, exchange) => done.unwrap_or_else(|_| {
                    Err(TransportError::Timeout { address: to.peer.clone(), after: deadline })
                }),
            }
        })
    }

    fn identify(&self, me: PeerId) {
        *self.endpoint.me.write() = me;
    }

    fn local_address(&self) -> String {
        self.endpoint.address.clone()
    }

    fn shutdown(&self) -> BoxFuture<'_, ()> {
        self.network.leave(&self.endpoint);
        Box::pin(std::future::ready(()))
    }
}

impl Drop for MemoryTransport {
    fn drop(&mut self) {
        self.network.leave(&self.endpoint);
    }
}

impl fmt::Debug for MemoryTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryTransport")
            .field("address", &self.endpoint.address)
            .field("me", &*self.endpoint.me.read())
            .finish_non_exhaustive()
    }
}
