//! What the surface asks of the fake, and what its nodes register with.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ck_api::HandlerCall;
use ck_control::{Generation, Registration, StoreId};
use ck_node::{
    Event, FailoverFigures, Next, NodeStatus, Operation, OperationError, Outcome, Owned,
};
use tokio::sync::broadcast::error::TryRecvError;
use tokio::sync::{broadcast, watch};

use super::{AT_MS, Fake, TERM, id, unpoisoned};
use crate::backend::{Backend, BoxFuture, Follow, Observed};

/// What the node of that number registers with: the addresses of the captured cluster.
pub(super) fn registration(number: usize) -> Registration {
    let port = |base: usize| format!("127.0.0.1:{}", base + number);
    Registration {
        node: id(number),
        display_name: format!("Server-{number}"),
        store: StoreId(number as u128),
        generation: Generation(1),
        member: None,
        previous: None,
        homes: Vec::new(),
        process: ck_control::Nonce(number as u64),
        durable: true,
        stopped: None,
        served: false,
        peer_address: port(20_080),
        http_address: port(18_080),
        weight: 1,
        domain: None,
        services: [("kv".to_owned(), port(19_080))].into(),
        labels: BTreeMap::new(),
        command_version: ck_control::COMMAND_VERSION,
    }
}

/// A fake that is followed.
struct Following {
    applied: watch::Receiver<()>,
    events: broadcast::Receiver<Arc<Event>>,
}

impl Follow for Following {
    fn changed(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            if self.applied.changed().await.is_err() {
                // The fake is gone: nothing changes any more.
                std::future::pending::<()>().await;
            }
        })
    }

    fn event(&mut self) -> Option<Next> {
        match self.events.try_recv() {
            Ok(event) => Some(Next::Event(event)),
            Err(TryRecvError::Lagged(count)) => Some(Next::Missed { count }),
            Err(TryRecvError::Empty | TryRecvError::Closed) => None,
        }
    }
}

impl Backend for Fake {
    fn state(&self) -> Observed {
        self.state.load_full().into()
    }

    fn follow(&self) -> Box<dyn Follow> {
        let events = self.events.subscribe();
        let mut applied = self.applied.subscribe();
        applied.mark_changed();
        Box::new(Following { applied, events })
    }

    fn status(&self) -> NodeStatus {
        let mut status = unpoisoned(&self.status).clone();
        let state = self.state.load();
        let session = state.open_session_of(status.node.as_str());
        status.session = session.map(|session| session.id);
        let applied = state.applied().0;
        if applied > 0 {
            (status.term, status.last_log_term) = (TERM, TERM);
            status.last_log_index = applied;
            status.commit_index = applied;
            status.applied_index = applied;
            status.applied_at_ms = Some(AT_MS);
        }
        status
    }

    fn unready(&self) -> Vec<String> {
        let state = self.state.load();
        if state.formed().is_none() {
            return vec!["waiting for 1 of 3 nodes".to_owned()];
        }
        match state.table() {
            None => vec!["the partitions do not exist yet".to_owned()],
            Some(_) => Vec::new(),
        }
    }

    fn handler_calls(&self) -> Vec<HandlerCall> {
        unpoisoned(&self.calls).clone()
    }

    fn lease_remaining(&self) -> Duration {
        *unpoisoned(&self.lease)
    }

    fn failover_figures(&self) -> FailoverFigures {
        *unpoisoned(&self.failovers)
    }

    fn owned(&self) -> BoxFuture<'static, Result<Owned, OperationError>> {
        Box::pin(std::future::ready(Ok(self.owned_now())))
    }

    fn execute(
        &self,
        operation: Operation,
        _actor: String,
    ) -> BoxFuture<'static, Result<Outcome, OperationError>> {
        Box::pin(std::future::ready(self.operate(operation)))
    }
}
