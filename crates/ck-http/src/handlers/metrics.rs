//! Figures, for Prometheus or as JSON.

use ck_api as api;
use ck_node::Role;
use hyper::StatusCode;
use hyper::header::{ACCEPT, HeaderValue, VARY};
use prometheus_client::registry::Registry;

use figures::Figures;

use crate::reply::{Refused, done, plain};
use crate::route::{Answer, Ask};
use crate::surface::Core;
use crate::time;

mod figures;
mod histograms;

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
