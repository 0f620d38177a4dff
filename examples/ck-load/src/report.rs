//! What a run came to, for people and for programs.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::drive::Summary;
use crate::measure::Latency;

/// Latencies of one kind of operation, in microseconds.
#[derive(Debug, Clone, Serialize)]
pub struct Kind {
    /// `get`, `put`, `delete`, `cas` or `all`.
    pub operation: &'static str,
    /// How many were served.
    pub served: u64,
    /// Their mean.
    pub mean_us: f64,
    /// Half of them took at most this.
    pub p50_us: f64,
    /// Nine in ten.
    pub p90_us: f64,
    /// 99 in a hundred.
    pub p99_us: f64,
    /// 999 in a thousand.
    pub p999_us: f64,
    /// The longest.
    pub max_us: f64,
}

/// What a run came to.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Operations a second that were served.
    pub per_second: f64,
    /// How long was measured, in seconds.
    pub seconds: f64,
    /// Operations that were served.
    pub served: u64,
    /// Of these, compare-and-sets that found something else.
    pub mismatches: u64,
    /// Operations that were refused: certainly not done.
    pub refused: u64,
    /// Operations that were never sent.
    pub not_sent: u64,
    /// Operations of unknown outcome.
    pub unknown: u64,
    /// At a rate: operations that were due and never sent, because all clients were waiting.
    pub left: u64,
    /// Bytes of values read.
    pub bytes_read: u64,
    /// The longest time in which nothing was served, in milliseconds, in steps of 100.
    pub longest_gap_ms: u64,
    /// Processor time that the load itself took, in seconds for each second.
    pub own_cores: f64,
    /// Served and not served in each step of 100 ms.
    pub steps: Vec<(u32, u32)>,
    /// Latencies, all kinds last.
    pub latencies: Vec<Kind>,
}

impl Report {
    /// Of a summary, with the processor time that the process took for it.
    #[must_use]
    pub fn new(summary: &Summary, own: Duration, wall: Duration) -> Self {
        let measured = &summary.measured;
        let mut latencies: Vec<Kind> = measured
            .kinds()
            .map(|(operation, latency)| kind(operation.name(), latency))
            .collect();
        latencies.push(kind("all", &measured.all()));
        let seconds = measured.length().as_secs_f64();
        Self {
            per_second: measured.served as f64 / seconds,
            seconds,
            served: measured.served,
            mismatches: measured.mismatches,
            refused: measured.refused,
            not_sent: measured.not_sent,
            unknown: measured.unknown,
            left: summary.left,
            bytes_read: measured.bytes,
            longest_gap_ms: u64::try_from(measured.longest_gap().as_millis()).unwrap_or(u64::MAX),
            own_cores: own.as_secs_f64() / wall.as_secs_f64().max(1e-9),
            steps: measured.steps.clone(),
            latencies,
        }
    }
}

fn kind(operation: &'static str, latency: &Latency) -> Kind {
    let micros = |duration: Duration| (duration.as_nanos() as f64 / 100.0).round() / 10.0;
    Kind {
        operation,
        served: latency.count(),
        mean_us: micros(latency.mean()),
        p50_us: micros(latency.quantile(0.5)),
        p90_us: micros(latency.quantile(0.9)),
        p99_us: micros(latency.quantile(0.99)),
        p999_us: micros(latency.quantile(0.999)),
        max_us: micros(latency.max()),
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<8}{:>10}{:>11}{:>11}{:>11}{:>11}{:>11}",
            "", "served", "p50", "p90", "p99", "p99.9", "max"
        )?;
        for kind in &self.latencies {
            writeln!(
                f,
                "{:<8}{:>10}{:>11}{:>11}{:>11}{:>11}{:>11}",
                kind.operation,
                kind.served,
                shown(kind.p50_us),
                shown(kind.p90_us),
                shown(kind.p99_us),
                shown(kind.p999_us),
                shown(kind.max_us)
            )?;
        }
        let Self {
            per_second,
            seconds,
            mismatches,
            refused,
            not_sent,
            unknown,
            longest_gap_ms,
            own_cores,
            ..
        } = self;
        writeln!(
            f,
            "{per_second:.0} a second for {seconds:.1} s, {own_cores:.2} cores for the load itself"
        )?;
        writeln!(
            f,
            "{mismatches} mismatches, {refused} refused, {not_sent} not sent, {unknown} of unknown outcome; \
             longest gap {longest_gap_ms} ms"
        )?;
        if self.left > 0 {
            writeln!(
                f,
                "{} were due and never sent: the clients were too few or too slow",
                self.left
            )?;
        }
        Ok(())
    }
}

fn shown(micros: f64) -> String {
    match micros {
        micros if micros < 1_000.0 => format!("{micros:.0} µs"),
        micros if micros < 1_000_000.0 => format!("{:.2} ms", micros / 1_000.0),
        micros => format!("{:.2} s", micros / 1_000_000.0),
    }
}
