//! The figures of one moment, and how they are written. `docs/metrics.md` lists them all.

use ck_control::state::Stage;
use ck_core::Fraction;
use ck_core::table::NodeStats;
use ck_node::{NodeStatus, Role};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::histograms::{self, Histograms};
use crate::surface::Core;
use crate::view::{STATES, View};

/// Nodes with figures of their own; of more, those after them in order of name have none.
const NODES_MAX: usize = 1_000;

const STAGES: [Stage; 6] = [
    Stage::Prepare,
    Stage::CatchUp,
    Stage::Release,
    Stage::Commit,
    Stage::Activate,
    Stage::CleanUp,
];

/// Name, help and value of what has no label.
type One = (&'static str, &'static str, f64);

/// The figures of one moment.
#[derive(Debug)]
pub(super) struct Figures {
    gauges: Vec<One>,
    counters: Vec<One>,
    families: Vec<Family>,
    histograms: Vec<Histograms>,
}

pub(super) type Labels = Vec<(&'static str, String)>;

/// Figures of one name, told apart by labels.
#[derive(Debug)]
struct Family {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    values: Vec<(Labels, f64)>,
}

impl Figures {
    pub(super) fn of(core: &Core, view: &View, status: &NodeStatus) -> Self {
        let counters = &core.counters;
        let mut gauges = table_gauges(view);
        gauges.extend(consensus_gauges(status));
        gauges.extend(own_gauges(core, status));
        let mut families = vec![by_state(view), transfers(view), requests(core)];
        families.extend(by_node(view));
        Self {
            gauges,
            counters: vec![
                (
                    "failovers",
                    "Partitions that got another primary as the one before was lost, as far as this node saw",
                    float(core.failovers()),
                ),
                (
                    "http_errors",
                    "HTTP requests answered with 400 or above",
                    float(counters.errors()),
                ),
                (
                    "http_connections_refused",
                    "HTTP connections refused for their number",
                    float(counters.refused()),
                ),
                (
                    "http_watchers_dropped",
                    "Watchers of the table that were too slow",
                    float(counters.watchers_dropped()),
                ),
            ],
            families,
            histograms: histograms::all(core),
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "figures for people, far below 2^52"
)]
fn float(value: u64) -> f64 {
    value as f64
}

fn flag(is: bool) -> f64 {
    f64::from(u8::from(is))
}

fn table_gauges(view: &View) -> Vec<One> {
    let state = view.state();
    vec![
        (
            "nodes",
            "Nodes in the cluster",
            float(state.members().len() as u64),
        ),
        ("partitions", "Partitions", float(view.partition_count())),
        (
            "table_version",
            "Version of the table",
            float(state.version().0),
        ),
        (
            "incarnation",
            "Incarnation of the cluster",
            float(state.incarnation().0),
        ),
        (
            "braked",
            "1 while the brake holds moves back",
            flag(state.brake().is_some()),
        ),
    ]
}

fn consensus_gauges(status: &NodeStatus) -> [One; 7] {
    let applied_at = status
        .applied_at_ms
        .map_or(0.0, |at_ms| float(at_ms) / 1000.0);
    let lag = status.last_log_index.saturating_sub(status.applied_index);
    [
        (
            "leader",
            "1 when this node is the consensus leader",
            flag(status.role == Role::Leader),
        ),
        ("consensus_term", "Consensus term", float(status.term)),
        (
            "consensus_last_log_index",
            "Index of the last log entry",
            float(status.last_log_index),
        ),
        (
            "consensus_commit_index",
            "Index up to which entries are committed",
            float(status.commit_index),
        ),
        (
            "consensus_applied_index",
            "Index up to which entries are applied",
            float(status.applied_index),
        ),
        (
            "consensus_lag_entries",
            "Entries in this node's log that it has not applied",
            float(lag),
        ),
        (
            "last_applied_timestamp_seconds",
            "When the newest entry was applied",
            applied_at,
        ),
    ]
}

/// What this node says of itself.
fn own_gauges(core: &Core, status: &NodeStatus) -> [One; 8] {
    let (counters, lag) = (&core.counters, core.watch_lag());
    [
        (
            "ready",
            "1 when this node is ready",
            flag(core.backend.unready().is_empty()),
        ),
        (
            "uptime_seconds",
            "Time since the start",
            status.uptime.as_secs_f64(),
        ),
        (
            "lease_remaining_seconds",
            "What is left of this node's lease; 0 without one",
            core.backend.lease_remaining().as_secs_f64(),
        ),
        (
            "http_connections",
            "HTTP connections open",
            float(counters.connections()),
        ),
        (
            "http_requests_in_flight",
            "HTTP requests worked on",
            float(counters.in_flight()),
        ),
        (
            "http_watchers",
            "Callers that watch the table or wait for a version",
            float(counters.watchers()),
        ),
        (
            "http_watch_lag_versions",
            "Versions that the last of the watchers has not been sent",
            float(lag.versions),
        ),
        (
            "http_watch_lag_seconds",
            "For how long that watcher could have been sent more",
            lag.time.as_secs_f64(),
        ),
    ]
}

fn by_state(view: &View) -> Family {
    let states = STATES.iter().zip(view.by_state());
    Family {
        name: "partition_states",
        help: "Partitions by state",
        kind: MetricType::Gauge,
        values: states
            .map(|(state, count)| (vec![("state", state.name().to_owned())], float(*count)))
            .collect(),
    }
}

fn transfers(view: &View) -> Family {
    let count = |stage: Stage| {
        let all = view.state().transfers();
        all.filter(|transfer| transfer.stage == stage).count() as u64
    };
    Family {
        name: "transfers",
        help: "Moves under way, by stage",
        kind: MetricType::Gauge,
        values: STAGES
            .into_iter()
            .map(|stage| {
                (
                    vec![("stage", stage.name().to_owned())],
                    float(count(stage)),
                )
            })
            .collect(),
    }
}

/// What each node holds, and what its weight earns it.
fn by_node(view: &View) -> [Family; 4] {
    let state = view.state();
    let stats = state
        .table()
        .map(|table| table.stats(&state.topology(), &state.spec()));
    let nodes = stats.map(|stats| stats.nodes).unwrap_or_default();
    let family = |name, help, value: fn(&NodeStats) -> f64| Family {
        name,
        help,
        kind: MetricType::Gauge,
        values: nodes
            .iter()
            .take(NODES_MAX)
            .map(|node| (vec![("node", node.id.to_string())], value(node)))
            .collect(),
    };
    [
        family(
            "node_primaries",
            "Partitions of which a node is the primary",
            |node| f64::from(node.primaries),
        ),
        family(
            "node_primaries_quota",
            "Primaries that a node's weight earns it",
            |node| thousandths(node.primary_quota),
        ),
        family("node_copies", "Copies that a node holds", |node| {
            f64::from(node.copies)
        }),
        family(
            "node_copies_quota",
            "Copies that a node's weight earns it",
            |node| thousandths(node.quota),
        ),
    ]
}

fn thousandths(share: Fraction) -> f64 {
    float(u64::try_from(share.per_mille()).unwrap_or(u64::MAX)) / 1000.0
}

pub(super) fn route([method, path]: [&str; 2]) -> Labels {
    vec![("method", method.to_owned()), ("route", path.to_owned())]
}

fn requests(core: &Core) -> Family {
    let ways = core.counters.answered.ways();
    let values = ways.flat_map(|(way, figures)| {
        figures.by_class().map(move |(class, count)| {
            let mut labels = route(way);
            labels.push(("status", format!("{class}xx")));
            (labels, float(count))
        })
    });
    Family {
        name: "http_requests",
        help: "HTTP requests answered, by route and class of status",
        kind: MetricType::Counter,
        values: values.collect(),
    }
}

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        for (name, help, value) in &self.gauges {
            let gauge = ConstGauge::new(*value);
            let descriptor = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
            gauge.encode(descriptor)?;
        }
        for (name, help, value) in &self.counters {
            let counter = ConstCounter::new(*value);
            let descriptor = encoder.encode_descriptor(name, help, None, counter.metric_type())?;
            counter.encode(descriptor)?;
        }
        for Family {
            name,
            help,
            kind,
            values,
        } in &self.families
        {
            let mut family = encoder.encode_descriptor(name, help, None, *kind)?;
            for (labels, value) in values {
                let one = family.encode_family(labels)?;
                match kind {
                    MetricType::Counter => ConstCounter::new(*value).encode(one)?,
                    _ => ConstGauge::new(*value).encode(one)?,
                }
            }
        }
        for histograms in &self.histograms {
            histograms.encode(&mut encoder)?;
        }
        Ok(())
    }
}
