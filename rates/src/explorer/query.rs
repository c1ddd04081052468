//! The query string of the page, not validated yet.

use std::borrow::Cow;

use chassis::problem::FieldError;

use crate::{
    http::parameters::{Misspelt, misspelt, pairs},
    lanes::query::Picture,
};

/// The query of the page.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct PageQuery<'a> {
    /// Origin and destination of each lane that has either.
    pub(crate) lanes: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// The first day; empty: not given.
    pub(crate) from: Cow<'a, str>,
    /// The last day; empty: not given.
    pub(crate) to: Cow<'a, str>,
    /// Parameters that may be misspellings of the page's.
    pub(crate) faults: Vec<FieldError>,
}

const NAMES: [&str; 6] = ["orig_code", "origin", "dest_code", "destination", "date_from", "date_to"];

impl<'a> PageQuery<'a> {
    /// Reads the query string of the page. Its form sends `orig_code` and `dest_code` once for each lane, in order.
    pub(crate) fn parse(query: &'a str) -> Self {
        let mut page = Self::default();
        let (mut origins, mut destinations) = (Vec::new(), Vec::new());
        let mut unknown = Vec::new();
        for (name, value) in pairs(query) {
            match &*name {
                "orig_code" | "origin" => origins.push(value),
                "dest_code" | "destination" => destinations.push(value),
                "date_from" => page.from = value,
                "date_to" => page.to = value,
                _ => unknown.push(name),
            }
        }
        page.faults = misspelt(unknown, &NAMES).iter().map(Misspelt::fault).collect();
        let rows = origins.len().max(destinations.len());
        origins.resize(rows, Cow::default());
        destinations.resize(rows, Cow::default());
        page.lanes = origins
            .into_iter()
            .zip(destinations)
            .filter(|(origin, destination)| !(origin.trim().is_empty() && destination.trim().is_empty()))
            .take(1 + Picture::MAX_COMPARED)
            .collect();
        page
    }
}
