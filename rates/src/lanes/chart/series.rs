//! A lane as a series for drawing, and as a sentence.

use chrono::{Days, NaiveDate};

use super::text::thousands;
use crate::{
    lanes::{
        day::Day,
        lane::Lane,
        query::{PlaceName, RatesQuery},
    },
    places::Catalogue,
};

/// A lane's values for drawing, by the index of the day in the range.
pub(super) struct Series {
    pub(super) name: String,
    /// The average price; none is a gap.
    pub(super) means: Vec<Option<f64>>,
    pub(super) counts: Vec<i32>,
    /// The 2.5 to 97.5 and the 25 to 75 percentile.
    pub(super) bands: [Vec<Option<(f64, f64)>>; 2],
}

impl Series {
    pub(super) fn new(query: &RatesQuery<'_>, lane: &Lane, catalogue: &Catalogue) -> Self {
        let place = |place: &PlaceName<'_>| catalogue.label(place.as_ref());
        let name = format!("{} to {}", place(&query.origin), place(&query.destination))
            // XML cannot represent control characters.
            .replace(char::is_control, " ");
        let days: Vec<Option<&Day>> = lane.each_day(query).map(|(_, priced)| priced).collect();
        // By the position of its ends among the percentiles.
        let band = |low: usize, high: usize| {
            let ends = |priced: Option<&Day>| {
                let dollars = priced?.percentiles.as_deref()?.dollars();
                Some((dollars[low], dollars[high]))
            };
            days.iter().copied().map(ends).collect()
        };
        Self {
            name,
            means: days.iter().map(|priced| priced.as_ref()?.mean()).collect(),
            counts: days.iter().map(|priced| priced.map_or(0, |day| day.count)).collect(),
            bands: [band(0, 4), band(1, 3)],
        }
    }

    /// The alternative text of the picture, a sentence.
    pub(super) fn in_words(&self, from: NaiveDate) -> String {
        let priced: Vec<(u64, f64)> =
            (0..).zip(&self.means).filter_map(|(day, mean)| Some((day, (*mean)?))).collect();
        let (Some(first), Some(last)) = (priced.first(), priced.last()) else {
            return format!("{}: no day in this range has three or more prices.", self.name);
        };
        let priced_day = |(day, mean): &(u64, f64)| {
            format!("{} on {}", thousands(*mean), from.checked_add_days(Days::new(*day)).unwrap_or(from))
        };
        let by_price = |a: &&(u64, f64), b: &&(u64, f64)| a.1.total_cmp(&b.1);
        let lowest = priced.iter().min_by(by_price).map(priced_day).unwrap_or_default();
        let highest = priced.iter().max_by(by_price).map(priced_day).unwrap_or_default();
        format!(
            "{}: {} of {} days have an average, from {} to {}; lowest {lowest}, highest {highest}.",
            self.name,
            priced.len(),
            self.means.len(),
            priced_day(first),
            priced_day(last),
        )
    }
}

/// Each lane's name, and a sentence that describes its picture.
pub(crate) fn describe(
    queries: &[RatesQuery<'_>],
    lanes: &[Lane],
    catalogue: &Catalogue,
) -> Vec<(String, String)> {
    let series = queries.iter().zip(lanes).map(|(query, lane)| Series::new(query, lane, catalogue));
    series.map(|series| (series.name.clone(), series.in_words(queries[0].from))).collect()
}
