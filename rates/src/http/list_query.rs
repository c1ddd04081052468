//! The query string of a list: which items, and which page of them.

use std::borrow::Cow;

use chassis::problem::FieldError;

use crate::query_string::{Misspelt, misspelt, query_pairs};
use crate::values::quoted;

/// Which items of a list, and which page of them.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ListQuery<'a> {
    /// Words to look for.
    pub q: Option<Cow<'a, str>>,
    /// Only what lies below this region.
    pub region: Option<Cow<'a, str>>,
    /// Only places that are this end of a lane.
    pub role: Option<Cow<'a, str>>,
    /// The other end of that lane.
    pub other_end: Option<Cow<'a, str>>,
    /// Only what comes after this key.
    pub after: Option<Cow<'a, str>>,
    /// The most items.
    pub limit: Option<usize>,
}

impl<'a> ListQuery<'a> {
    /// Reads the query string of a list that takes the parameters `known`; `max_limit` is its longest page.
    pub fn parse(query: &'a str, known: &[&'static str], max_limit: usize) -> Result<Self, Vec<FieldError>> {
        let mut list = Self::default();
        let mut faults = Vec::new();
        let mut seen = Vec::new();
        let mut unknown = Vec::new();
        for (name, value) in query_pairs(query) {
            let Some(name) = known.iter().find(|known| **known == name) else {
                unknown.push(name);
                continue;
            };
            if seen.contains(name) {
                faults.push(FieldError::new(*name, "repeated", format!("{name} is given more than once")));
                continue;
            }
            seen.push(*name);
            match *name {
                "q" if value.chars().count() <= 200 => {
                    list.q = Some(value).filter(|value| !value.trim().is_empty());
                }
                "q" => faults.push(FieldError::new("q", "too_long", "q is longer than 200 characters")),
                "region" => list.region = Some(value),
                "after" => list.after = Some(value),
                "role" => list.role = Some(value),
                "other_end" => list.other_end = Some(value),
                _ => match value.parse() {
                    Ok(limit) if (1..=max_limit).contains(&limit) => list.limit = Some(limit),
                    _ => {
                        let detail = format!("{} is not a number from 1 to {max_limit}", quoted(&value));
                        faults.push(FieldError::new("limit", "out_of_range", detail));
                    }
                },
            }
        }
        faults.extend(misspelt(unknown, known).iter().map(Misspelt::fault));
        if faults.is_empty() { Ok(list) } else { Err(faults) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_faults_of_a_list_are_named() {
        const KNOWN: &[&str] = &["q", "region", "after", "limit"];
        let list = ListQuery::parse("q=Gu&region=asia&limit=3&after=A&foreign=1", KNOWN, 10).unwrap();
        assert_eq!((list.q.as_deref(), list.limit), (Some("Gu"), Some(3)));
        for wrong in ["limit=0", "limit=11", "limit=x", "limit=", "q=a&q=b"] {
            assert_eq!(ListQuery::parse(wrong, KNOWN, 10).expect_err(wrong).len(), 1, "{wrong}");
        }
        let long = format!("q={}", "ü".repeat(200));
        assert!(ListQuery::parse(&long, KNOWN, 10).is_ok());
        assert!(ListQuery::parse(&(long + "a"), KNOWN, 10).is_err());
    }

    proptest! {
        #[test]
        fn no_query_string_panics(query in "\\PC{0,200}") {
            let _ = ListQuery::parse(&query, &["q", "limit"], 10);
        }
    }
}
