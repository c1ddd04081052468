//! A lane as a series for drawing, and as a sentence.

use chrono::NaiveDate;

use super::text::thousands;
use crate::{
    lanes::{
        day::{Day, Percentiles},
        element::FoundLane,
        query::{Interval, RatesQuery},
    },
    places::{Catalogue, Pair},
};

/// A lane's values for drawing, by the index of the day in the range. An interval of several days has its values on each.
pub(super) struct Series {
    pub(super) name: String,
    /// The average price; none is a gap.
    pub(super) means: Vec<Option<f64>>,
    pub(super) counts: Vec<i64>,
    /// The 2.5 to 97.5 and the 25 to 75 percentile.
    pub(super) bands: [Vec<Option<(f64, f64)>>; 2],
    /// What an average is of: "day" and so on.
    pub(super) unit: &'static str,
    /// How many prices an average needs, in words.
    pub(super) enough: String,
    /// The first day and the average of each interval that has one.
    averages: Vec<(NaiveDate, f64)>,
    intervals: usize,
}

impl Series {
    pub(super) fn new(query: &RatesQuery<'_>, lane: &FoundLane, catalogue: &Catalogue) -> Self {
        let elements = lane.elements(query);
        let label = |(origin, destination): Pair| {
            let label = |place| catalogue.label(catalogue.code(place));
            format!("{} to {}", label(origin), label(destination))
        };
        let mut name = label(lane.pair);
        match lane.sources.as_slice() {
            [(pair, _)] if *pair != lane.pair => name = format!("{name}, by {}", label(*pair)),
            [_] => {}
            _ => name.push_str(", in part by wider regions"),
        }
        let by_day = elements.iter().flat_map(|placed| {
            let element = &placed.element;
            element.first.iter_days().take_while(move |day| *day <= element.last).map(move |_| element)
        });
        // By the position of its ends among the percentiles.
        let band = |low: usize, high: usize| {
            let dollars = by_day.clone().map(|element| element.percentiles.map(Percentiles::dollars));
            dollars.map(|dollars| dollars.map(|dollars| (dollars[low], dollars[high]))).collect()
        };
        let enough = if query.min_count == i64::from(Day::PRICES_FOR_A_MEAN) {
            "three or more prices".to_owned()
        } else {
            format!("{} or more prices", query.min_count)
        };
        let averages = elements.iter().map(|placed| &placed.element);
        Self {
            // XML cannot represent control characters.
            name: name.replace(char::is_control, " "),
            means: by_day.clone().map(|element| element.mean).collect(),
            counts: by_day.clone().map(|element| element.count).collect(),
            bands: [band(0, 4), band(1, 3)],
            unit: match query.interval {
                Interval::Day => "day",
                Interval::Week => "week",
                Interval::Month => "month",
                Interval::Quarter => "quarter",
                Interval::Year => "year",
            },
            enough,
            averages: averages.filter_map(|element| Some((element.first, element.mean?))).collect(),
            intervals: elements.len(),
        }
    }

    /// The alternative text of the picture, a sentence.
    pub(super) fn in_words(&self) -> String {
        let Self { name, averages, intervals, unit, enough, .. } = self;
        let (Some(first), Some(last)) = (averages.first(), averages.last()) else {
            return format!("{name}: no {unit} in this range has {enough}.");
        };
        let average = |(day, mean): &(NaiveDate, f64)| match *unit {
            "day" => format!("{} on {day}", thousands(*mean)),
            unit => format!("{} in the {unit} from {day}", thousands(*mean)),
        };
        let by_price = |a: &&(NaiveDate, f64), b: &&(NaiveDate, f64)| a.1.total_cmp(&b.1);
        let lowest = averages.iter().min_by(by_price).map(average).unwrap_or_default();
        let highest = averages.iter().max_by(by_price).map(average).unwrap_or_default();
        format!(
            "{name}: {} of {intervals} {unit}s have an average, from {} to {}; lowest {lowest}, highest {highest}.",
            averages.len(),
            average(first),
            average(last),
        )
    }
}

/// Each lane's name, and a sentence that describes its picture.
pub(crate) fn describe(
    queries: &[RatesQuery<'_>],
    lanes: &[FoundLane],
    catalogue: &Catalogue,
) -> Vec<(String, String)> {
    let series = queries.iter().zip(lanes).map(|(query, lane)| Series::new(query, lane, catalogue));
    series.map(|series| (series.name.clone(), series.in_words())).collect()
}
