//! A running node as a backend.

use std::time::Duration;

use ck_api::HandlerCall;
use ck_control::State;
use ck_core::{NodeId, Version};
use ck_node::{
    Changes, Events, FailoverFigures, Handle, HandlerReport, Next, NodeStatus, Operation,
    OperationError, Outcome, Owned,
};

use crate::backend::{Backend, BoxFuture, Follow, Observed};

/// Time a change gets to arrive here after the leader has committed it. A node that lags more
/// answers with what it has.
const ARRIVAL_TIMEOUT: Duration = Duration::from_secs(2);

impl Backend for Handle {
    fn state(&self) -> Observed {
        self.published().into()
    }

    fn follow(&self) -> Box<dyn Follow> {
        // Events first: none is missed between the two.
        let events = self.events();
        let changes = self.changes();
        Box::new(Following { events, changes })
    }

    fn status(&self) -> NodeStatus {
        Self::status(self)
    }

    fn unready(&self) -> Vec<String> {
        Self::unready(self)
    }

    fn handler_calls(&self) -> Vec<HandlerCall> {
        let reports = self.handler_reports().into_iter();
        let call = |report: HandlerReport| HandlerCall {
            partition: report.partition.to_string(),
            call: report.call.to_owned(),
            running: report.running,
            for_ms: u64::try_from(report.since.elapsed().as_millis()).unwrap_or(u64::MAX),
            done: report.done,
            total: report.total,
            failures: report.failures,
            error: report.error,
        };
        reports.map(call).collect()
    }

    fn lease_remaining(&self) -> Duration {
        Self::lease_remaining(self)
    }

    fn failover_figures(&self) -> FailoverFigures {
        Self::failover_figures(self)
    }

    fn owned(&self) -> BoxFuture<'static, Result<Owned, OperationError>> {
        let node = self.clone();
        Box::pin(async move { Self::owned(&node).await })
    }

    fn execute(
        &self,
        operation: Operation,
        actor: String,
    ) -> BoxFuture<'static, Result<Outcome, OperationError>> {
        let node = self.clone();
        Box::pin(async move {
            let removed = match &operation {
                Operation::Remove { node } => Some(node.clone()),
                _ => None,
            };
            // What was begun is finished, though the client goes away meanwhile.
            let asked = node.clone();
            let running = tokio::spawn(async move { asked.execute(operation, &actor).await });
            let outcome = running
                .await
                .map_err(|_| OperationError::Unknown { after_ms: 0 })??;
            // The leader may be another node; what it did comes here with the log.
            let arrived = node.applied_until(|state| has(state, &outcome, removed.as_ref()));
            if tokio::time::timeout(ARRIVAL_TIMEOUT, arrived)
                .await
                .is_err()
            {
                tracing::warn!("a change that was committed has not arrived here yet");
            }
            Ok(outcome)
        })
    }
}

/// A node that is followed.
struct Following {
    events: Events,
    changes: Changes,
}

impl Follow for Following {
    fn changed(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.changes.next().await;
        })
    }

    fn event(&mut self) -> Option<Next> {
        self.events.try_next()
    }
}

/// Whether a state has what an operation came to.
fn has(state: &State, outcome: &Outcome, removed: Option<&NodeId>) -> bool {
    let reached = |version: &Version| state.version() >= *version;
    match outcome {
        Outcome::Partitions { version, .. }
        | Outcome::Changed { version }
        | Outcome::Custom { version } => reached(version),
        Outcome::Plan(plan) => reached(&plan.version),
        Outcome::Joined(joined) => state.member_by_node(joined.node.as_str()).is_some(),
        Outcome::Removed => {
            removed.is_none_or(|node| state.member_by_node(node.as_str()).is_none())
        }
        Outcome::Stopped => true,
    }
}
