//! `/docs/`: the description of the API (`/openapi.json`) for people, with a form that runs each operation.

mod schema;

use askama::Template;
use serde_json::{Map, Value};

use self::schema::{Kind, Schema, example};
use crate::explorer::assets::{ASSETS, Assets};

/// The page of a description.
#[derive(Template)]
#[template(path = "reference.html")]
struct Page {
    assets: &'static Assets,
    title: String,
    about: Prose,
    groups: Vec<Group>,
    schemas: Vec<Schema>,
}

/// The operations of a tag.
struct Group {
    name: String,
    about: Prose,
    operations: Vec<Operation>,
}

struct Operation {
    id: String,
    method: String,
    path: String,
    summary: String,
    about: Prose,
    needs_key: bool,
    parameters: Vec<Parameter>,
    bodies: Vec<Body>,
    answers: Vec<Answer>,
    /// The path and query of a request that works.
    example: String,
}

struct Parameter {
    name: String,
    /// `path`, `query` or `header`.
    place: String,
    about: Prose,
    required: bool,
    /// Whether the example of the operation has it.
    in_example: bool,
    example: String,
    /// The values to choose from; none: any text.
    choices: Vec<String>,
}

struct Body {
    media_type: String,
    example: String,
}

struct Answer {
    status: String,
    about: Prose,
    /// What the body is, by media type.
    bodies: Vec<(String, Kind)>,
}

/// A text of a description, cut where code begins and ends: every other part is code.
struct Prose(Vec<String>);

impl Prose {
    fn of(value: &Value) -> Self {
        Self(text(&value["description"]).split('`').map(ToOwned::to_owned).collect())
    }
}

/// The page of this description.
pub(crate) fn render(description: &Value) -> askama::Result<String> {
    let tags = description["tags"].as_array().into_iter().flatten();
    let groups = tags.map(|tag| Group {
        name: text(&tag["name"]),
        about: Prose::of(tag),
        operations: operations(description, &tag["name"]),
    });
    let page = Page {
        assets: &ASSETS,
        title: text(&description["info"]["title"]),
        about: Prose::of(&description["info"]),
        groups: groups.collect(),
        schemas: members(&description["components"]["schemas"])
            .map(|(name, schema)| Schema::new(name, schema, description))
            .collect(),
    };
    page.render()
}

/// The operations with this tag.
fn operations(description: &Value, tag: &Value) -> Vec<Operation> {
    let operations = members(&description["paths"]).flat_map(|(path, methods)| {
        members(methods).map(move |(method, operation)| (path, method, operation))
    });
    operations
        .filter(|(.., operation)| operation["tags"][0] == *tag)
        .map(|(path, method, operation)| Operation::new(description, path, method, operation))
        .collect()
}

impl Operation {
    fn new(description: &Value, path: &str, method: &str, operation: &Value) -> Self {
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let parameters: Vec<Parameter> =
            parameters.map(|parameter| Parameter::new(parameter, description)).collect();
        // Nobody types a workbook.
        let is_text = |content: &Value| {
            content.get("example").is_some()
                || schema::resolve(&content["schema"], description)["format"] != "binary"
        };
        let bodies = members(&operation["requestBody"]["content"]).filter(|(_, content)| is_text(content));
        let bodies = bodies.map(|(media_type, content)| Body {
            media_type: media_type.clone(),
            example: match &content["example"] {
                Value::String(text) => text.clone(),
                Value::Null => format!("{:#}", example(&content["schema"], description)),
                json => format!("{json:#}"),
            },
        });
        let answers = members(&operation["responses"]).map(|(status, answer)| Answer {
            status: status.clone(),
            about: Prose::of(answer),
            bodies: members(&answer["content"])
                .map(|(media_type, content)| (media_type.clone(), Kind::of(&content["schema"])))
                .collect(),
        });
        Self {
            id: text(&operation["operationId"]),
            method: method.to_uppercase(),
            path: path.to_owned(),
            summary: text(&operation["summary"]),
            about: Prose::of(operation),
            needs_key: operation.get("security").is_some(),
            bodies: bodies.collect(),
            answers: answers.collect(),
            example: example_address(path, &parameters),
            parameters,
        }
    }
}

impl Parameter {
    fn new(parameter: &Value, description: &Value) -> Self {
        let schema = schema::resolve(&parameter["schema"], description);
        let example = match &parameter["example"] {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            other => other.to_string(),
        };
        Self {
            name: text(&parameter["name"]),
            place: text(&parameter["in"]),
            about: Prose::of(parameter),
            required: parameter["required"] == true,
            // As the description says where one of several parameters is needed.
            in_example: parameter["required"] == true
                || parameter["description"].as_str().is_some_and(|about| about.contains("Required unless")),
            example,
            choices: schema::choices(schema),
        }
    }

    /// What the form begins with.
    fn value(&self) -> &str {
        if self.in_example { &self.example } else { "" }
    }
}

/// The path with the examples of all parameters that a request needs.
fn example_address(path: &str, parameters: &[Parameter]) -> String {
    let mut address = path.to_owned();
    let mut query = form_urlencoded::Serializer::new(String::new());
    for Parameter { name, place, example, .. } in parameters.iter().filter(|one| one.in_example) {
        match place.as_str() {
            "path" => address = address.replace(&format!("{{{name}}}"), example),
            "query" => {
                query.append_pair(name, example);
            }
            _ => {}
        }
    }
    let query = query.finish();
    if query.is_empty() { address } else { format!("{address}?{query}") }
}

/// The members of an object, in their order; none of anything else.
fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
