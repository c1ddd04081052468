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
    let mut refused = None;
    let read = json.deserialize_any(Document { rows, refused: &mut refused }).and_then(|()| json.end());
    match refused {
        Some(error) => Err(error.into()),
        None => read.map_err(io::Error::from),
    }
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
struct Document<'a, 'b> {
    rows: &'a mut Rows<'b>,
    /// Why a row was not taken: serde carries the errors of others as texts only.
    refused: &'a mut Option<ReadError>,
}

impl<'de> Visitor<'de> for Document<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of prices, or an object with the member prices")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<(), A::Error> {
        Array(self).visit_seq(items)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { rows, refused } = self;
        let mut found = false;
        while let Some(Name(name)) = map.next_key()? {
            if name == "prices" && !found {
                found = true;
                map.next_value_seed(Array(Document { rows: &mut *rows, refused: &mut *refused }))?;
            } else {
                map.next_value::<IgnoredAny>()?;
                let (code, detail) = if name == "prices" {
                    ("repeated", "prices is given twice")
                } else {
                    ("unknown", "the object has the member prices and no other")
                };
                rows.content_fault(&name, code, detail);
            }
        }
        if !found {
            rows.content_fault("prices", "missing", "the object has no member prices");
        }
        Ok(())
    }
}

/// The rows of an array, each handed on before the next is read.
struct Array<'a, 'b>(Document<'a, 'b>);

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
        let Document { rows, refused } = self.0;
        while let Some(row) = items.next_element::<Row>()? {
            if let Err(error) = push(&mut *rows, row) {
                let text = error.to_string();
                *refused = Some(error);
                return Err(A::Error::custom(text));
            }
        }
        Ok(())
    }
}
