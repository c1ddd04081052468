//! The columns of a sheet, by the names in its header row.

use std::{borrow::Cow, collections::HashMap};

use super::rows::{FIELDS, Rows};
use crate::http::parameters::quoted;

/// The fields that a sheet needs, in words.
const NEEDED: &str = "orig_code, dest_code, price and day (or valid_from and valid_to)";

/// Further names of columns, from the setting `batches.column_names`: for each the field, or none for a column that is
/// ignored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ColumnNames(HashMap<String, Option<usize>>);

impl ColumnNames {
    /// Reads items like `pol=orig_code`; `note=-` ignores a column. An item that is none is the error.
    pub fn parse<'a>(items: impl IntoIterator<Item = &'a str>) -> Result<Self, &'a str> {
        let names = items.into_iter().map(|item| {
            let (name, field) = item.split_once('=').ok_or(item)?;
            let field = match field.trim() {
                "-" => None,
                field => Some(FIELDS.iter().position(|known| *known == field).ok_or(item)?),
            };
            Ok((normalized(name), field))
        });
        names.collect::<Result<_, _>>().map(Self)
    }
}

/// Which column has which field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Columns {
    /// For each field its column.
    pub(super) of_field: [Option<usize>; FIELDS.len()],
    /// The number of columns up to the last that has a name.
    pub(super) count: usize,
}

/// What a header row has.
enum Meaning {
    Field(usize),
    Ignored,
    Unknown,
}

fn meaning(header: &str, names: &ColumnNames) -> Meaning {
    let name = normalized(header);
    if let Some(index) = FIELDS.iter().position(|field| **field == *name) {
        return Meaning::Field(index);
    }
    match names.0.get(&name) {
        Some(Some(index)) => Meaning::Field(*index),
        Some(None) => Meaning::Ignored,
        // The index that pandas writes, and what is beside a table.
        None if name.is_empty() => Meaning::Ignored,
        None => Meaning::Unknown,
    }
}

/// How many columns of prices a header row names.
pub(super) fn known_columns<'a>(
    header: impl IntoIterator<Item = Cow<'a, str>>,
    names: &ColumnNames,
) -> usize {
    header.into_iter().filter(|name| matches!(meaning(name, names), Meaning::Field(_))).count()
}

impl Columns {
    /// Reads a header row. Everything that is wrong with it is one fault, because one edit corrects it.
    pub(super) fn read(header: &[Cow<'_, str>], names: &ColumnNames, rows: &mut Rows<'_>) -> Option<Self> {
        let mut of_field = [None; FIELDS.len()];
        let mut wrong = Vec::new();
        for (column, name) in header.iter().enumerate() {
            match meaning(name, names) {
                Meaning::Ignored => {}
                Meaning::Unknown => wrong.push(format!("{} is not a column of prices", quoted(name))),
                Meaning::Field(index) => {
                    if of_field[index].replace(column).is_some() {
                        wrong.push(format!("{} appears twice", FIELDS[index]));
                    }
                }
            }
        }
        let [origin, destination, day, price, from, to] = of_field;
        let mut missing: Vec<&str> = [("orig_code", origin), ("dest_code", destination), ("price", price)]
            .into_iter()
            .filter_map(|(field, column)| column.is_none().then_some(field))
            .collect();
        match (day, from, to) {
            (Some(_), None, None) | (None, Some(_), Some(_)) => {}
            (Some(_), ..) => wrong.push("day stands beside valid_from or valid_to".to_owned()),
            (None, None, None) => missing.push("day"),
            (None, None, Some(_)) => missing.push("valid_from"),
            (None, Some(_), None) => missing.push("valid_to"),
        }
        if of_field == [None; FIELDS.len()] {
            wrong = vec!["it names no column of prices".to_owned()];
        } else {
            wrong.splice(0..0, missing.iter().map(|field| format!("{field} is missing")));
        }
        if wrong.is_empty() {
            let last = header.iter().rposition(|name| !name.trim().is_empty());
            return Some(Self { of_field, count: last.map_or(0, |last| last + 1) });
        }
        // A row may have any number of columns.
        wrong.truncate(8);
        let shown = quoted(&header.join(","));
        let detail = format!(
            "the first row is {shown}: {}; it must name the columns {NEEDED}, in any order, and no others",
            wrong.join(", ")
        );
        rows.content_fault("header", "malformed", detail);
        None
    }
}

/// The same name in lower case, with `_` for blanks and hyphens.
fn normalized(name: &str) -> String {
    let name = name.trim().to_lowercase();
    name.split(|c: char| c.is_whitespace() || matches!(c, '-' | '_')).collect::<Vec<_>>().join("_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_columns_are_read_from_a_setting() {
        let names = ColumnNames::parse(["POL = orig_code", "Valid From=valid_from", "note=-"]).unwrap();
        assert_eq!(known_columns(["pol", "VALID-FROM", "note", "other"].map(Cow::from), &names), 2);
        for wrong in ["pol", "pol=port", "=x"] {
            assert_eq!(ColumnNames::parse([wrong]), Err(wrong));
        }
    }
}
