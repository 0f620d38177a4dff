//! Spans over OTLP to a collector: of requests, of moves, of calls of the application's handler.
//!
//! They are queued, 2,048 at most, and sent in batches by a thread of their own. A collector that is
//! away, or slow, costs the spans that find no room, and nothing else.

mod collector;
mod endpoint;
mod transfers;

use std::time::Duration;

use ck_core::NodeId;
use ck_http::HeaderMap;
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::{TraceContextExt as _, TracerProvider as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::HeaderExtractor;
use opentelemetry_otlp::{
    ExporterBuildError, Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider};
use tokio::runtime::Handle;
use tracing::{Metadata, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::Layer;
use tracing_subscriber::registry::LookupSpan;

use collector::Collector;
pub(crate) use endpoint::Endpoint;
pub(crate) use transfers::follow;

/// Most spans that wait to be sent.
const QUEUED_MAX: usize = 2_048;

/// Longest a span waits for others to be sent with.
const DELAY: Duration = Duration::from_secs(1);

/// Longest the end of the process waits for the last spans to be sent.
const END_WITHIN: Duration = Duration::from_secs(1);

/// What spans are made by, as collectors see it.
const SCOPE: &str = "clusterkit";

/// The service's name, unless `OTEL_SERVICE_NAME` has another.
const SERVICE: &str = "clusterkit";

/// Spans are collected for as long as this lives.
pub(crate) struct Collecting(SdkTracerProvider);

impl Collecting {
    /// Begins to send to that address what the node of that id does.
    ///
    /// # Errors
    /// [`ExporterBuildError`], when the environment asks for what is not built in.
    pub(crate) fn begin(
        endpoint: &Endpoint,
        node: &NodeId,
        runtime: Handle,
    ) -> Result<Self, ExporterBuildError> {
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Collector::new(endpoint.to_string(), runtime))
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(endpoint.traces())
            .build()?;
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(QUEUED_MAX)
            .with_scheduled_delay(DELAY);
        let processor = BatchSpanProcessor::builder(exporter)
            .with_batch_config(batches.build())
            .build();
        let resource = Resource::builder();
        let resource = match std::env::var_os("OTEL_SERVICE_NAME") {
            Some(_) => resource,
            None => resource.with_service_name(SERVICE),
        };
        let resource = resource
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .with_attribute(KeyValue::new("service.instance.id", node.to_string()))
            .build();
        let provider = SdkTracerProvider::builder()
            .with_span_processor(processor)
            .with_resource(resource)
            .build();
        Ok(Self(provider))
    }

    /// What takes note of the spans.
    pub(crate) fn layer<S>(&self) -> Box<dyn Layer<S> + Send + Sync>
    where
        S: tracing::Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer(SCOPE))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_filter(filter_fn(is_collected))
            .boxed()
    }

    /// Sends what is left, for a moment at most.
    pub(crate) fn end(self) {
        if let Err(error) = self.0.shutdown_with_timeout(END_WITHIN) {
            tracing::debug!(%error, "the last spans were not sent");
        }
    }
}

fn is_collected(metadata: &Metadata<'_>) -> bool {
    let targets = [
        ck_http::REQUEST_SPANS,
        ck_node::CALL_SPANS,
        transfers::TRANSFER_SPANS,
    ];
    targets.contains(&metadata.target())
}

/// Ties the span of a request to the trace that its caller names in `traceparent`.
pub(crate) fn trace_parent(span: &Span, headers: &HeaderMap) {
    let told = HeaderExtractor(headers);
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &told);
    if context.span().span_context().is_valid() {
        // A span that nobody collects has no parent either.
        let _ = span.set_parent(context);
    }
}
