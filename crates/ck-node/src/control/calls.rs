//! Calls of the user's handler, each a task of its own. Errors and panics end the call and nothing
//! else: the machine retries, and the node's status says why.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ck_control::{BoxFuture, Call, CallId, Copying, HandlerError, MemberNumber, State, TransferId};
use ck_core::PartitionId;
use futures_util::FutureExt;
use tokio::sync::mpsc;
use tracing::Instrument as _;

use super::context::{CallContext, Over};
use super::{Input, tasks};
use crate::shared::Shared;

/// The target of the spans of calls of the handler: what a subscriber that collects them lets through,
/// at the level trace.
pub const CALL_SPANS: &str = "ck_node::call";

/// A call that runs.
struct Running {
    cancelled: Over,
    /// Set before it is cancelled for having taken longer than this.
    overdue: Arc<OnceLock<Duration>>,
}

pub(super) struct Calls {
    node: Arc<Shared>,
    line: mpsc::Sender<Input>,
    running: BTreeMap<CallId, Running>,
    /// The node has ended.
    ended: Over,
}

impl Calls {
    pub(super) fn new(node: Arc<Shared>, line: mpsc::Sender<Input>) -> Self {
        Self {
            node,
            line,
            running: BTreeMap::new(),
            ended: Over::new(),
        }
    }

    fn context(&self, partition: Option<PartitionId>, cancelled: &Over) -> CallContext {
        CallContext {
            node: Arc::clone(&self.node),
            partition,
            cancelled: cancelled.clone(),
            ended: self.ended.clone(),
        }
    }

    /// Begins a call.
    pub(super) fn begin(&mut self, id: CallId, partition: PartitionId, call: Call, state: &State) {
        let cancelled = Over::new();
        let overdue = Arc::new(OnceLock::new());
        let running = Running {
            cancelled: cancelled.clone(),
            overdue: Arc::clone(&overdue),
        };
        self.running.insert(id, running);
        let context = self.context(Some(partition), &cancelled);
        let copying = copying(state, partition, call);
        let (node, after) = (Arc::clone(&self.node), Arc::clone(&self.node));
        let over = (cancelled.said(), self.ended.said());
        let span = tracing::trace_span!(
            target: CALL_SPANS,
            "call",
            otel.name = name(call),
            otel.status_code = tracing::field::Empty,
            clusterkit.partition = %partition,
        );
        let run = async move {
            let reports = &node.reports;
            reports.begun(partition, name(call));
            // The handler may panic before it returns its future, too.
            let running = async { run(&node, &context, partition, call, copying).await };
            let running = AssertUnwindSafe(running);
            let result = tokio::select! {
                biased;
                result = running.catch_unwind() => Some(result),
                () = over.0 => None,
                () = over.1 => None,
            };
            match result {
                Some(Ok(Ok(()))) => {
                    reports.succeeded(partition);
                    true
                }
                Some(Ok(Err(source))) => {
                    reports.failed(partition, name(call), &source.to_string());
                    false
                }
                Some(Err(panic)) => {
                    reports.failed(partition, name(call), &said(panic.as_ref()));
                    false
                }
                None => {
                    match overdue.get() {
                        Some(limit) => reports.failed(partition, name(call), &too_long(*limit)),
                        None => reports.cancelled(partition),
                    }
                    false
                }
            }
        };
        tasks::run(&self.line, run.instrument(span.clone()), move |ended| {
            let succeeded = ended.unwrap_or_else(|source| {
                // What the handler's future drops may panic as well.
                let why = format!("panicked when it was dropped: {source}");
                after.reports.failed(partition, name(call), &why);
                false
            });
            if !succeeded {
                span.record("otel.status_code", "ERROR");
            }
            Input::CallEnded {
                call: id,
                succeeded,
            }
        });
    }

    /// The call's result is no longer wanted: its future is dropped.
    pub(super) fn cancel(&self, id: CallId, overdue: Option<Duration>) {
        if let Some(running) = self.running.get(&id) {
            if let Some(limit) = overdue {
                let _ = running.overdue.set(limit);
            }
            running.cancelled.say();
        }
    }

    pub(super) fn ended(&mut self, id: CallId) {
        self.running.remove(&id);
    }

    /// The lease has lapsed. Nothing waits for what the handler does about it.
    pub(super) fn lapsed(&self) {
        let never = Over::new();
        let context = self.context(None, &never);
        let (node, ended) = (Arc::clone(&self.node), self.ended.said());
        tokio::spawn(async move {
            let lost = async { node.config.handler.lease_lost(&context).await };
            let lost = AssertUnwindSafe(lost).catch_unwind();
            tokio::select! {
                result = lost => if let Err(panic) = result {
                    tracing::warn!(panic = said(panic.as_ref()), "the handler panicked in lease_lost");
                },
                () = ended => {}
            }
        });
    }

    /// The node has ended: whatever runs is dropped.
    pub(super) fn end(&self) {
        self.ended.say();
    }
}

fn too_long(limit: Duration) -> String {
    format!("has not returned within {limit:?}; it was cancelled, and is called again")
}

fn name(call: Call) -> &'static str {
    match call {
        Call::Prepare { .. } => "prepare",
        Call::CatchUp { .. } => "catch-up",
        Call::BecomePrimary { .. } => "become-primary",
        Call::BecomeReplica => "become-replica",
        Call::Release { .. } => "release",
        Call::CleanUp => "clean-up",
    }
}

/// What a call that copies copies from; `None` when its source is no member any more.
fn copying(state: &State, partition: PartitionId, call: Call) -> Option<Copying> {
    let (Call::Prepare { transfer, source } | Call::CatchUp { transfer, source }) = call else {
        return None;
    };
    from(state, partition, transfer, source)
}

fn from(
    state: &State,
    partition: PartitionId,
    transfer: TransferId,
    source: MemberNumber,
) -> Option<Copying> {
    let member = state.member(source)?;
    let (node, services) = (member.node.clone(), member.services.clone());
    Some(Copying::new(partition, transfer, node, services))
}

/// The source of a copy has left the cluster.
#[derive(Debug, thiserror::Error)]
#[error("the node to copy {partition} from is no member any more; the move will be aborted")]
struct NoSource {
    partition: PartitionId,
}

fn run<'a>(
    node: &'a Shared,
    context: &'a CallContext,
    partition: PartitionId,
    call: Call,
    copying: Option<Copying>,
) -> BoxFuture<'a, Result<(), HandlerError>> {
    let handler = &node.config.handler;
    match (call, copying) {
        (Call::Prepare { .. }, Some(copying)) => handler.prepare(context, copying),
        (Call::CatchUp { .. }, Some(copying)) => handler.catch_up(context, copying),
        (Call::Prepare { .. } | Call::CatchUp { .. }, None) => {
            let gone: HandlerError = Box::new(NoSource { partition });
            Box::pin(std::future::ready(Err(gone)))
        }
        (Call::BecomePrimary { token }, _) => handler.become_primary(context, token),
        (Call::BecomeReplica, _) => handler.become_replica(context, partition),
        (Call::Release { .. }, _) => {
            let now = Duration::from_nanos(node.gates.now().0);
            let deadline = now.saturating_add(node.config.pace.release);
            handler.release(context, partition, deadline)
        }
        (Call::CleanUp, _) => handler.clean_up(context, partition),
    }
}

/// What a panic said.
fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned());
    format!(
        "panicked: {}",
        text.unwrap_or_else(|| "without a word".to_owned())
    )
}
