//! The query string of the page, as a person wrote it: nothing is checked yet.

use std::borrow::Cow;

use crate::{http::parameters::pairs, lanes::query::Picture};

/// What the page is to show.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct PageQuery<'a> {
    /// Origin and destination of each lane that has either.
    pub(crate) lanes: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// The first day; empty: not given.
    pub(crate) from: Cow<'a, str>,
    /// The last day; empty: not given.
    pub(crate) to: Cow<'a, str>,
}

impl<'a> PageQuery<'a> {
    /// Reads the query string of the page. Its form sends `orig_code` and `dest_code` once for each lane, in order.
    pub(crate) fn parse(query: &'a str) -> Self {
        let mut page = Self::default();
        let (mut origins, mut destinations) = (Vec::new(), Vec::new());
        for (name, value) in pairs(query) {
            match &*name {
                "orig_code" | "origin" => origins.push(value),
                "dest_code" | "destination" => destinations.push(value),
                "date_from" => page.from = value,
                "date_to" => page.to = value,
                _ => {}
            }
        }
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
