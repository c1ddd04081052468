//! Logs and traces. Logs are text on a terminal and JSON lines elsewhere; traces are sent by OTLP if an endpoint is
//! configured.

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::{Resource, propagation::TraceContextPropagator, trace::SdkTracerProvider};
use tracing_subscriber::{
    EnvFilter, Layer, Registry, fmt::MakeWriter, layer::SubscriberExt, util::SubscriberInitExt,
};

use crate::settings::{LogFormat, TelemetrySettings};

/// Sends the remaining traces when it is dropped.
pub struct Telemetry(Option<SdkTracerProvider>);

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.0.as_ref().map(SdkTracerProvider::shutdown) {
            tracing::warn!(error = %error, "cannot send the last traces");
        }
    }
}

/// Starts logging to `sink` (standard output for a server, standard error for a command whose output is its result).
/// `is_terminal` says whether people read it there, `has_file` whether it also goes to a file.
pub fn start<W>(
    settings: &TelemetrySettings,
    service: &'static str,
    sink: W,
    is_terminal: bool,
    has_file: bool,
) -> Telemetry
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = EnvFilter::builder().parse_lossy(settings.filter());
    let json = match settings.log_format {
        LogFormat::Auto => !is_terminal,
        LogFormat::Json => true,
        LogFormat::Text => false,
    };
    let lines: Box<dyn Layer<Registry> + Send + Sync> = if json {
        tracing_subscriber::fmt::layer()
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .with_writer(sink)
            .boxed()
    } else {
        let lines = tracing_subscriber::fmt::layer().with_writer(sink);
        // On a terminal, the default respects NO_COLOR.
        if is_terminal && !has_file { lines.boxed() } else { lines.with_ansi(false).boxed() }
    };
    let provider = if settings.otlp_endpoint.is_empty() { None } else { tracer_provider(settings, service) };
    let traces = provider
        .as_ref()
        .map(|provider| tracing_opentelemetry::layer().with_tracer(provider.tracer(service)));
    if provider.is_some() {
        opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
    }
    // A second start in one process (tests) keeps the first subscriber.
    let _ = tracing_subscriber::registry().with(lines).with(traces).with(filter).try_init();
    Telemetry(provider)
}

fn tracer_provider(settings: &TelemetrySettings, service: &'static str) -> Option<SdkTracerProvider> {
    // The exporter's client panics without a provider if any crate enables its TLS.
    crate::use_ring();
    let endpoint = format!("{}/v1/traces", settings.otlp_endpoint.trim_end_matches('/'));
    // The exporter's client is blocking and cannot be created on a thread of the runtime.
    let exporter = std::thread::spawn(move || {
        SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(endpoint)
            .build()
    });
    let exporter = exporter.join().unwrap_or_else(|_| {
        Err(opentelemetry_otlp::ExporterBuildError::InternalFailure("the exporter panicked".into()))
    });
    match exporter {
        Ok(exporter) => Some(
            SdkTracerProvider::builder()
                .with_batch_exporter(exporter)
                .with_resource(Resource::builder().with_service_name(service).build())
                .build(),
        ),
        Err(error) => {
            // The service runs without traces rather than not at all.
            eprintln!("traces are off: {error}");
            None
        }
    }
}
