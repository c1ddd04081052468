//! The columns of a sheet, by the names in its header row.

use std::{borrow::Cow, collections::HashMap};

use super::rows::{FIELDS, Rows};
use crate::values::quoted;

/// The fields that a sheet needs, in words.
const NEEDED: &str = "orig_code, dest_code, price and day (or valid_from and valid_to)";

/// Further names of columns, from the setting `batches.column_names`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ColumnNames {
    all: Names,
    of_supplier: HashMap<String, Names>,
}

/// For each name its field, or none for a column that is ignored.
type Names = HashMap<String, Option<usize>>;

impl ColumnNames {
    /// Reads items like `pol=orig_code`; `note=-` ignores a column, and `cost=price@acme` is for the sheets of one
    /// supplier. An item that is none is the error.
    pub fn parse<'a>(items: impl IntoIterator<Item = &'a str>) -> Result<Self, &'a str> {
        let mut names = Self::default();
        for item in items {
            let (name, meaning) = item.split_once('=').ok_or(item)?;
            let (field, supplier) = match meaning.split_once('@') {
                Some((field, supplier)) => (field, Some(supplier.trim())),
                None => (meaning, None),
            };
            let field = match field.trim() {
                "-" => None,
                field => Some(FIELDS.iter().position(|known| *known == field).ok_or(item)?),
            };
            let names = match supplier {
                None => &mut names.all,
                Some("") => return Err(item),
                Some(supplier) => names.of_supplier.entry(supplier.to_owned()).or_default(),
            };
            names.insert(normalized(name), field);
        }
        Ok(names)
    }

    /// The names in the sheets of this supplier.
    pub(super) fn of(&self, supplier: &str) -> Self {
        let mut all = self.all.clone();
        all.extend(self.of_supplier.get(supplier).cloned().unwrap_or_default());
        Self { all, of_supplier: HashMap::new() }
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

impl Meaning {
    fn field(&self) -> Option<usize> {
        match self {
            Self::Field(index) => Some(*index),
            Self::Ignored | Self::Unknown => None,
        }
    }
}

/// The setting counts before the names of the fields: a supplier's `price` may be something else.
fn meaning(header: &str, names: &ColumnNames) -> Meaning {
    let name = normalized(header);
    match names.all.get(&name) {
        Some(Some(index)) => return Meaning::Field(*index),
        Some(None) => return Meaning::Ignored,
        None => {}
    }
    match FIELDS.iter().position(|field| **field == *name) {
        Some(index) => Meaning::Field(index),
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
    header.into_iter().filter(|name| meaning(name, names).field().is_some()).count()
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
            (Some(_), ..) => wrong.push("day cannot be combined with valid_from or valid_to".to_owned()),
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
        for wrong in ["pol", "pol=port", "=x", "pol=orig_code@"] {
            assert_eq!(ColumnNames::parse([wrong]), Err(wrong));
        }
    }

    #[test]
    fn a_supplier_has_names_of_its_own_before_those_of_all() {
        let names =
            ColumnNames::parse(["cost=price", "cost=-@acme", "price=-@acme", "All in=price@acme"]).unwrap();
        let prices =
            |names: &ColumnNames| ["cost", "price", "all in"].map(|name| meaning(name, names).field());
        assert_eq!(prices(&names), [Some(3), Some(3), None]);
        assert_eq!(prices(&names.of("other")), [Some(3), Some(3), None]);
        assert_eq!(prices(&names.of("acme")), [None, None, Some(3)]);
    }
}
