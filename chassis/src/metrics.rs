//! Metrics in Prometheus' text format, served on a separate port.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use axum::{Router, extract::State, response::IntoResponse, routing::get};
use http::header;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, text},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::{ConstGauge, Gauge},
        histogram::Histogram,
        info::Info,
    },
    registry::Registry,
};

/// Labels of the request histogram. `route` is the matched pattern, not the path, so that the number of series is
/// bounded.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    /// The method, or `OTHER`.
    pub method: &'static str,
    /// The matched route, or `unmatched`.
    pub route: String,
    /// The status code.
    pub status: u16,
}

/// What the [edge](crate::edge) measures of each request.
#[derive(Clone, Debug)]
pub struct RequestMetrics {
    /// Time from the first byte of the head to the response head.
    pub seconds: Family<RequestLabels, Histogram, fn() -> Histogram>,
    /// Requests in flight.
    pub in_flight: Gauge,
    /// Requests rejected because too many were in flight.
    pub shed: Counter,
}

impl RequestMetrics {
    /// Registers the request metrics and the build information.
    pub fn register(registry: &mut Registry, service: &'static str, version: &'static str) -> Self {
        let metrics = Self {
            seconds: Family::new_with_constructor(request_buckets),
            in_flight: Gauge::default(),
            shed: Counter::default(),
        };
        registry.register(
            "http_request_duration_seconds",
            "Time to answer a request, by method, route and status",
            metrics.seconds.clone(),
        );
        registry.register("http_requests_in_flight", "Requests being answered", metrics.in_flight.clone());
        registry.register(
            "http_requests_shed",
            "Requests rejected because of overload",
            metrics.shed.clone(),
        );
        registry.register(
            "build",
            "Name and version of the service",
            Info::new([("service", service), ("version", version)]),
        );
        metrics
    }
}

/// Buckets from 50 µs, the time of a cached answer, to 10 s, the request timeout.
fn request_buckets() -> Histogram {
    Histogram::new([
        0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 10.0,
    ])
}

/// A gauge of the seconds since something happened last, or since the start; cheap to clone.
#[derive(Debug, Clone)]
pub struct Age(Arc<Reset>);

#[derive(Debug)]
struct Reset {
    name: &'static str,
    help: &'static str,
    start: Instant,
    /// When it happened last, in seconds since `start`.
    last: AtomicU64,
}

impl Age {
    /// Registers the gauge.
    pub fn register(registry: &mut Registry, name: &'static str, help: &'static str) -> Self {
        let age = Self(Arc::new(Reset { name, help, start: Instant::now(), last: AtomicU64::new(0) }));
        registry.register_collector(Box::new(age.clone()));
        age
    }

    /// It happened now.
    pub fn reset(&self) {
        self.0.last.store(self.0.start.elapsed().as_secs(), Ordering::Relaxed);
    }
}

impl Collector for Age {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let Reset { name, help, start, last } = &*self.0;
        let gauge = ConstGauge::new(start.elapsed().as_secs().saturating_sub(last.load(Ordering::Relaxed)));
        gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)
    }
}

/// `/metrics`.
pub fn router(registry: Registry) -> Router {
    Router::new().route("/metrics", get(render)).with_state(Arc::new(registry))
}

async fn render(State(registry): State<Arc<Registry>>) -> impl IntoResponse {
    let mut body = String::new();
    // Writing to a String cannot fail. If a collector fails, the rest of the page is still useful.
    let _ = text::encode(&mut body, &registry);
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], body)
}
