//! JSON: an array of objects, bare or as the member `prices` of an object; and NDJSON, an object per line.

mod row;

use std::{
    fmt,
    io::{self, BufRead},
};

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{
    meter::ReadError,
    rows::{FIELDS, Numbers, Rows},
};
use row::{Name, Row};

pub(super) fn read_document(input: &mut dyn BufRead, rows: &mut Rows<'_>) -> io::Result<()> {
    let mut json = serde_json::Deserializer::from_reader(input);
    json.deserialize_any(Document(rows)).and_then(|()| json.end()).map_err(io::Error::from)
}

pub(super) fn read_lines(input: &mut dyn BufRead, rows: &mut Rows<'_>) -> io::Result<()> {
    let mut line = Vec::new();
    loop {
        line.clear();
        if input.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        if line.trim_ascii().is_empty() {
            rows.skip_row();
            continue;
        }
        match serde_json::from_slice::<Row>(&line) {
            Ok(row) => push(rows, row)?,
            Err(error) => {
                // Each line is a document of its own, so the parser's "at line 1" would mislead.
                let text = error.to_string();
                let reason = text.split(" at line ").next().unwrap_or(&text);
                rows.push_broken("malformed", format!("{reason} at byte {} of the line", error.column()))?;
            }
        }
    }
}

fn push(rows: &mut Rows<'_>, row: Row) -> Result<(), ReadError> {
    match row {
        Row::Other(shown) => rows.push_broken("malformed", format!("{shown} is not an object")),
        Row::Object { fields, unknown, repeated } => {
            for name in unknown {
                let detail = format!("a row has the fields {} and no others", FIELDS.join(", "));
                rows.row_fault(&name, "unknown", detail);
            }
            for name in repeated {
                rows.row_fault(name, "repeated", format!("{name} is given twice"));
            }
            rows.push(&fields, Numbers::Typed)
        }
    }
}

/// The array, bare or as the member `prices`.
struct Document<'a, 'b>(&'a mut Rows<'b>);

impl<'de> Visitor<'de> for Document<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of prices, or an object with the member prices")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<(), A::Error> {
        Array(self.0).visit_seq(items)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut found = false;
        while let Some(Name(name)) = map.next_key()? {
            if name == "prices" && !found {
                found = true;
                map.next_value_seed(Array(self.0))?;
            } else {
                map.next_value::<IgnoredAny>()?;
                let (code, detail) = if name == "prices" {
                    ("repeated", "prices is given twice")
                } else {
                    ("unknown", "the object has the member prices and no other")
                };
                self.0.content_fault(&name, code, detail);
            }
        }
        if !found {
            self.0.content_fault("prices", "missing", "the object has no member prices");
        }
        Ok(())
    }
}

/// The rows of an array, each handed on before the next is read.
struct Array<'a, 'b>(&'a mut Rows<'b>);

impl<'de> DeserializeSeed<'de> for Array<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Array<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of prices")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while let Some(row) = items.next_element::<Row>()? {
            // serde carries the error as text only. `finish` hands rows on once more and meets the same error.
            push(self.0, row).map_err(A::Error::custom)?;
        }
        Ok(())
    }
}
