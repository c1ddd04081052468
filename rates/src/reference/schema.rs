//! The types of bodies.

use serde_json::{Map, Value, json};

use super::{Prose, members, text};

/// A named type: an object with fields, or one of some values.
pub(super) struct Schema {
    pub(super) name: String,
    pub(super) about: Prose,
    pub(super) fields: Vec<Field>,
    pub(super) choices: Vec<String>,
}

pub(super) struct Field {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) about: Prose,
    pub(super) required: bool,
}

/// A type in words, with the named type that they end with.
pub(super) struct Kind {
    pub(super) words: String,
    pub(super) named: Option<String>,
}

impl Schema {
    pub(super) fn new(name: &str, schema: &Value, description: &Value) -> Self {
        let mut fields = Vec::new();
        add_fields(schema, description, &mut fields);
        Self { name: name.to_owned(), about: Prose::of(schema), fields, choices: choices(schema) }
    }
}

/// Adds the fields of an object, and of those that it includes.
fn add_fields(schema: &Value, description: &Value, fields: &mut Vec<Field>) {
    for included in schema["allOf"].as_array().into_iter().flatten() {
        add_fields(resolve(included, description), description, fields);
    }
    let required = schema["required"].as_array();
    fields.extend(members(&schema["properties"]).map(|(name, field)| Field {
        name: name.clone(),
        kind: Kind::of(field),
        about: Prose::of(field),
        required: required.is_some_and(|names| names.iter().any(|required| required == name.as_str())),
    }));
}

impl Kind {
    pub(super) fn of(schema: &Value) -> Self {
        let plain = |words: String| Self { words, named: None };
        if let Some(name) = name_of(schema) {
            return Self { words: String::new(), named: Some(name.to_owned()) };
        }
        if schema["type"] == "array" {
            let Self { words, named } = Self::of(&schema["items"]);
            return Self { words: format!("list of {words}"), named };
        }
        let alternatives = ["oneOf", "anyOf"].into_iter().find_map(|name| schema[name].as_array());
        if let Some(alternatives) = alternatives {
            // The named type comes last, as in "null or Batch".
            let mut kinds: Vec<Self> = alternatives.iter().map(Self::of).collect();
            kinds.sort_by_key(|kind| kind.named.is_some());
            let named = kinds.last().and_then(|kind| kind.named.clone());
            let words: Vec<String> = kinds.into_iter().map(|kind| kind.words).collect();
            return Self { words: words.join(" or "), named };
        }
        let names = match &schema["type"] {
            Value::Array(names) => names.iter().map(text).collect::<Vec<_>>().join(" or "),
            name => text(name),
        };
        plain(match schema["format"].as_str() {
            Some(format) => format!("{names} ({format})"),
            None => names,
        })
    }
}

/// The name of the type that this one refers to.
fn name_of(schema: &Value) -> Option<&str> {
    schema["$ref"].as_str()?.rsplit('/').next()
}

/// The type itself where this one refers to it.
pub(super) fn resolve<'a>(schema: &'a Value, description: &'a Value) -> &'a Value {
    name_of(schema).map_or(schema, |name| &description["components"]["schemas"][name])
}

/// The values that the type allows; none: not a choice.
pub(super) fn choices(schema: &Value) -> Vec<String> {
    schema["enum"].as_array().into_iter().flatten().map(text).collect()
}

/// A value of this type.
pub(super) fn example(schema: &Value, description: &Value) -> Value {
    let schema = resolve(schema, description);
    if let Some(example) = schema.get("example").or_else(|| schema["examples"].get(0)) {
        return example.clone();
    }
    match (schema["type"].as_str(), schema["format"].as_str()) {
        (Some("object"), _) => {
            let fields = members(&schema["properties"]);
            fields
                .map(|(name, field)| (name.clone(), example(field, description)))
                .collect::<Map<_, _>>()
                .into()
        }
        (Some("array"), _) => json!([example(&schema["items"], description)]),
        (Some("integer" | "number"), _) => json!(1),
        (_, Some("date")) => json!("2021-01-31"),
        _ => json!(""),
    }
}
