//! Settings in layers; a later layer wins:
//!
//! 1. commented defaults, compiled in: those of the chassis, then those of the service. Every setting has a default;
//! 2. the file `NAME.toml`, then `NAME.$APP_ENV.toml`, from the first folder that has either: `$NAME_CONFIG_DIR`, the
//!    working directory, `/etc/NAME`;
//! 3. the flat variables that platforms set (`PORT`, `DATABASE_URL`, …), read by `envy`;
//! 4. `NAME__SECTION__KEY`, read by `config`.
//!
//! Every fault of every layer is reported at once, each with the setting and where its value came from.

mod defaults;
mod flat;
mod layers;
mod list;
mod logs;
mod server;
mod shown;
mod telemetry;

use std::{collections::BTreeMap, fmt};

use config::{Config, Value};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, de::DeserializeOwned};

pub use flat::Flat;
pub use list::List;
pub use logs::LogFileSettings;
pub use server::ServerSettings;
pub use telemetry::{LogFormat, TelemetrySettings};

use crate::{Exit, Failure, exit::OrFail};

/// What is wrong with a setting: its dotted name, and what would be right.
pub type Fault = (&'static str, String);

/// The settings of a service, in addition to those of every service.
pub trait Settings: DeserializeOwned + Clone + Send + Sync + 'static {
    /// Commented TOML. A later document may change the default of a setting of an earlier one, or of the chassis.
    const DEFAULTS: &'static [&'static str];

    /// The flat variables of this service.
    const FLAT: &'static [&'static [Flat]];

    /// The faults of values that have the right type.
    fn faults(&self, shell: &ShellSettings) -> Vec<Fault>;
}

/// The settings that every service has.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShellSettings {
    /// Where and how to listen.
    pub server: ServerSettings,
    /// Logs and traces.
    pub telemetry: TelemetrySettings,
    /// Log files.
    pub logs: LogFileSettings,
}

impl ShellSettings {
    const SECTIONS: [&'static str; 3] = ["server", "telemetry", "logs"];

    fn faults(&self) -> Vec<Fault> {
        [self.server.faults(), self.telemetry.faults(), self.logs.faults()].concat()
    }
}

/// The settings of a process, and where each value came from.
#[derive(Debug, Clone)]
pub struct Loaded<T> {
    /// Those of the service.
    pub service: T,
    /// Those that every service has.
    pub shell: ShellSettings,
    /// Every setting by its dotted name, for people; secrets are hidden.
    pub origins: BTreeMap<String, Origin>,
}

/// A setting's value as text, and the layer that it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The value, hidden where it may be secret.
    pub value: String,
    /// `default`, a file, or an environment variable.
    pub from: String,
}

/// Everything that is wrong with a configuration.
#[derive(Debug)]
pub struct Faults(Vec<String>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => write!(f, "the configuration has a fault:")?,
            n => write!(f, "the configuration has {n} faults:")?,
        }
        self.0.iter().try_for_each(|fault| write!(f, "\n  {fault}"))
    }
}

impl std::error::Error for Faults {}

impl From<Faults> for Failure {
    fn from(faults: Faults) -> Self {
        Self::new(Exit::Usage, faults.to_string())
    }
}

/// Reads every layer of the service called `name`. `environment` is that of the process, or what a test says it is.
pub fn load<T: Settings>(
    name: &str,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Loaded<T>, Faults> {
    let environment: Vec<(String, String)> = environment.into_iter().collect();
    let mut faults = Vec::new();
    let defaults = defaults::values::<T>();
    let mut values: BTreeMap<String, (Value, String)> =
        defaults.iter().map(|(key, value)| (key.clone(), (value.clone(), "default".to_owned()))).collect();
    for layer in layers::read::<T>(name, &environment, &mut faults) {
        for (key, value) in layer.values {
            if defaults.contains_key(&key) {
                values.insert(key, (value, layer.from.clone()));
            } else {
                faults.push(format!("{}: there is no setting {key}", layer.from));
            }
        }
    }

    let is_shell = |key: &str| ShellSettings::SECTIONS.contains(&key.split('.').next().unwrap_or_default());
    let shell: Option<ShellSettings> = deserialize(&mut values, &defaults, is_shell, &mut faults);
    let service: Option<T> = deserialize(&mut values, &defaults, |key| !is_shell(key), &mut faults);
    let (Some(shell), Some(service)) = (shell, service) else { return Err(Faults(faults)) };
    for (key, fault) in shell.faults().into_iter().chain(service.faults(&shell)) {
        let from = values.get(key).map_or("default", |(_, from)| from.as_str());
        faults.push(format!("{key} (from {from}): {fault}"));
    }
    if !faults.is_empty() {
        return Err(Faults(faults));
    }
    let origins = values
        .into_iter()
        .map(|(key, (value, from))| {
            let value = shown::value(&key, &value);
            (key, Origin { value, from })
        })
        .collect();
    Ok(Loaded { service, shell, origins })
}

/// The settings whose keys are `wanted`; none if even the defaults do not fit.
///
/// serde stops at the first fault. To find them all, that value is replaced by its default and serde runs again.
fn deserialize<T: DeserializeOwned>(
    values: &mut BTreeMap<String, (Value, String)>,
    defaults: &BTreeMap<String, Value>,
    wanted: impl Fn(&str) -> bool,
    faults: &mut Vec<String>,
) -> Option<T> {
    loop {
        let mut builder = Config::builder();
        for (key, (value, _)) in values.iter().filter(|(key, _)| wanted(key)) {
            builder = builder.set_override(key, value.clone()).expect("keys of defaults are valid");
        }
        let config = builder.build().expect("values were read before");
        let error = match serde_path_to_error::deserialize::<_, T>(config) {
            Ok(settings) => return Some(settings),
            Err(error) => error,
        };
        let key = error.path().to_string();
        match (values.get_mut(&key), defaults.get(&key)) {
            (Some((value, from)), Some(default)) if from != "default" => {
                faults.push(format!("{key} (from {from}): {}", error.inner()));
                *value = default.clone();
                "default".clone_into(from);
            }
            _ => {
                faults.push(format!("{key}: {}", error.inner()));
                return None;
            }
        }
    }
}

impl<T> Loaded<T> {
    /// Every setting with its value and where that came from, a line each.
    #[must_use]
    pub fn to_text(&self) -> String {
        let width = self.origins.keys().map(String::len).max().unwrap_or(0);
        let line = |(name, origin): (&String, &Origin)| {
            format!("{name:width$} = {:?}  # {}\n", origin.value, origin.from)
        };
        self.origins.iter().map(line).collect()
    }

    /// What differs from the defaults, in one line.
    pub(crate) fn changed(&self) -> String {
        let changed = self.origins.iter().filter(|(_, origin)| origin.from != "default");
        changed.map(|(name, origin)| format!("{name}={}", origin.value)).collect::<Vec<_>>().join(" ")
    }
}

/// Every setting of a service with its default, its flat variable and its meaning, as a Markdown table.
#[must_use]
pub fn markdown<T: Settings>() -> String {
    defaults::markdown::<T>()
}

/// Whether a secret was given at all.
#[must_use]
pub fn is_set(secret: &SecretString) -> bool {
    !secret.expose_secret().is_empty()
}

/// A secret from a setting or, as container platforms mount secrets, from a file. Empty if both are empty.
pub fn read_secret(value: &SecretString, file: &str) -> Result<SecretString, Failure> {
    if is_set(value) || file.is_empty() {
        return Ok(value.clone());
    }
    let secret =
        std::fs::read_to_string(file).or_fail(Exit::Unavailable, || format!("cannot read {file}"))?;
    Ok(secret.trim_end_matches(['\r', '\n']).into())
}

#[cfg(test)]
mod tests;
