//! The `[telemetry]` section. Meanings and defaults stand in `defaults.toml`.

use serde::Deserialize;
use tracing_subscriber::EnvFilter;

use super::Fault;

/// Logs and traces.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TelemetrySettings {
    /// What to log, in the syntax of `RUST_LOG`.
    pub log_filter: String,
    /// `auto`, `json` or `text`.
    pub log_format: LogFormat,
    /// Where to send traces by OTLP over HTTP, for example `http://localhost:4318`; empty sends none.
    pub otlp_endpoint: String,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

impl TelemetrySettings {
    /// The filter with the names of levels that other loggers use. `WARNING` alone would be read as the name of a
    /// module, and turn off all other logs.
    pub(crate) fn filter(&self) -> String {
        let level = |directive: &str| match directive.trim().to_ascii_lowercase().as_str() {
            "warning" => "warn".to_owned(),
            "critical" | "fatal" => "error".to_owned(),
            "notset" => "trace".to_owned(),
            _ => directive.to_owned(),
        };
        self.log_filter.split(',').map(level).collect::<Vec<_>>().join(",")
    }

    pub(crate) fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        // One at a time, since the parser's errors do not name the directive.
        for directive in self.filter().split(',') {
            if let Err(error) = EnvFilter::builder().parse(directive) {
                faults.push(("telemetry.log_filter", format!("{directive:?}: {error}")));
            }
        }
        if !self.otlp_endpoint.is_empty() && self.otlp_endpoint.parse::<http::Uri>().is_err() {
            faults.push(("telemetry.otlp_endpoint", "is not a URL".to_owned()));
        }
        faults
    }
}
