//! Figures, for Prometheus or as JSON.

use ck_api as api;
use ck_node::{NodeStatus, Role};
use hyper::StatusCode;
use hyper::header::{ACCEPT, HeaderValue, VARY};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::reply::{Refused, done, plain};
use crate::route::{Answer, Ask};
use crate::surface::Core;
use crate::time;
use crate::view::{STATES, View};

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) fn metrics(core: &Core, ask: &Ask<'_>) -> Answer {
    let mut reply = match wanted(ask) {
        Form::Json => json(core),
        Form::Text(kind) => text(core, kind),
    }?;
    reply
        .headers_mut()
        .insert(VARY, HeaderValue::from_static("accept"));
    Ok(reply)
}

#[derive(Debug, PartialEq, Eq)]
enum Form {
    Json,
    Text(&'static str),
}

/// JSON when asked for, and without the prefix also when nothing particular is asked for, as
/// clients of the Go library do; text otherwise.
fn wanted(ask: &Ask<'_>) -> Form {
    let accept = ask
        .head
        .headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let kinds = accept.flat_map(|list| list.split(','));
    for kind in kinds.map(|kind| kind.split(';').next().unwrap_or_default().trim()) {
        match kind {
            "application/json" => return Form::Json,
            "application/openmetrics-text" => return Form::Text(OPEN_METRICS),
            "text/plain" | "text/*" => return Form::Text(TEXT),
            _ => {}
        }
    }
    if ask.is_strict() {
        Form::Text(TEXT)
    } else {
        Form::Json
    }
}

fn json(core: &Core) -> Answer {
    let view = core.view();
    let status = core.backend.status();
    let answer = api::Metrics {
        node_count: view.state().members().len() as u64,
        partition_count: view.partition_count(),
        request_count: core.counters.requests(),
        error_count: core.counters.errors(),
        last_sync: time::rfc3339(status.applied_at_ms),
        is_leader: status.role == Role::Leader,
        raft_state: status.role.name().to_owned(),
        uptime_seconds: status.uptime.as_secs(),
    };
    Ok(done(StatusCode::OK, Some(view.version()), &answer))
}

fn text(core: &Core, kind: &'static str) -> Answer {
    let mut registry = Registry::with_prefix("clusterkit");
    let figures = Figures::of(core, &core.view(), &core.backend.status());
    registry.register_collector(Box::new(figures));
    let mut body = String::new();
    prometheus_client::encoding::text::encode(&mut body, &registry).map_err(|error| {
        let detail = format!("the figures could not be written: {error}; report this");
        Refused::new(api::Code::Internal, detail)
    })?;
    Ok(plain(
        StatusCode::OK,
        HeaderValue::from_static(kind),
        body.into(),
    ))
}

/// The figures of one moment.
#[derive(Debug)]
struct Figures {
    gauges: Vec<Gauge>,
    counters: Vec<(&'static str, &'static str, u64)>,
    /// Requests by first digit of their status.
    by_class: Vec<(u16, u64)>,
    /// Partitions by state.
    by_state: Vec<(&'static str, u64)>,
}

impl Figures {
    fn of(core: &Core, view: &View, status: &NodeStatus) -> Self {
        let counters = &core.counters;
        let mut gauges = table_gauges(view);
        gauges.extend(consensus_gauges(status));
        let flag = |is: bool| f64::from(u8::from(is));
        gauges.extend([
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
        ]);
        let refused = counters.refused();
        Self {
            gauges,
            counters: vec![
                (
                    "http_errors",
                    "HTTP requests answered with 400 or above",
                    counters.errors(),
                ),
                (
                    "http_connections_refused",
                    "HTTP connections refused for their number",
                    refused,
                ),
                (
                    "http_watchers_dropped",
                    "Watchers of the table that were too slow",
                    counters.watchers_dropped(),
                ),
            ],
            by_class: counters.by_class().collect(),
            by_state: STATES
                .iter()
                .map(|state| state.name())
                .zip(*view.by_state())
                .collect(),
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

/// Name, help, value.
type Gauge = (&'static str, &'static str, f64);

fn table_gauges(view: &View) -> Vec<Gauge> {
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
    ]
}

fn consensus_gauges(status: &NodeStatus) -> [Gauge; 6] {
    let leads = f64::from(u8::from(status.role == Role::Leader));
    let seconds = status
        .applied_at_ms
        .map_or(0.0, |at_ms| float(at_ms) / 1000.0);
    let (last, commit) = (float(status.last_log_index), float(status.commit_index));
    [
        ("leader", "1 when this node is the consensus leader", leads),
        ("consensus_term", "Consensus term", float(status.term)),
        (
            "consensus_last_log_index",
            "Index of the last log entry",
            last,
        ),
        (
            "consensus_commit_index",
            "Index up to which entries are committed",
            commit,
        ),
        (
            "consensus_applied_index",
            "Index up to which entries are applied",
            float(status.applied_index),
        ),
        (
            "last_applied_timestamp_seconds",
            "When the newest entry was applied",
            seconds,
        ),
    ]
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
        let help = "Partitions by state";
        let mut states =
            encoder.encode_descriptor("partition_states", help, None, MetricType::Gauge)?;
        for (state, count) in &self.by_state {
            let count = ConstGauge::new(i64::try_from(*count).unwrap_or(i64::MAX));
            count.encode(states.encode_family(&[("state", *state)])?)?;
        }
        let help = "HTTP requests answered, by class of status";
        let mut classes =
            encoder.encode_descriptor("http_requests", help, None, MetricType::Counter)?;
        for (class, count) in &self.by_class {
            let class = format!("{class}xx");
            let counter = ConstCounter::new(*count);
            counter.encode(classes.encode_family(&[("status", class.as_str())])?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    fn form(path: &str, accept: Option<&str>) -> Form {
        let mut request = Request::get(path);
        if let Some(accept) = accept {
            request = request.header("accept", accept);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        wanted(&Ask {
            head: &head,
            segments: [None, None],
        })
    }

    #[test]
    fn the_form_follows_accept_and_the_path() {
        for path in ["/metrics", "/v1/metrics"] {
            assert_eq!(form(path, Some("application/json")), Form::Json);
            assert_eq!(
                form(path, Some("text/plain;version=0.0.4")),
                Form::Text(TEXT)
            );
            let both = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5";
            assert_eq!(form(path, Some(both)), Form::Text(OPEN_METRICS));
        }
        for nothing in [None, Some("*/*")] {
            assert_eq!(form("/metrics", nothing), Form::Json);
            assert_eq!(form("/v1/metrics", nothing), Form::Text(TEXT));
        }
    }
}
