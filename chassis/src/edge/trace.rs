//! The distributed trace that a request belongs to (W3C Trace Context).

use http::{HeaderMap, HeaderName};
use opentelemetry::propagation::Extractor;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The trace id of a `traceparent`: `version-traceid-parentid-flags`, in lower-case hexadecimal.
pub(super) fn trace_id(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get("traceparent")?.to_str().ok()?;
    let mut parts = value.split('-');
    let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_hexadecimal = |part: &str, length: usize| {
        part.len() == length && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let is_valid = is_hexadecimal(version, 2)
        && version != "ff"
        && is_hexadecimal(trace, 32)
        && is_hexadecimal(parent, 16)
        && is_hexadecimal(flags, 2)
        && trace.bytes().any(|byte| byte != b'0')
        && parent.bytes().any(|byte| byte != b'0');
    is_valid.then_some(trace)
}

/// Makes the span a child of the caller's.
pub(super) fn continue_trace(span: &tracing::Span, headers: &HeaderMap) {
    let parent =
        opentelemetry::global::get_text_map_propagator(|propagator| propagator.extract(&Carrier(headers)));
    // Fails only where no OpenTelemetry layer is installed, and then nothing is lost.
    let _ = span.set_parent(parent);
}

struct Carrier<'a>(&'a HeaderMap);

impl Extractor for Carrier<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::{
        propagation::TextMapPropagator,
        trace::{TraceContextExt, TracerProvider},
    };
    use opentelemetry_sdk::{propagation::TraceContextPropagator, trace::SdkTracerProvider};
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    fn headers(parent: &str) -> HeaderMap {
        HeaderMap::from_iter([(HeaderName::from_static("traceparent"), parent.parse().expect("a value"))])
    }

    #[test]
    fn a_valid_traceparent_names_the_trace_and_no_other_does() {
        assert_eq!(trace_id(&headers(&format!("00-{TRACE}-00f067aa0ba902b7-01"))), Some(TRACE));
        for wrong in [
            format!("ff-{TRACE}-00f067aa0ba902b7-01"),
            format!("0-{TRACE}-00f067aa0ba902b7-01"),
            format!("00-{}-00f067aa0ba902b7-01", TRACE.to_uppercase()),
            format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            format!("00-{TRACE}-0000000000000000-01"),
            format!("00-{TRACE}-00f067aa0ba902b-01"),
            format!("00-{TRACE}-00f067aa0ba902b7-x1"),
            format!("00-{TRACE}-00f067aa0ba902b7"),
        ] {
            assert_eq!(trace_id(&headers(&wrong)), None, "{wrong}");
        }
    }

    #[test]
    fn the_callers_span_is_read_from_the_headers() {
        let headers = headers(&format!("00-{TRACE}-00f067aa0ba902b7-01"));
        let carrier = Carrier(&headers);
        let parent = TraceContextPropagator::new().extract(&carrier);
        assert_eq!(parent.span().span_context().trace_id().to_string(), TRACE);
        assert_eq!((carrier.keys(), carrier.get("tracestate")), (vec!["traceparent"], None));
    }

    #[test]
    fn a_span_continues_the_callers_trace() {
        opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
        let provider = SdkTracerProvider::builder().build();
        let traces = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(traces), || {
            let span = tracing::info_span!("request");
            continue_trace(&span, &headers(&format!("00-{TRACE}-00f067aa0ba902b7-01")));
            assert_eq!(span.context().span().span_context().trace_id().to_string(), TRACE);
        });
    }
}
