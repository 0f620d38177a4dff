//! What this node may act on.

use std::time::Duration;

use ck_control::Mode;
use ck_core::PartitionId;

use super::Handle;
use crate::durations::FailoverFigures;
use crate::operation::OperationError;
use crate::ownership::{NotOwner, Owned, Ownership};
use crate::reports::HandlerReport;

impl Handle {
    /// The right to act on a partition as its primary, if this node has it now.
    ///
    /// Keep it as long as you like, and ask [`Ownership::check`] before each effect: the answer
    /// costs some nanoseconds, and is `Err` for good once the grant has ended.
    ///
    /// # Errors
    /// [`NotOwner`] says who is asked instead, or whether it is worth waiting.
    pub fn acquire(&self, partition: PartitionId) -> Result<Ownership, NotOwner> {
        let published = self.node.publisher.current();
        let state = &published.state;
        if let Some(own) = Ownership::open(&self.node.gates, partition) {
            return Ok(own);
        }
        let row = state.table().and_then(|table| table.row(partition));
        let Some(row) = row else {
            let partitions = state.table().map_or(0, |table| table.partitions());
            return Err(NotOwner::Unknown {
                partition,
                partitions,
            });
        };
        if state.config().mode == Mode::Advisory {
            return Err(NotOwner::Advisory);
        }
        let holder = state.partition(partition).and_then(|one| one.holder);
        let holder = holder.filter(|holder| state.session(holder.session).is_some());
        let primary = row.primary().filter(|_| holder.is_some());
        if primary != Some(self.node_id()) {
            let primary = primary.cloned();
            return Err(NotOwner::Elsewhere { partition, primary });
        }
        if self.node.gates.lease_remaining().is_zero() {
            return Err(NotOwner::LeaseLapsed { partition });
        }
        Err(NotOwner::Moving { partition })
    }

    /// Whether this node may act on a partition as its primary at this instant: one clock reading
    /// and two atomic loads, no lock. To act, [`Handle::acquire`] it.
    #[must_use]
    #[inline]
    pub fn owns(&self, partition: PartitionId) -> bool {
        self.node.gates.owns(partition).is_some()
    }

    /// What the handler is doing: the calls that run, how far each is, and what failed last.
    #[must_use]
    pub fn handler_reports(&self) -> Vec<HandlerReport> {
        self.node.reports.all()
    }

    /// How long failovers took, since the process started, as far as this node knows.
    #[must_use]
    pub fn failover_figures(&self) -> FailoverFigures {
        self.node.failover_figures()
    }

    /// How long this node may act unless its lease is renewed; zero while it has none.
    #[must_use]
    pub fn lease_remaining(&self) -> Duration {
        self.node.gates.lease_remaining()
    }

    /// What this node may act on as primary at this instant, for a process outside.
    ///
    /// Once an outside process was told, a restart of this one waits for the lease to run out
    /// before it takes its session's place; so the first answer of a start is written down first.
    ///
    /// # Errors
    /// [`OperationError::Store`] when it cannot be written down.
    pub async fn owned(&self) -> Result<Owned, OperationError> {
        self.node.note_served().await?;
        let published = self.node.publisher.current();
        let state = &published.state;
        let session = self.node.session();
        let tokens = self.node.gates.all();
        Ok(Owned {
            incarnation: state.incarnation(),
            version: state.version(),
            session: session.filter(|session| state.session(*session).is_some()),
            lease_remaining: self.node.gates.lease_remaining(),
            tokens,
        })
    }
}
