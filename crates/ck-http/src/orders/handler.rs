//! Calls of the handler, as orders.

use std::collections::BTreeMap;
use std::time::Duration;

use ck_api as api;
use ck_control::{
    BoxFuture, Copying, FencingToken, Handler, HandlerContext, HandlerError, Transfer,
};
use ck_core::PartitionId;
use tokio::sync::watch;

use super::book::{Ended, Report};
use super::{OrderError, Orders, event, frame};

const PREPARE: &str = "prepare";
const CATCH_UP: &str = "catch-up";
pub(super) const RELEASE: &str = "release";
const BECOME_PRIMARY: &str = "become-primary";
const BECOME_REPLICA: &str = "become-replica";
const CLEAN_UP: &str = "clean-up";

/// Every event that is acknowledged.
pub(super) const EVENTS: [&str; 6] = [
    PREPARE,
    CATCH_UP,
    RELEASE,
    BECOME_PRIMARY,
    BECOME_REPLICA,
    CLEAN_UP,
];

/// What is asked, before the node's state is looked at.
struct Wanted {
    event: &'static str,
    partition: PartitionId,
    token: Option<FencingToken>,
    copying: Option<Copying>,
    deadline: Option<Duration>,
}

impl Wanted {
    const fn new(event: &'static str, partition: PartitionId) -> Self {
        Self {
            event,
            partition,
            token: None,
            copying: None,
            deadline: None,
        }
    }
}

/// Withdraws an order whose call was dropped.
struct Withdraw<'o> {
    orders: &'o Orders,
    number: u64,
}

impl Drop for Withdraw<'_> {
    fn drop(&mut self) {
        let mut book = self.orders.book();
        if book.end(self.number, Ended::Superseded) {
            let id = self.orders.id(self.number);
            book.tell(&frame("superseded", None, &api::Superseded { id }));
        }
    }
}

impl Orders {
    async fn ask(&self, context: &dyn HandlerContext, wanted: Wanted) -> Result<(), HandlerError> {
        let Some((number, mut reported)) = self.order(wanted)? else {
            return Ok(());
        };
        let _withdraw = Withdraw {
            orders: self,
            number,
        };
        let mut cancelled = context.cancelled();
        loop {
            tokio::select! {
                biased;
                told = reported.changed() => {
                    if told.is_err() {
                        return Err(OrderError::Cancelled.into());
                    }
                }
                () = &mut cancelled => return Err(OrderError::Cancelled.into()),
            }
            let Report { progress, verdict } = reported.borrow_and_update().clone();
            if let Some(progress) = progress {
                context.progress(progress.done, progress.total);
            }
            if let Some(verdict) = verdict {
                return Ok(verdict?);
            }
        }
    }

    /// Opens an order, tells everybody who follows, and gives what is told of it; `None` without an
    /// application.
    fn order(&self, wanted: Wanted) -> Result<Option<(u64, watch::Receiver<Report>)>, OrderError> {
        if !self.has_application() {
            return Ok(None);
        }
        let Some(backend) = self.backend() else {
            return Ok(None);
        };
        let (state, status) = (backend.state(), backend.status());
        let control = state.partition(wanted.partition);
        let transfer = control.and_then(|control| state.transfer(control.transfer?));
        let switch = transfer.and_then(|one| one.switch);
        let is_release = wanted.event == RELEASE;
        let epoch = wanted.token.map(|token| token.epoch);
        let (source, services, copied) = match wanted.copying {
            Some(one) => (
                Some(one.source.to_string()),
                one.services,
                Some(one.transfer),
            ),
            None => (None, BTreeMap::new(), None),
        };
        let part = |one: &Transfer| is_release || Some(one.target.member) == status.member;
        let moved = copied.or_else(|| transfer.filter(|one| part(one)).map(|one| one.id));
        let mut book = self.book();
        let number = book.next()?;
        let order = api::Order {
            id: self.id(number),
            event: wanted.event.to_owned(),
            partition: wanted.partition.to_string(),
            incarnation: state.incarnation().0,
            session: status.session.map_or(0, |session| session.0),
            epoch: epoch.map_or_else(|| control.map_or(0, |one| one.epoch.0), |epoch| epoch.0),
            switch: switch.filter(|_| is_release).map(|switch| switch.0),
            transfer: moved.map(|transfer| transfer.0),
            source,
            services,
            deadline_ms: wanted
                .deadline
                .map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX)),
        };
        let told = event(&order);
        let reported = book.add(number, order);
        book.tell(&told);
        Ok(Some((number, reported)))
    }
}

impl Handler for Orders {
    fn prepare<'a>(
        &'a self,
        context: &'a dyn HandlerContext,
        copying: Copying,
    ) -> BoxFuture<'a, Result<(), HandlerError>> {
        let mut wanted = Wanted::new(PREPARE, copying.partition);
        wanted.copying = Some(copying);
        Box::pin(self.ask(context, wanted))
    }

    fn catch_up<'a>(
        &'a self,
        context: &'a dyn HandlerContext,
        copying: Copying,
    ) -> BoxFuture<'a, Result<(), HandlerError>> {
        let mut wanted = Wanted::new(CATCH_UP, copying.partition);
        wanted.copying = Some(copying);
        Box::pin(self.ask(context, wanted))
    }

    fn become_primary<'a>(
        &'a self,
        context: &'a dyn HandlerContext,
        token: FencingToken,
    ) -> BoxFuture<'a, Result<(), HandlerError>> {
        let mut wanted = Wanted::new(BECOME_PRIMARY, token.partition);
        wanted.token = Some(token);
        Box::pin(self.ask(context, wanted))
    }

    fn become_replica<'a>(
        &'a self,
        context: &'a dyn HandlerContext,
        partition: PartitionId,
    ) -> BoxFuture<'a, Result<(), HandlerError>> {
        Box::pin(self.ask(context, Wanted::new(BECOME_REPLICA, partition)))
    }

    fn release<'a>(
        &'a self,
        context: &'a dyn HandlerContext,
        partition: PartitionId,
        deadline: Duration,
    ) -> BoxFuture<'a, Result<(), HandlerError>> {
        let mut wanted = Wanted::new(RELEASE, partition);
        wanted.deadline = Some(deadline.saturating_sub(context.now()));
        Box::pin(self.ask(context, wanted))
    }

    fn clean_up<'a>(
        &'a self,
        context: &'a dyn HandlerContext,
        partition: PartitionId,
    ) -> BoxFuture<'a, Result<(), HandlerError>> {
        Box::pin(self.ask(context, Wanted::new(CLEAN_UP, partition)))
    }

    fn lease_lost<'a>(&'a self, _: &'a dyn HandlerContext) -> BoxFuture<'a, ()> {
        if let Some(backend) = self.backend() {
            let lost = api::LeaseLost {
                incarnation: backend.state().incarnation().0,
                session: backend.status().session.map(|session| session.0),
            };
            self.book().tell(&frame("lease-lost", None, &lost));
        }
        Box::pin(std::future::ready(()))
    }
}
