//! What the surface needs of a node.

use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use ck_api::HandlerCall;
use ck_control::State;
use ck_node::{
    FailoverFigures, Next, NodeStatus, Operation, OperationError, Outcome, Owned, Published,
};

/// A boxed future that can be sent between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A node, as the surface sees it.
///
/// Implemented for `ck_node::Handle`; tests implement it over a bare [`State`]. Reads never wait:
/// what gives no future answers from memory, on any thread. An operation is
/// passed on to the leader by the node, and ends within the node's own time limits.
pub trait Backend: Send + Sync + 'static {
    /// The state after the newest entry applied here.
    fn state(&self) -> Observed;

    /// What changes from now on.
    fn follow(&self) -> Box<dyn Follow>;

    /// What the node says of itself at this instant.
    fn status(&self) -> NodeStatus;

    /// Why the node does not serve yet, each a sentence; empty when it does.
    fn unready(&self) -> Vec<String>;

    /// What this node's application is doing, or failed at, in order of partition.
    fn handler_calls(&self) -> Vec<HandlerCall>;

    /// What is left of this node's lease at this instant; zero without one.
    fn lease_remaining(&self) -> Duration;

    /// How long failovers took, as far as the node knows.
    fn failover_figures(&self) -> FailoverFigures;

    /// What this node may act on as primary at this instant, its lease looked at while answering.
    /// The first answer of a start is written down before it is given.
    fn owned(&self) -> BoxFuture<'static, Result<Owned, OperationError>>;

    /// Carries an operation out, on behalf of `actor`. When it is done, [`Backend::state`] has it:
    /// whoever asks this node next sees the change. Dropping the future leaves open whether it is
    /// carried out.
    fn execute(
        &self,
        operation: Operation,
        actor: String,
    ) -> BoxFuture<'static, Result<Outcome, OperationError>>;
}

/// Follows a node: its states, and what led to them. Keeps no state; a slow follower sees the newest.
pub trait Follow: Send {
    /// Waits until [`Backend::state`] may be another than it was when this was called last; at first
    /// not at all. May be dropped and called again.
    fn changed(&mut self) -> BoxFuture<'_, ()>;

    /// The next thing that happened, if there is one. Whatever led to a state is there once
    /// [`Follow::changed`] has told of it.
    fn event(&mut self) -> Option<Next>;
}

/// A state as it was at one moment, shared. Reads as the [`State`] it holds.
#[derive(Debug, Clone)]
pub struct Observed(Inner);

#[derive(Debug, Clone)]
enum Inner {
    State(Arc<State>),
    Published(Arc<Published>),
}

impl Observed {
    /// Whether both are the same moment: no entry was applied in between.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Inner::State(one), Inner::State(two)) => Arc::ptr_eq(one, two),
            (Inner::Published(one), Inner::Published(two)) => Arc::ptr_eq(one, two),
            _ => false,
        }
    }
}

impl Deref for Observed {
    type Target = State;
    fn deref(&self) -> &State {
        match &self.0 {
            Inner::State(state) => state,
            Inner::Published(published) => &published.state,
        }
    }
}

impl From<Arc<State>> for Observed {
    fn from(state: Arc<State>) -> Self {
        Self(Inner::State(state))
    }
}

impl From<Arc<Published>> for Observed {
    fn from(published: Arc<Published>) -> Self {
        Self(Inner::Published(published))
    }
}
