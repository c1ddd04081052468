//! Where a command gets its settings from.

use std::{io::IsTerminal, marker::PhantomData, sync::OnceLock};

use crate::{
    Failure, Service,
    settings::{self, Loaded},
    telemetry::{self, Telemetry},
};

/// Where a command gets its settings from.
pub struct Configuration<S> {
    environment: Vec<(String, String)>,
    /// Ends when the command does.
    telemetry: OnceLock<Telemetry>,
    service: PhantomData<fn() -> S>,
}

impl<S: Service> Configuration<S> {
    pub(crate) fn of_process() -> Self {
        // A variable that is not UTF-8 cannot be one of ours.
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Self { environment, telemetry: OnceLock::new(), service: PhantomData }
    }

    pub(crate) fn read(&self) -> Result<Loaded<S::Settings>, Failure> {
        Ok(settings::load(S::NAME, self.environment.iter().cloned())?)
    }

    /// Reads the settings, and starts to log to standard error.
    pub fn load(&self) -> Result<Loaded<S::Settings>, Failure> {
        let loaded = self.read()?;
        self.telemetry.get_or_init(|| {
            let is_terminal = std::io::stderr().is_terminal();
            telemetry::start(&loaded.shell.telemetry, S::NAME, std::io::stderr, is_terminal, false)
        });
        Ok(loaded)
    }
}
