//! JSON to XML, to the byte as json2xml 3.6.0 with dicttoxml 1.7.4 and Python's minidom (before 3.13) write it.

use std::fmt::Write;

use indexmap::IndexMap;
use jiter::JsonValue;

use crate::names;

const ROOT: &str = "all";
const ITEM: &str = "item";

/// Converts a JSON document. Its error says what is wrong with the document.
///
/// Of equal keys in an object, the last value counts, at the place of the first. `NaN` and `Infinity` are numbers, as
/// in Python. Only objects and arrays can be converted, nested at most 200 deep, and no text with control characters.
pub fn from_json(json: &[u8]) -> Result<String, String> {
    let value =
        JsonValue::parse(json, true).map_err(|error| format!("not JSON: {}", error.description(json)))?;
    if is_scalar(&value) {
        return Err("the document must be an object or an array".to_owned());
    }
    let mut xml = String::with_capacity(json.len() * 2);
    xml.push_str("<?xml version=\"1.0\" ?>");
    element(&mut xml, 0, ROOT, "", &value)?;
    xml.push('\n');
    Ok(xml)
}

/// Writes an element on a line of its own.
fn element(
    xml: &mut String,
    depth: usize,
    name: &str,
    attributes: &str,
    value: &JsonValue<'_>,
) -> Result<(), String> {
    new_line(xml, depth);
    let _ = write!(xml, "<{name}{attributes}>");
    let start = xml.len();
    match value {
        JsonValue::Object(object) => {
            // As in Python, the last of equal keys counts, at the place of the first.
            let members: IndexMap<_, _> = object.iter().map(|(key, value)| (key.as_ref(), value)).collect();
            for (key, value) in members {
                check(key)?;
                let name = names::element_name(key, is_scalar(value))?;
                let mut attributes = String::new();
                if let Some(key) = name.attribute {
                    // Python's parser turns white space in an attribute into spaces.
                    let key = key.replace("\r\n", " ").replace(['\r', '\n', '\t'], " ");
                    let _ = write!(attributes, " name=\"{}\"", escape(&key));
                }
                let _ = write!(attributes, " type=\"{}\"", kind(value));
                element(xml, depth + 1, &name.element, &attributes, value)?;
            }
        }
        JsonValue::Array(array) => {
            for value in array.iter() {
                element(xml, depth + 1, ITEM, &format!(" type=\"{}\"", kind(value)), value)?;
            }
        }
        scalar => xml.push_str(&text(scalar)?),
    }
    if xml.len() == start {
        xml.truncate(start - ">".len());
        xml.push_str("/>");
        return Ok(());
    }
    if !is_scalar(value) {
        new_line(xml, depth);
    }
    let _ = write!(xml, "</{name}>");
    Ok(())
}

fn new_line(xml: &mut String, depth: usize) {
    xml.push('\n');
    xml.extend(std::iter::repeat_n('\t', depth));
}

fn is_scalar(value: &JsonValue<'_>) -> bool {
    !matches!(value, JsonValue::Array(_) | JsonValue::Object(_))
}

/// The attribute `type` of a value's element.
fn kind(value: &JsonValue<'_>) -> &'static str {
    match value {
        JsonValue::Null => "null",
        JsonValue::Bool(_) => "bool",
        JsonValue::Int(_) | JsonValue::BigInt(_) => "int",
        JsonValue::Float(_) => "float",
        JsonValue::Str(_) => "str",
        JsonValue::Array(_) => "list",
        JsonValue::Object(_) => "dict",
    }
}

/// What stands in the element of a scalar.
fn text(value: &JsonValue<'_>) -> Result<String, String> {
    Ok(match value {
        JsonValue::Bool(true) => "True".to_owned(),
        JsonValue::Bool(false) => "False".to_owned(),
        JsonValue::Int(number) => number.to_string(),
        JsonValue::BigInt(number) => number.to_string(),
        JsonValue::Float(number) => float(*number),
        JsonValue::Str(text) => {
            check(text)?;
            // Python's parser turns every line end into \n.
            escape(&text.replace("\r\n", "\n").replace('\r', "\n"))
        }
        JsonValue::Null | JsonValue::Array(_) | JsonValue::Object(_) => String::new(),
    })
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

/// As Python's `repr`: Rust differs in the exponent and in the case of `NaN`.
fn float(number: f64) -> String {
    let text = format!("{number:?}").to_ascii_lowercase();
    let Some((digits, exponent)) = text.split_once('e') else { return text };
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
    let digits = digits.strip_suffix(".0").unwrap_or(digits);
    format!("{digits}e{sign}{exponent:0>2}")
}
