//! The defaults that are compiled in, and the documentation that stands beside them.

use std::{collections::BTreeMap, fmt::Write};

use config::{File, FileFormat, Value};

use super::{Settings, layers};

/// Those of every service.
const SHELL: &str = include_str!("defaults.toml");

fn documents<T: Settings>() -> impl Iterator<Item = &'static str> {
    std::iter::once(SHELL).chain(T::DEFAULTS.iter().copied())
}

/// The default of every setting of a service.
pub(super) fn values<T: Settings>() -> BTreeMap<String, Value> {
    let leaves = |document| {
        layers::leaves(&File::from_str(document, FileFormat::Toml))
            .expect("the compiled-in defaults are TOML")
    };
    documents::<T>().flat_map(leaves).collect()
}

/// See [`super::markdown`].
pub(super) fn markdown<T: Settings>() -> String {
    let flat: BTreeMap<&str, &str> =
        layers::flat_variables::<T>().map(|flat| (flat.setting, flat.variable)).collect();
    let values = values::<T>();
    let code = |text: &str| if text.is_empty() { String::new() } else { format!("`{text}`") };
    let mut table = "| Setting | Default | Flat variable | Meaning |\n| --- | --- | --- | --- |\n".to_owned();
    for (setting, meaning) in meanings::<T>() {
        let default = values.get(&setting).map(ToString::to_string).unwrap_or_default();
        let variable = flat.get(setting.as_str()).copied().unwrap_or_default();
        let (default, variable) = (code(&default), code(variable));
        // Writing to a text cannot fail.
        let _ = writeln!(table, "| `{setting}` | {default} | {variable} | {meaning} |");
    }
    table
}

/// Every setting in the order of the documents, with the comment above it; that of the last document that has one.
fn meanings<T: Settings>() -> Vec<(String, String)> {
    let mut meanings: Vec<(String, String)> = Vec::new();
    for document in documents::<T>() {
        let (mut section, mut comment) = ("", String::new());
        for line in document.lines().map(str::trim) {
            if let Some(text) = line.strip_prefix('#') {
                if !comment.is_empty() {
                    comment.push(' ');
                }
                comment.push_str(text.trim());
                continue;
            }
            if let Some(name) = line.strip_prefix('[') {
                section = name.trim_end_matches(']');
            } else if let Some((key, _)) = line.split_once('=') {
                let setting = format!("{section}.{}", key.trim());
                // The variable has a column of its own.
                let meaning = match comment.strip_prefix('[') {
                    Some(rest) => rest.split_once("] ").map_or("", |(_, meaning)| meaning),
                    None => &comment,
                };
                match meanings.iter_mut().find(|(known, _)| *known == setting) {
                    Some((_, known)) if !meaning.is_empty() => meaning.clone_into(known),
                    Some(_) => {}
                    None => meanings.push((setting, meaning.to_owned())),
                }
            }
            comment.clear();
        }
    }
    meanings
}
