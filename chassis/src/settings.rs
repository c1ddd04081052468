//! Settings in layers; the later wins:
//!
//! 1. the service's commented defaults, compiled in: every setting stands there, so what is not there does not exist;
//! 2. the file `<service>.toml`, then `<service>.<APP_ENV>.toml`, in `<SERVICE>_CONFIG_DIR` (or the working directory);
//! 3. the flat names that platforms give (`PORT`, `DATABASE_URL`, …), read by `envy`;
//! 4. `<SERVICE>__SECTION__KEY`, read by `config`.
//!
//! Every fault of every layer is reported at once, each with the setting and where its value came from.

use std::{collections::BTreeMap, fmt, path::Path};

use config::{Config, File, FileFormat, Source, Value, ValueKind};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};

/// The settings of a service: what serde cannot say about them, `faults` says.
pub trait Settings: DeserializeOwned {
    /// The flat twelve-factor names of this service, all optional.
    type Platform: DeserializeOwned;

    /// In lower case; names the files and, in upper case, the environment variables.
    const SERVICE: &'static str;

    /// The commented defaults, TOML.
    const DEFAULTS: &'static str;

    /// The flat names that were given, as `(variable, setting, value)`.
    fn platform_values(platform: Self::Platform) -> Vec<(&'static str, &'static str, Option<String>)>;

    /// What is wrong with values that have the right type, as `(setting, what is wrong)`.
    fn faults(&self) -> Vec<(&'static str, String)>;
}

/// Settings and where each value came from.
pub struct Loaded<T> {
    /// The settings.
    pub settings: T,
    /// Every setting by its dotted name, for people, secrets hidden.
    pub origins: BTreeMap<String, Origin>,
}

/// One setting's value as text and the layer that gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The value, hidden where it may be secret.
    pub value: String,
    /// `default`, a file, or the name of an environment variable.
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

/// Reads every layer. `environment` is the process environment, or what a test says it is.
pub fn load<T: Settings>(
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Loaded<T>, Faults> {
    let environment: Vec<(String, String)> = environment.into_iter().collect();
    let variable =
        |name: &str| environment.iter().find(|(n, v)| n == name && !v.is_empty()).map(|(_, v)| v.as_str());
    let mut faults = Vec::new();
    let mut layers: Vec<(String, BTreeMap<String, Value>)> = Vec::new();

    let defaults =
        leaves(&File::from_str(T::DEFAULTS, FileFormat::Toml)).expect("the compiled-in defaults are TOML");

    let upper = T::SERVICE.to_uppercase();
    let directory = variable(&format!("{upper}_CONFIG_DIR"));
    let mut names = vec![format!("{}.toml", T::SERVICE)];
    if let Some(app_env) = variable("APP_ENV") {
        if app_env.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_') {
            names.push(format!("{}.{app_env}.toml", T::SERVICE));
        } else {
            faults.push(format!("APP_ENV: {app_env:?} is not a name of letters, digits, - and _"));
        }
    }
    let paths: Vec<_> = names.iter().map(|name| Path::new(directory.unwrap_or(".")).join(name)).collect();
    if let Some(directory) = directory.filter(|_| !paths.iter().any(|path| path.exists())) {
        faults.push(format!("{upper}_CONFIG_DIR: {directory} holds none of {}", names.join(", ")));
    }
    for path in paths.iter().filter(|path| path.exists()) {
        match leaves(&File::from(path.as_path()).format(FileFormat::Toml)) {
            Ok(values) => layers.push((path.display().to_string(), values)),
            Err(error) => faults.push(format!("{}: {error}", path.display())),
        }
    }

    // envy names no variable that is not text, and `Option<String>` takes any text: only a broken build fails here.
    let platform: T::Platform =
        envy::from_iter(environment.iter().cloned()).expect("platform names are optional strings");
    for (name, setting, value) in T::platform_values(platform) {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            layers.push((name.to_owned(), BTreeMap::from([(setting.to_owned(), Value::from(value))])));
        }
    }

    let prefix = format!("{upper}__");
    for (name, value) in environment.iter().filter(|(name, _)| name.starts_with(&prefix)) {
        let one = [(name.clone(), value.clone())].into_iter().collect();
        let source =
            config::Environment::with_prefix(&upper).prefix_separator("__").separator("__").source(Some(one));
        match leaves(&source) {
            Ok(values) => layers.push((name.clone(), values)),
            Err(error) => faults.push(format!("{name}: {error}")),
        }
    }

    let mut values: BTreeMap<String, (Value, String)> =
        defaults.iter().map(|(key, value)| (key.clone(), (value.clone(), "default".to_owned()))).collect();
    for (from, layer) in layers {
        for (key, value) in layer {
            if defaults.contains_key(&key) {
                values.insert(key, (value, from.clone()));
            } else {
                faults.push(format!("{from}: there is no setting {key}"));
            }
        }
    }

    // serde stops at its first fault: put the default in that one's place and ask again until it finds none.
    let settings = loop {
        let mut builder = Config::builder();
        for (key, (value, _)) in &values {
            builder = builder.set_override(key, value.clone()).expect("keys of defaults are valid");
        }
        let config = builder.build().expect("values were read before");
        match serde_path_to_error::deserialize::<_, T>(config) {
            Ok(settings) => break settings,
            Err(error) => {
                let key = error.path().to_string();
                let entry = values.get_mut(&key);
                match (entry, defaults.get(&key)) {
                    (Some((value, from)), Some(default)) if from != "default" => {
                        faults.push(format!("{key} (from {from}): {}", error.inner()));
                        *value = default.clone();
                        "default".clone_into(from);
                    }
                    _ => {
                        faults.push(format!("{key}: {}", error.inner()));
                        return Err(Faults(faults));
                    }
                }
            }
        }
    };
    for (key, fault) in settings.faults() {
        let from = values.get(key).map_or("default", |(_, from)| from.as_str());
        faults.push(format!("{key} (from {from}): {fault}"));
    }
    if !faults.is_empty() {
        return Err(Faults(faults));
    }
    let origins = values
        .into_iter()
        .map(|(key, (value, from))| {
            let value = shown(&key, &value);
            (key, Origin { value, from })
        })
        .collect();
    Ok(Loaded { settings, origins })
}

/// The names of all settings, dotted, in order.
#[must_use]
pub fn names<T: Settings>() -> Vec<String> {
    leaves(&File::from_str(T::DEFAULTS, FileFormat::Toml))
        .expect("the compiled-in defaults are TOML")
        .into_keys()
        .collect()
}

/// A layer's values by dotted name.
fn leaves(source: &dyn Source) -> Result<BTreeMap<String, Value>, config::ConfigError> {
    fn walk(prefix: &str, value: Value, found: &mut BTreeMap<String, Value>) {
        match value.kind {
            ValueKind::Table(table) => {
                for (key, value) in table {
                    let path = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
                    walk(&path, value, found);
                }
            }
            _ => {
                found.insert(prefix.to_owned(), value);
            }
        }
    }
    // Through `Config`, so that dotted names become tables the same way in every kind of source.
    let config = Config::builder().add_source(vec![source.clone_into_box()]).build()?;
    let mut found = BTreeMap::new();
    walk("", config.cache, &mut found);
    Ok(found)
}

/// A value for people. What may be secret is hidden: settings so named, and the user part and query of a URL.
fn shown(key: &str, value: &Value) -> String {
    let text = value.to_string();
    let secret = ["password", "secret", "token", ".key"].iter().any(|word| key.ends_with(word));
    if secret && !text.is_empty() {
        return "***".into();
    }
    text.split(',').map(hide_credentials).collect::<Vec<_>>().join(",")
}

fn hide_credentials(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let host = rest.rsplit_once('@').map_or_else(|| rest.to_owned(), |(_, host)| format!("***@{host}"));
    let host = host.split_once('?').map_or_else(|| host.clone(), |(host, _)| format!("{host}?***"));
    format!("{scheme}://{host}")
}

/// A comma separated list in one string, as an environment variable can hold it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct List(pub Vec<String>);

impl<'de> Deserialize<'de> for List {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(Self(text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()))
    }
}

/// Whether a secret was given at all.
#[must_use]
pub fn is_set(secret: &SecretString) -> bool {
    !secret.expose_secret().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Example {
        server: Server,
        database: Database,
    }
    #[derive(Debug, Deserialize)]
    struct Server {
        port: u16,
        limit: u32,
    }
    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "read through Debug, which must hide them")]
    struct Database {
        url: SecretString,
        password: SecretString,
        hosts: List,
    }
    #[derive(Deserialize)]
    struct Platform {
        port: Option<String>,
        database_url: Option<String>,
    }
    impl Settings for Example {
        type Platform = Platform;
        const SERVICE: &'static str = "example";
        const DEFAULTS: &'static str =
            "[server]\nport = 3000\nlimit = 5\n[database]\nurl = ''\npassword = ''\nhosts = 'a, b'\n";
        fn platform_values(p: Platform) -> Vec<(&'static str, &'static str, Option<String>)> {
            vec![("PORT", "server.port", p.port), ("DATABASE_URL", "database.url", p.database_url)]
        }
        fn faults(&self) -> Vec<(&'static str, String)> {
            (self.server.limit == 0)
                .then(|| ("server.limit", "must be above 0".to_owned()))
                .into_iter()
                .collect()
        }
    }

    fn environment(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn defaults_hold_where_nothing_is_given() {
        let loaded = load::<Example>(environment(&[("PORT", "")])).unwrap();
        assert_eq!(loaded.settings.server.port, 3000);
        assert_eq!(loaded.settings.database.hosts.0, ["a", "b"]);
        assert_eq!(loaded.origins["server.port"].from, "default");
    }

    #[test]
    fn a_later_layer_wins_and_says_so() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("example.toml"), "[server]\nport = 1\nlimit = 1\n").unwrap();
        std::fs::write(directory.path().join("example.production.toml"), "server.port = 2\n").unwrap();
        let dir = directory.path().to_str().unwrap();
        let base = [("EXAMPLE_CONFIG_DIR", dir), ("APP_ENV", "production")];
        let port = |more: &[(&str, &str)]| {
            let loaded = load::<Example>(environment(&[&base[..], more].concat())).unwrap();
            (
                loaded.settings.server.port,
                loaded.origins["server.port"].from.clone(),
                loaded.settings.server.limit,
            )
        };
        assert_eq!(port(&[]), (2, format!("{dir}/example.production.toml"), 1));
        assert_eq!(port(&[("PORT", "3")]), (3, "PORT".into(), 1));
        assert_eq!(
            port(&[("PORT", "3"), ("EXAMPLE__SERVER__PORT", "4")]),
            (4, "EXAMPLE__SERVER__PORT".into(), 1)
        );
    }

    #[test]
    fn every_fault_is_named_at_once() {
        let faults = load::<Example>(environment(&[
            ("PORT", "many"),
            ("EXAMPLE__SERVER__LIMIT", "0"),
            ("EXAMPLE__SERVER__PROT", "1"),
            ("EXAMPLE_CONFIG_DIR", "/nowhere"),
            ("APP_ENV", "../x"),
        ]))
        .err()
        .unwrap()
        .to_string();
        for part in [
            "server.port (from PORT)",
            "server.limit (from EXAMPLE__SERVER__LIMIT): must be above 0",
            "EXAMPLE__SERVER__PROT: there is no setting server.prot",
            "EXAMPLE_CONFIG_DIR: /nowhere holds none of",
            "APP_ENV",
            "5 faults",
        ] {
            assert!(faults.contains(part), "{part} is missing in:\n{faults}");
        }
    }

    #[test]
    fn secrets_are_hidden() {
        let loaded = load::<Example>(environment(&[
            ("DATABASE_URL", "postgres://me:hush@db:5432/rates?password=hush&host=/run"),
            ("EXAMPLE__DATABASE__PASSWORD", "hush"),
        ]))
        .unwrap();
        assert_eq!(loaded.origins["database.url"].value, "postgres://***@db:5432/rates?***");
        assert_eq!(loaded.origins["database.password"].value, "***");
        let printed = format!("{:?} {:?}", loaded.settings, loaded.origins);
        assert!(!printed.contains("hush"), "{printed}");
    }
}
