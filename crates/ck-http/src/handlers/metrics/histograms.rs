//! How long things took, as histograms.

use std::time::Duration;

use ck_node::Durations;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::figures::{Labels, route};
use crate::surface::Core;

/// Histograms of one name, told apart by labels.
#[derive(Debug)]
pub(super) struct Histograms {
    name: &'static str,
    help: &'static str,
    values: Vec<(Labels, Latency)>,
}

/// All of them.
pub(super) fn all(core: &Core) -> Vec<Histograms> {
    let failovers = core.backend.failover_figures();
    let one = |name, help, durations: &Durations| Histograms {
        name,
        help,
        values: vec![(Labels::new(), Latency::of(durations))],
    };
    let ways = core.counters.answered.ways();
    let requests = ways.map(|(way, figures)| {
        let latency = Latency {
            seconds: figures.seconds(),
            buckets: figures.buckets(),
        };
        (route(way), latency)
    });
    vec![
        one(
            "failover_duration_seconds",
            "From the last sign of life of a lost primary to the next grant of its partition, as the leader",
            &failovers.granted,
        ),
        one(
            "failover_begin_duration_seconds",
            "From learning of a grant to this node after a loss to being able to act on it",
            &failovers.begun,
        ),
        Histograms {
            name: "http_request_duration_seconds",
            help: "Time from a request's head to its answer's, by route",
            values: requests.collect(),
        },
        one(
            "http_watch_delay_seconds",
            "From a change of the table being known to a watcher being sent it",
            &core.counters.watch_delays(),
        ),
    ]
}

impl Histograms {
    pub(super) fn encode(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
    ) -> Result<(), std::fmt::Error> {
        let kind = MetricType::Histogram;
        let mut family = encoder.encode_descriptor(self.name, self.help, None, kind)?;
        if let [(labels, latency)] = &self.values[..]
            && labels.is_empty()
        {
            return latency.encode(family);
        }
        for (labels, latency) in &self.values {
            latency.encode(family.encode_family(labels)?)?;
        }
        Ok(())
    }
}

/// How long something took.
#[derive(Debug)]
struct Latency {
    seconds: f64,
    buckets: Vec<(f64, u64)>,
}

impl Latency {
    fn of(durations: &Durations) -> Self {
        let bound = |bound: Option<Duration>| bound.map_or(f64::INFINITY, |at| at.as_secs_f64());
        let buckets = durations.buckets();
        Self {
            seconds: durations.total().as_secs_f64(),
            buckets: buckets.map(|(at, count)| (bound(at), count)).collect(),
        }
    }
}

impl EncodeMetric for Latency {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        let count = self.buckets.iter().map(|bucket| bucket.1).sum();
        encoder.encode_histogram::<NoLabelSet>(self.seconds, count, &self.buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}
