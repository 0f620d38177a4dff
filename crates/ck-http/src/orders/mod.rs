//! An application outside the process as the node's handler.
//!
//! Each call of the handler becomes an order: an event for whoever subscribes, kept until it is
//! acknowledged, fails or is not wanted any more.

mod book;
mod handler;

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use bytes::Bytes;
use ck_api as api;
use ck_api::{Code, Newest, Problem};
use ck_control::State;
use ck_core::PartitionId;
use serde::Serialize;
use tokio::sync::mpsc;

use crate::backend::Backend;
use crate::reply::{Refused, to_json};
use crate::time;
use book::{Book, Ended, Found};

/// Orders that may be open at a time, unless told otherwise.
const OPEN_MAX: usize = 4096;

/// Subscribers at a time.
const SUBSCRIBERS_MAX: usize = 8;

/// Events a subscriber may be behind with, beside the orders that are open when it comes. One that
/// is behind further is cut off, and gets the open orders again when it returns.
const BEHIND_MAX: usize = 1024;

/// The orders of one node: give a clone to the node as its handler, and one to the surface.
///
/// As long as nobody has subscribed since the start, calls succeed at once, as on a node without an
/// application. From the first subscription on the application is the handler, connected or not:
/// orders wait for it, and the deadlines of their stages bound the wait. An application that must
/// not miss a call, because data would be taken for copied that is not, is expected from the start.
///
/// ```
/// use std::sync::Arc;
/// let orders = ck_http::Orders::default();
/// let handler: Arc<dyn ck_control::Handler> = Arc::new(orders.clone());
/// let surface = ck_http::SurfaceConfig {
///     orders: Some(orders),
///     ..Default::default()
/// };
/// # let _ = (handler, surface);
/// ```
#[derive(Clone)]
pub struct Orders {
    shared: Arc<Shared>,
}

struct Shared {
    /// The node, once the surface has it. Weak: the node holds its handler.
    backend: OnceLock<Weak<dyn Backend>>,
    book: Mutex<Book>,
    /// Part of every id, so that an order of an earlier start, or of another node, is not taken for
    /// one of this.
    start: u64,
    has_application: AtomicBool,
}

/// Why an order did not come to its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OrderError {
    /// The application says so.
    #[error("the application failed: {reason}")]
    Failed {
        /// What it said.
        reason: String,
    },
    /// As many orders wait as may.
    #[error("{limit} orders wait for the application already; acknowledge some")]
    Full {
        /// The limit.
        limit: usize,
    },
    /// The call is not wanted any more.
    #[error("the order is not wanted any more")]
    Cancelled,
}

impl Default for Orders {
    fn default() -> Self {
        Self::new(OPEN_MAX)
    }
}

impl std::fmt::Debug for Orders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Orders")
            .field("has_application", &self.has_application())
            .finish_non_exhaustive()
    }
}

impl Orders {
    /// No orders yet, and at most `open_max` open at a time; default 4,096. A call above that fails
    /// and is tried again later.
    #[must_use]
    pub fn new(open_max: usize) -> Self {
        // Drawn, not the time alone: two nodes may well start in one millisecond.
        let start = RandomState::new().hash_one(time::now_ms());
        Self {
            shared: Arc::new(Shared {
                backend: OnceLock::new(),
                book: Mutex::new(Book::new(open_max)),
                start,
                has_application: AtomicBool::new(false),
            }),
        }
    }

    /// Makes orders wait for the application from now on, as if it had subscribed.
    #[must_use]
    pub fn expecting_application(self) -> Self {
        self.shared.has_application.store(true, Ordering::Release);
        self
    }

    /// Whether an application has subscribed since the start, or is expected.
    #[must_use]
    pub fn has_application(&self) -> bool {
        self.shared.has_application.load(Ordering::Acquire)
    }

    /// Orders that wait for an acknowledgement.
    #[must_use]
    pub fn open(&self) -> usize {
        self.book().open_len()
    }

    /// What a partition waits for an application to do while none is connected.
    pub(crate) fn waits_in_vain(&self, partition: PartitionId) -> Option<String> {
        let book = self.book();
        if book.subscribers.iter().any(|one| !one.is_closed()) {
            return None;
        }
        let id = partition.to_string();
        let mut open = book.open();
        open.find(|order| order.partition == id)
            .map(|order| order.event.clone())
    }

    /// Learns of the node whose orders these are. The first one counts.
    pub(crate) fn attach(&self, backend: &Arc<dyn Backend>) {
        let _ = self.shared.backend.set(Arc::downgrade(backend));
    }

    fn backend(&self) -> Option<Arc<dyn Backend>> {
        self.shared.backend.get()?.upgrade()
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        let book = self.shared.book.lock();
        book.unwrap_or_else(PoisonError::into_inner)
    }

    fn id(&self, number: u64) -> String {
        format!("{:x}-{number}", self.shared.start)
    }

    fn number(&self, id: &str) -> Option<u64> {
        let (start, number) = id.split_once('-')?;
        let number = number.parse().ok()?;
        (start == format!("{:x}", self.shared.start) && self.id(number) == id).then_some(number)
    }

    /// The events from now on, the open orders first, after `state`.
    pub(crate) fn subscribe(
        &self,
        mut state: api::OrdersState,
    ) -> Result<mpsc::Receiver<Bytes>, Refused> {
        let mut book = self.book();
        book.subscribers.retain(|one| !one.is_closed());
        if book.subscribers.len() >= SUBSCRIBERS_MAX {
            let detail = format!(
                "{SUBSCRIBERS_MAX} subscribers follow the orders already; close one of them"
            );
            let problem = Problem::new(Code::Overloaded, detail);
            return Err(problem.with_retry_after_ms(1000).into());
        }
        let (sender, receiver) = mpsc::channel(book.open_len() + BEHIND_MAX);
        state.open = book.open_len() as u64;
        let first = frame("state", None, &state);
        let open = book.open().map(event);
        for event in std::iter::once(first).chain(open) {
            let sent = sender.try_send(event);
            debug_assert!(sent.is_ok(), "there is room for what is open");
        }
        book.subscribers.push(sender);
        self.shared.has_application.store(true, Ordering::Release);
        Ok(receiver)
    }

    /// Takes an acknowledgement.
    pub(crate) fn acknowledge(
        &self,
        id: &str,
        ack: &api::OrderAck,
    ) -> Result<api::OrderAcked, Refused> {
        check(ack)?;
        let unknown = || {
            let shown: String = id.chars().take(64).collect();
            let detail = format!(
                "there is no order {shown:?}; it may be of an earlier start of this node, or have \
                 ended long ago"
            );
            let problem = Problem::new(Code::OrderUnknown, detail);
            Refused::from(problem.with_field("id").with_value(id))
        };
        let number = self.number(id).ok_or_else(unknown)?;
        let mut book = self.book();
        let found = book.find(number).ok_or_else(unknown)?;
        let (order, ended) = match found {
            Found::Open(order) => (order, None),
            Found::Ended(order, ended) => (order, Some(ended)),
        };
        if let Some(differs) = difference(order, ack) {
            return Err(self.superseded(order, &differs));
        }
        let state = match ended {
            Some(Ended::Superseded) => {
                return Err(self.superseded(order, "it is not wanted any more"));
            }
            Some(ended) => ended.name(),
            None => book.report(number, ack),
        };
        Ok(api::OrderAcked {
            id: id.to_owned(),
            state: state.to_owned(),
        })
    }

    fn superseded(&self, order: &api::Order, why: &str) -> Refused {
        let detail = format!(
            "order {} ({} of {}) is not acknowledged by this: {why}",
            order.id, order.event, order.partition
        );
        let mut problem = Problem::new(Code::OrderSuperseded, detail);
        let partition = order.partition.parse().ok();
        if let (Some(backend), Some(partition)) = (self.backend(), partition) {
            problem = problem.with_newest(newest(&backend.state(), Some(partition)));
        }
        problem.into()
    }
}

/// Where things stand, with a partition or without.
pub(crate) fn newest(state: &State, partition: Option<PartitionId>) -> Newest {
    let mut newest = Newest {
        incarnation: state.incarnation().0,
        version: state.version().0,
        ..Newest::default()
    };
    let Some((id, control)) = partition.and_then(|id| Some((id, state.partition(id)?))) else {
        return newest;
    };
    let live = |holder: &ck_control::Holder| state.session(holder.session).is_some();
    let holder = control.holder.filter(live);
    let holder = holder.and_then(|holder| state.member(holder.member));
    newest.partition = Some(id.to_string());
    newest.primary_node = Some(holder.map_or_else(String::new, |one| one.node.to_string()));
    let address = |member: &ck_control::Member| {
        Some(member.http_address.clone()).filter(|address| !address.is_empty())
    };
    newest.primary_address = holder.and_then(address);
    newest.epoch = Some(control.epoch.0);
    let transfer = control.transfer.and_then(|id| state.transfer(id));
    let switching = transfer.filter(|one| one.switch.is_some());
    newest.switch = switching.and_then(|one| Some(one.switch?.0));
    let next = switching.filter(|one| one.handoff);
    newest.next_address = next
        .and_then(|one| state.member(one.target.member))
        .and_then(address);
    newest
}

/// Refuses an acknowledgement that contradicts itself.
fn check(ack: &api::OrderAck) -> Result<(), Refused> {
    let wrong = |field: &str, detail: &str| -> Result<(), Refused> {
        Err(Problem::new(Code::InvalidBody, detail)
            .with_field(field)
            .into())
    };
    if !handler::EVENTS.contains(&ack.stage.as_str()) {
        let detail = format!("`stage` is none of {}", handler::EVENTS.join(", "));
        let problem = Problem::new(Code::InvalidBody, detail).with_field("stage");
        return Err(problem.with_value(&*ack.stage).into());
    }
    let is_release = ack.stage == handler::RELEASE;
    if is_release && ack.switch.is_none() {
        return wrong("switch", "`switch` is missing; repeat the order's");
    }
    if !is_release && ack.switch.is_some() {
        return wrong("switch", "`switch` is given with `release` alone");
    }
    if ack.error.is_some() && ack.done.is_some() {
        return wrong("done", "`done` and `error` exclude each other");
    }
    Ok(())
}

/// What an acknowledgement names otherwise than its order.
fn difference(order: &api::Order, ack: &api::OrderAck) -> Option<String> {
    if ack.stage != order.event {
        return Some(format!("it names the stage {}", ack.stage));
    }
    if ack.session != order.session {
        let (got, has) = (ack.session, order.session);
        return Some(format!("it names session {got}, the order's is {has}"));
    }
    if ack.epoch != order.epoch {
        let (got, has) = (ack.epoch, order.epoch);
        return Some(format!("it names epoch {got}, the order's is {has}"));
    }
    if ack.switch != order.switch {
        return Some("it names another switch".to_owned());
    }
    None
}

fn event(order: &api::Order) -> Bytes {
    frame(&order.event, Some(&order.id), order)
}

/// A server-sent event.
fn frame(name: &str, id: Option<&str>, data: &impl Serialize) -> Bytes {
    let mut text = format!("event: {name}\n").into_bytes();
    if let Some(id) = id {
        text.extend_from_slice(format!("id: {id}\n").as_bytes());
    }
    // JSON on one line: a line break within a text is escaped.
    text.extend_from_slice(b"data: ");
    text.extend_from_slice(&to_json(data));
    text.extend_from_slice(b"\n\n");
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_that_start_at_once_know_each_other_s_orders_not() {
        let nodes: Vec<_> = (0..64).map(|_| Orders::default()).collect();
        for (at, node) in nodes.iter().enumerate() {
            let id = node.id(3);
            assert_eq!(node.number(&id), Some(3));
            let others = nodes.iter().enumerate().filter(|(other, _)| *other != at);
            assert!(
                others
                    .into_iter()
                    .all(|(_, other)| other.number(&id).is_none())
            );
        }
    }
}
