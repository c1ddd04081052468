//! The layers above the defaults: files and the environment.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
};

use config::{Config, Environment, File, FileFormat, Source, Value, ValueKind};

use super::{Flat, Settings, flat};

/// The values of a layer by dotted name, and what to call the layer.
pub(super) struct Layer {
    pub(super) from: String,
    pub(super) values: BTreeMap<String, Value>,
}

/// Every layer that is there, the one that wins last. What cannot be read goes to `faults`.
pub(super) fn read<T: Settings>(
    name: &str,
    environment: &[(String, String)],
    faults: &mut Vec<String>,
) -> Vec<Layer> {
    let mut layers = read_files(name, environment, faults);
    layers.extend(read_flat(flat_variables::<T>(), environment));
    let prefix = name.to_uppercase();
    for (variable, value) in environment.iter().filter(|(variable, _)| is_nested(variable, &prefix)) {
        let one = HashMap::from([(variable.clone(), value.clone())]);
        let source =
            Environment::with_prefix(&prefix).prefix_separator("__").separator("__").source(Some(one));
        match leaves(&source) {
            Ok(values) => layers.push(Layer { from: variable.clone(), values }),
            Err(error) => faults.push(format!("{variable}: {error}")),
        }
    }
    layers
}

fn is_nested(variable: &str, prefix: &str) -> bool {
    variable.strip_prefix(prefix).is_some_and(|rest| rest.starts_with("__"))
}

pub(super) fn flat_variables<T: Settings>() -> impl Iterator<Item = Flat> {
    flat::SHELL.iter().chain(T::FLAT.iter().copied().flatten()).copied()
}

fn read_files(name: &str, environment: &[(String, String)], faults: &mut Vec<String>) -> Vec<Layer> {
    let variable =
        |name: &str| environment.iter().find(|(n, v)| n == name && !v.is_empty()).map(|(_, v)| v.as_str());
    let mut files = vec![format!("{name}.toml")];
    if let Some(app_env) = variable("APP_ENV") {
        if app_env.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_') {
            files.push(format!("{name}.{app_env}.toml"));
        } else {
            faults.push(format!("APP_ENV: {app_env:?} is not a name of letters, digits, - and _"));
        }
    }
    let in_folder = |folder: &Path| -> Vec<PathBuf> {
        files.iter().map(|file| folder.join(file)).filter(|path| path.exists()).collect()
    };
    let config_dir = format!("{}_CONFIG_DIR", name.to_uppercase());
    let paths = if let Some(folder) = variable(&config_dir) {
        let paths = in_folder(Path::new(folder));
        if paths.is_empty() {
            faults.push(format!("{config_dir}: no {} found in {folder}", files.join(" or ")));
        }
        paths
    } else {
        let folders = [PathBuf::from("."), Path::new("/etc").join(name)];
        folders.iter().map(|folder| in_folder(folder)).find(|paths| !paths.is_empty()).unwrap_or_default()
    };
    let mut layers = Vec::new();
    for path in paths {
        match leaves(&File::from(path.as_path()).format(FileFormat::Toml)) {
            Ok(values) => layers.push(Layer { from: path.display().to_string(), values }),
            Err(error) => faults.push(format!("{}: {error}", path.display())),
        }
    }
    layers
}

fn read_flat(flat: impl Iterator<Item = Flat>, environment: &[(String, String)]) -> Vec<Layer> {
    // A variable that is twice in the environment keeps its first value, as getenv(3) reads it.
    let pairs = environment.iter().rev().cloned();
    // envy turns names to lower case, and a map of text takes any text: this cannot fail.
    let given: HashMap<String, String> = envy::from_iter(pairs).expect("a map takes every variable");
    flat.filter_map(|flat| {
        let value = given.get(&flat.variable.to_lowercase())?;
        (flat.empty_counts || !value.is_empty()).then(|| Layer {
            from: flat.variable.to_owned(),
            values: BTreeMap::from([(flat.setting.to_owned(), Value::from(value.as_str()))]),
        })
    })
    .collect()
}

/// The values of a source by dotted name.
pub(super) fn leaves(source: &dyn Source) -> Result<BTreeMap<String, Value>, config::ConfigError> {
    fn walk(prefix: &str, value: Value, found: &mut BTreeMap<String, Value>) {
        if let ValueKind::Table(table) = value.kind {
            for (key, value) in table {
                let path = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
                walk(&path, value, found);
            }
        } else {
            found.insert(prefix.to_owned(), value);
        }
    }
    // Through `Config`, so that dotted names become tables the same way in every kind of source.
    let config = Config::builder().add_source(vec![source.clone_into_box()]).build()?;
    let mut found = BTreeMap::new();
    walk("", config.cache, &mut found);
    Ok(found)
}
