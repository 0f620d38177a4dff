//! What the user's handler is doing, for status: the call that runs, how far it is, what failed.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ck_core::PartitionId;
use parking_lot::Mutex;

/// Characters of an error that are kept.
const ERROR_CHARS_MAX: usize = 512;

/// How often the others are told how far one copy is.
const TOLD_EVERY: Duration = Duration::from_millis(100);

/// What the handler is doing for one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HandlerReport {
    /// The partition.
    pub partition: PartitionId,
    /// The method that runs, or ran last: `prepare`, `catch-up`, `become-primary`,
    /// `become-replica`, `release`, `clean-up`.
    pub call: &'static str,
    /// Whether it runs now.
    pub running: bool,
    /// When it began.
    pub since: Instant,
    /// How far a copy has come, in the handler's own units.
    pub done: u64,
    /// How far it goes; 0 while unknown.
    pub total: u64,
    /// Failures in a row.
    pub failures: u32,
    /// What went wrong last, in the handler's own words; empty when nothing did.
    pub error: String,
    /// When the others were told last how far it is.
    told: Option<Instant>,
}

/// The reports of all partitions that have something to report.
#[derive(Default)]
pub(crate) struct Reports(Mutex<BTreeMap<PartitionId, HandlerReport>>);

impl Reports {
    pub(crate) fn begun(&self, partition: PartitionId, call: &'static str) {
        let mut reports = self.0.lock();
        let report = reports.entry(partition).or_insert_with(|| HandlerReport {
            partition,
            call,
            running: true,
            since: Instant::now(),
            done: 0,
            total: 0,
            failures: 0,
            error: String::new(),
            told: None,
        });
        if report.call != call {
            (report.failures, report.error) = (0, String::new());
        }
        (report.call, report.running, report.since) = (call, true, Instant::now());
        (report.done, report.total, report.told) = (0, 0, None);
    }

    /// True when it is time to tell the others as well.
    pub(crate) fn progress(&self, partition: PartitionId, done: u64, total: u64) -> bool {
        let mut reports = self.0.lock();
        let Some(report) = reports.get_mut(&partition) else {
            return false;
        };
        (report.done, report.total) = (done, total);
        let due = report.told.is_none_or(|told| told.elapsed() >= TOLD_EVERY) || done == total;
        if due {
            report.told = Some(Instant::now());
        }
        due
    }

    pub(crate) fn succeeded(&self, partition: PartitionId) {
        self.0.lock().remove(&partition);
    }

    pub(crate) fn cancelled(&self, partition: PartitionId) {
        self.0.lock().remove(&partition);
    }

    pub(crate) fn failed(&self, partition: PartitionId, call: &'static str, error: &str) {
        tracing::warn!(%partition, call, error, "the handler failed; it is tried again");
        if let Some(report) = self.0.lock().get_mut(&partition) {
            report.running = false;
            report.failures = report.failures.saturating_add(1);
            report.error = error.chars().take(ERROR_CHARS_MAX).collect();
        }
    }

    pub(crate) fn all(&self) -> Vec<HandlerReport> {
        self.0.lock().values().cloned().collect()
    }
}
