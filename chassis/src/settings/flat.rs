//! The flat variables that platforms set.

/// An environment variable without sections, and the setting that it sets.
#[derive(Debug, Clone, Copy)]
pub struct Flat {
    /// The variable, in upper case.
    pub variable: &'static str,
    /// The dotted name of the setting.
    pub setting: &'static str,
    /// Whether an empty variable sets an empty value. Usually it counts as not set, since platforms and compose files
    /// pass variables on that nobody gave a value.
    pub(super) empty_counts: bool,
}

impl Flat {
    /// This variable for this setting.
    #[must_use]
    pub const fn new(variable: &'static str, setting: &'static str) -> Self {
        Self { variable, setting, empty_counts: false }
    }

    /// The same, for a setting that an empty variable turns off.
    #[must_use]
    pub const fn empty_counts(self) -> Self {
        Self { empty_counts: true, ..self }
    }
}

/// Those of every service.
pub(super) const SHELL: &[Flat] = &[
    Flat::new("PORT", "server.port"),
    Flat::new("RUST_LOG", "telemetry.log_filter"),
    Flat::new("OTEL_EXPORTER_OTLP_ENDPOINT", "telemetry.otlp_endpoint"),
];
