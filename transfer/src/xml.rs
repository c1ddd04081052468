//! JSON to XML, to the byte as json2xml 3.6.0 with dicttoxml 1.7.4 and Python's minidom (before 3.13) write it.

use crate::names;

use std::{fmt::Write, num::FpCategory};

use jiter::{JsonObject, JsonValue};

const ROOT: &str = "all";
const ITEM: &str = "item";

/// Converts a JSON document. Its error says what is wrong with the document.
///
/// Of equal keys in an object, the last value counts, at the place of the first. `NaN` and `Infinity` are numbers, as
/// in Python. Only objects and arrays can be converted, nested at most 200 deep, and no text with control characters.
pub fn from_json(json: &[u8]) -> Result<String, String> {
    let value =
        JsonValue::parse(json, true).map_err(|error| format!("not JSON: {}", error.description(json)))?;
    let mut xml = String::with_capacity(json.len() * 2);
    xml.push_str("<?xml version=\"1.0\" ?>\n");
    match &value {
        JsonValue::Object(object) => element(&mut xml, 0, ROOT, "", |xml| members(xml, 1, object))?,
        JsonValue::Array(array) => element(&mut xml, 0, ROOT, "", |xml| items(xml, 1, array))?,
        _ => return Err("the document must be an object or an array".to_owned()),
    }
    Ok(xml)
}

fn members(xml: &mut String, depth: usize, object: &JsonObject<'_>) -> Result<(), String> {
    let mut last = std::collections::HashMap::with_capacity(object.len());
    for (place, (key, value)) in object.iter().enumerate() {
        last.entry(key.as_ref()).or_insert((place, value)).1 = value;
    }
    let mut members: Vec<_> = last.into_iter().collect();
    members.sort_unstable_by_key(|(_, (place, _))| *place);
    for (key, (_, value)) in members {
        let name = names::element_name(key, is_scalar(value))?;
        let attributes = name.attribute.map_or_else(String::new, |key| {
            // Python's parser turns white space in an attribute into spaces.
            let key = key.replace("\r\n", " ").replace(['\r', '\n', '\t'], " ");
            format!(" name=\"{}\"", escape(&key))
        });
        check(key)?;
        write_value(xml, depth, &name.element, &attributes, value)?;
    }
    Ok(())
}

fn items(xml: &mut String, depth: usize, array: &[JsonValue<'_>]) -> Result<(), String> {
    array.iter().try_for_each(|value| write_value(xml, depth, ITEM, "", value))
}

fn write_value(
    xml: &mut String,
    depth: usize,
    name: &str,
    attributes: &str,
    value: &JsonValue<'_>,
) -> Result<(), String> {
    let (kind, text) = match value {
        JsonValue::Null => ("null", String::new()),
        JsonValue::Bool(true) => ("bool", "True".to_owned()),
        JsonValue::Bool(false) => ("bool", "False".to_owned()),
        JsonValue::Int(number) => ("int", number.to_string()),
        JsonValue::BigInt(number) => ("int", number.to_string()),
        JsonValue::Float(number) => ("float", float(*number)),
        JsonValue::Str(text) => {
            check(text)?;
            // Python's parser turns every line end into \n.
            ("str", escape(&text.replace("\r\n", "\n").replace('\r', "\n")))
        }
        JsonValue::Array(array) => {
            let attributes = format!("{attributes} type=\"list\"");
            return element(xml, depth, name, &attributes, |xml| items(xml, depth + 1, array));
        }
        JsonValue::Object(object) => {
            let attributes = format!("{attributes} type=\"dict\"");
            return element(xml, depth, name, &attributes, |xml| members(xml, depth + 1, object));
        }
    };
    indent(xml, depth);
    let _ = if text.is_empty() {
        writeln!(xml, "<{name}{attributes} type=\"{kind}\"/>")
    } else {
        writeln!(xml, "<{name}{attributes} type=\"{kind}\">{text}</{name}>")
    };
    Ok(())
}

/// An element with other elements inside; `<name/>` if there are none.
fn element(
    xml: &mut String,
    depth: usize,
    name: &str,
    attributes: &str,
    write_content: impl FnOnce(&mut String) -> Result<(), String>,
) -> Result<(), String> {
    indent(xml, depth);
    let _ = writeln!(xml, "<{name}{attributes}>");
    let start = xml.len();
    write_content(xml)?;
    if xml.len() == start {
        xml.truncate(start - ">\n".len());
        xml.push_str("/>\n");
    } else {
        indent(xml, depth);
        let _ = writeln!(xml, "</{name}>");
    }
    Ok(())
}

fn indent(xml: &mut String, depth: usize) {
    xml.extend(std::iter::repeat_n('\t', depth));
}

fn is_scalar(value: &JsonValue<'_>) -> bool {
    !matches!(value, JsonValue::Array(_) | JsonValue::Object(_))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;").replace('>', "&gt;")
}

/// Rejects characters that XML cannot hold.
fn check(text: &str) -> Result<(), String> {
    let is_forbidden =
        |c: char| matches!(c, '\0'..='\x08' | '\x0B' | '\x0C' | '\x0E'..='\x1F' | '\u{FFFE}' | '\u{FFFF}');
    match text.chars().find(|c| is_forbidden(*c)) {
        Some(c) => Err(format!("XML cannot hold the character {c:?}; remove it from the document")),
        None => Ok(()),
    }
}

/// As Python's `repr`: Rust differs in the exponent alone.
fn float(number: f64) -> String {
    match number.classify() {
        FpCategory::Nan => "nan".to_owned(),
        FpCategory::Infinite => if number > 0.0 { "inf" } else { "-inf" }.to_owned(),
        _ => {
            let text = format!("{number:?}");
            let Some((digits, exponent)) = text.split_once('e') else { return text };
            let (sign, exponent) =
                exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
            let digits = digits.strip_suffix(".0").unwrap_or(digits);
            format!("{digits}e{sign}{exponent:0>2}")
        }
    }
}
