//! What a page shows, and the page's URL for it.

use super::query::PageQuery;
use crate::lanes::query::{Interval, Values};

/// A lane by the codes of its places, or by what was typed for them.
pub(super) type Names = (String, String);

/// Everything that the URL of a page contains.
#[derive(Clone, Default)]
pub(super) struct View {
    pub(super) lanes: Vec<Names>,
    /// Empty: the default.
    pub(super) from: String,
    /// Empty: the newest day.
    pub(super) to: String,
    /// None: by the range.
    pub(super) interval: Option<Interval>,
    pub(super) values: Option<Values>,
    pub(super) moving_average: Option<u16>,
    pub(super) previous_year: bool,
}

impl View {
    /// These lanes over these days, drawn as the query says.
    pub(super) fn new(lanes: Vec<Names>, (from, to): (&str, &str), query: &PageQuery<'_>) -> Self {
        let picture = &query.picture;
        Self {
            lanes,
            from: from.to_owned(),
            to: to.to_owned(),
            interval: query.interval,
            values: Some(picture.values).filter(|values| *values != Values::Price),
            moving_average: picture.moving_average,
            previous_year: picture.previous_year,
        }
    }

    /// The same of other days; empty: the newest.
    pub(super) fn of_days(&self, from: &str, to: &str) -> Self {
        Self { from: from.to_owned(), to: to.to_owned(), ..self.clone() }
    }

    /// The same without the lane at this index.
    pub(super) fn without(&self, index: usize) -> Self {
        let mut view = self.clone();
        view.lanes.remove(index);
        view
    }

    /// The page's URL.
    pub(super) fn href(&self) -> String {
        let mut query = form_urlencoded::Serializer::for_suffix("/?".to_owned(), 2);
        for (origin, destination) in &self.lanes {
            query.append_pair("orig_code", origin).append_pair("dest_code", destination);
        }
        for (name, day) in [("date_from", &self.from), ("date_to", &self.to)] {
            if !day.is_empty() {
                query.append_pair(name, day);
            }
        }
        query.extend_pairs(self.interval.map(|interval| ("interval", interval.name())));
        query.extend_pairs(self.options());
        query.finish()
    }

    /// The parameters of the picture that differ from the default, the same for the page and for `/rates.svg`.
    pub(super) fn options(&self) -> impl Iterator<Item = (&'static str, String)> {
        let options = [
            ("values", self.values.map(|values| values.name().to_owned())),
            ("moving_average", self.moving_average.map(|days| days.to_string())),
            ("previous_year", self.previous_year.then(|| "true".to_owned())),
        ];
        options.into_iter().filter_map(|(name, value)| Some((name, value?)))
    }
}
