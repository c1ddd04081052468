//! The query string of the page, not validated yet.

use std::borrow::Cow;

use chassis::problem::FieldError;

use crate::{
    lanes::query::{Interval, Picture},
    query_string::{Misspelt, misspelt, query_pairs},
};

/// The query of the page.
#[derive(Debug, Default)]
pub(crate) struct PageQuery<'a> {
    /// Origin and destination of each lane that has either, as they were typed.
    pub(crate) lanes: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// The first day; empty: not given.
    pub(crate) from: Cow<'a, str>,
    /// The last day; empty: not given.
    pub(crate) to: Cow<'a, str>,
    /// Whether all days that have prices are asked for.
    pub(crate) all_days: bool,
    /// The interval that was chosen; none: by the range.
    pub(crate) interval: Option<Interval>,
    /// How the lanes are drawn.
    pub(crate) picture: Picture<'a>,
    /// Parameters that may be misspellings of the page's, and wrong ones of the picture.
    pub(crate) faults: Vec<FieldError>,
}

/// The parameters of the page that are not those of its picture.
const NAMES: [&str; 8] =
    ["orig_code", "origin", "dest_code", "destination", "date_from", "date_to", "range", "interval"];

impl<'a> PageQuery<'a> {
    /// The most lanes of one page.
    pub(crate) const MAX_LANES: usize = 1 + Picture::MAX_COMPARED;
    /// More lanes than this are not read at all, so that a long query string cannot keep the server busy.
    const MAX_READ: usize = 10;

    /// Reads the query string of the page. Its form sends `orig_code` and `dest_code` once for each lane, in order, and
    /// empty fields too.
    pub(crate) fn parse(query: &'a str) -> Self {
        let mut page = Self::default();
        let (mut origins, mut destinations) = (Vec::new(), Vec::new());
        let mut unknown = Vec::new();
        for (name, value) in query_pairs(query) {
            match &*name {
                "orig_code" | "origin" => origins.push(value),
                "dest_code" | "destination" => destinations.push(value),
                "date_from" => page.from = value,
                "date_to" => page.to = value,
                "range" => page.all_days = value == "all",
                "interval" if value.is_empty() => {}
                "interval" => match Interval::parse(value) {
                    Ok(interval) => page.interval = Some(interval),
                    Err((code, detail)) => page.faults.push(FieldError::new("interval", code, detail)),
                },
                _ => unknown.push(name),
            }
        }
        page.faults.extend(misspelt(unknown, &NAMES).iter().map(Misspelt::fault));
        match Picture::parse(query) {
            Ok(picture) => page.picture = picture,
            Err(faults) => page.faults.extend(faults),
        }
        // A moving average is of days, and the page offers no interval beside it.
        page.interval = page.interval.filter(|_| page.picture.moving_average.is_none());
        let rows = origins.len().max(destinations.len());
        origins.resize(rows, Cow::default());
        destinations.resize(rows, Cow::default());
        let is_blank = |(origin, destination): &(Cow<'_, str>, Cow<'_, str>)| {
            origin.trim().is_empty() && destination.trim().is_empty()
        };
        page.lanes = origins.into_iter().zip(destinations).filter(|lane| !is_blank(lane)).collect();
        if page.lanes.is_empty() && rows > 0 {
            page.lanes.push(Default::default());
        }
        let count = page.lanes.len();
        if count > Self::MAX_LANES {
            let most = Self::MAX_LANES;
            let detail = format!(
                "{count} lanes are too many: at most {most} can be compared. Remove {}.",
                count - most
            );
            page.faults.push(FieldError::new("orig_code", "too_many", detail));
            page.lanes.truncate(Self::MAX_READ);
        }
        page
    }
}
