//! What the page shows of its lanes: the picture and its readings, a table, and the URLs of all formats.

use std::fmt::Write;

use chassis::Problem;
use chrono::NaiveDate;
use serde::Serialize;

use super::{
    form::Link,
    view::{Names, View},
};
use crate::lanes::{
    FoundLanes,
    chart::{self, Line, Series, span, thousands},
    query::{Interval, Order, Picture, PlaceName, QueryLimits, RatesQuery, Values},
};

/// The maximum number of rows in the table, a year of days. The CSV has all.
const TABLE_ROWS: usize = 366;
/// The longest ranges, in days, that are drawn by days and by weeks; longer ones by months. So many days or
/// weeks have some pixels each.
const BY_DAY: usize = 190;
const BY_WEEK: usize = 4 * 366;

/// What the page shows of the lanes.
pub(super) struct Shown {
    pub(super) title: String,
    pub(super) words: Vec<String>,
    /// The URL of the picture without size and theme.
    pub(super) picture: String,
    /// The URL of one table of all lanes.
    pub(super) csv: String,
    pub(super) lanes: Vec<ShownLane>,
    /// What asks the API for the percentiles of a lane, if there are any.
    pub(super) statistics: &'static str,
    /// What the chart has values of: days, weeks and so on.
    pub(super) interval: Interval,
    /// The latest interval with a value, or the last.
    pub(super) day: String,
    pub(super) readings: Vec<Reading>,
    /// The readings of all intervals for the script, as JSON.
    pub(super) data: String,
    pub(super) columns: Vec<Column>,
    pub(super) table: Vec<Vec<String>>,
    pub(super) days: usize,
    pub(super) count: usize,
    pub(super) permalink: String,
}

pub(super) struct ShownLane {
    pub(super) name: String,
    /// The query string of the lane, the same for JSON, CSV and SVG.
    pub(super) query: String,
}

/// What is read of a line in one interval.
pub(super) struct Reading {
    pub(super) name: String,
    pub(super) is_past: bool,
    /// Each value and what it is.
    pub(super) values: Vec<(String, &'static str)>,
    /// The page without this lane, where there are several.
    pub(super) without: Option<String>,
}

/// Columns of the table that have a common heading.
pub(super) struct Column {
    pub(super) name: String,
    pub(super) parts: Vec<&'static str>,
}

/// What the script reads.
#[derive(Serialize)]
struct Readings<'a> {
    /// The first day of each interval, from the first of the range.
    starts: Vec<i64>,
    /// The measures of each line.
    lines: &'a [Vec<Measure>],
}

/// The values of a line for the script, which writes them as [`Measure::text`] does.
#[derive(Serialize)]
struct Measure {
    label: &'static str,
    unit: Unit,
    /// Of each interval; two where it is a band.
    values: Vec<Option<Vec<f64>>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Unit {
    Dollars,
    Difference,
    Number,
}

/// The query of the first of these lanes, and the picture of all of them.
pub(super) fn query<'a>(
    lanes: &[Names],
    days: (NaiveDate, NaiveDate),
    interval: Option<Interval>,
    picture: &Picture<'a>,
    limits: QueryLimits,
) -> Result<(RatesQuery<'a>, Picture<'a>), Problem> {
    let place = |name: &str| PlaceName::parse(name.to_owned().into()).ok();
    let lanes: Option<Vec<_>> =
        lanes.iter().map(|(origin, destination)| Some((place(origin)?, place(destination)?))).collect();
    let mut lanes = lanes.unwrap_or_default().into_iter();
    let Some((origin, destination)) = lanes.next() else {
        return Err(Problem::internal("a place in the catalogue has an invalid name"));
    };
    let first = RatesQuery::new(days, (origin, destination), limits);
    let interval = interval.unwrap_or_else(|| interval_of(first.days(), picture));
    let first = RatesQuery { order: Order::OldestFirst, interval, ..first };
    Ok((first, Picture { compare: lanes.collect(), ..picture.clone() }))
}

/// The interval in which a range of so many days reads as a line.
pub(super) fn interval_of(days: usize, picture: &Picture<'_>) -> Interval {
    if picture.moving_average.is_some() || days <= BY_DAY {
        Interval::Day
    } else if days <= BY_WEEK {
        Interval::Week
    } else {
        Interval::Month
    }
}

/// Describes the lanes that were read for this picture of a query, by these queries.
pub(super) fn show(
    query: &RatesQuery<'_>,
    queries: &[RatesQuery<'_>],
    picture: &Picture<'_>,
    view: &View,
    found: &FoundLanes,
) -> Shown {
    let series = chart::series(picture, queries, found);
    let measures: Vec<Vec<Measure>> = series.iter().map(|series| measures(picture, series)).collect();
    let at = latest(&series);
    let spans = &series[0].spans;
    let reading = |(index, (series, measures)): (usize, (&Series, &Vec<Measure>))| Reading {
        name: series.name.clone(),
        is_past: series.is_past,
        // Unknown values keep their room, so that what is below never moves.
        values: measures
            .iter()
            .map(|measure| (measure.text(at).unwrap_or_else(|| "–".to_owned()), measure.label))
            .collect(),
        without: (view.lanes.len() > 1 && !series.is_past).then(|| view.without(index).href()),
    };
    let lanes = view
        .lanes
        .iter()
        .zip(&series)
        .map(|(lane, series)| ShownLane { name: series.name.clone(), query: api_query(query, lane) });
    Shown {
        title: if view.lanes.len() == 1 {
            series[0].name.clone()
        } else {
            format!("{} lanes compared", view.lanes.len())
        },
        words: series.iter().map(Series::in_words).collect(),
        picture: picture_address(query, view),
        csv: csv_address(query, view),
        lanes: lanes.collect(),
        statistics: if query.interval.has_stored_percentiles() { "&statistics=full" } else { "" },
        interval: query.interval,
        day: span(spans[at].0, spans[at].1),
        readings: series.iter().zip(&measures).enumerate().map(reading).collect(),
        // No name is in it, so nothing in it can end the element around it.
        data: serde_json::to_string(&Readings {
            starts: spans.iter().map(|(first, _)| (*first - query.from).num_days()).collect(),
            lines: &measures,
        })
        .expect("texts and numbers are JSON"),
        columns: columns(&series, &measures),
        table: table(spans, &measures),
        days: query.days(),
        count: spans.len(),
        permalink: view.href(),
    }
}

fn picture_address(query: &RatesQuery<'_>, view: &View) -> String {
    let mut address = format!("/rates.svg?{}&title=false", api_query(query, &view.lanes[0]));
    for (origin, destination) in &view.lanes[1..] {
        let _ = write!(address, "&compare={origin}:{destination}");
    }
    for (name, value) in view.options() {
        let _ = write!(address, "&{name}={value}");
    }
    address
}

fn csv_address(query: &RatesQuery<'_>, view: &View) -> String {
    let mut address = format!("/rates.csv?date_from={}&date_to={}", query.from, query.to);
    for (origin, destination) in &view.lanes {
        let _ = write!(address, "&lane={origin}:{destination}");
    }
    address + &interval_parameter(query)
}

fn api_query(query: &RatesQuery<'_>, (origin, destination): &Names) -> String {
    let interval = interval_parameter(query);
    let RatesQuery { from, to, .. } = query;
    format!("date_from={from}&date_to={to}&orig_code={origin}&dest_code={destination}{interval}")
}

fn interval_parameter(query: &RatesQuery<'_>) -> String {
    match query.interval {
        Interval::Day => String::new(),
        interval => format!("&interval={}", interval.name()),
    }
}

/// The index of the latest interval with a value, or of the last.
fn latest(series: &[Series]) -> usize {
    let known = series.iter().filter_map(|series| series.line.iter().rposition(Option::is_some));
    known.max().unwrap_or(series[0].line.len() - 1)
}

/// What is read of this line, the most important first.
fn measures(picture: &Picture<'_>, series: &Series) -> Vec<Measure> {
    let mut measures = Vec::new();
    match picture.values() {
        Values::Price => {}
        Values::Difference => measures.push(Measure::new("difference", Unit::Difference, &series.line)),
        Values::Index => measures.push(Measure::new("index", Unit::Number, &series.line)),
    }
    if picture.moving_average.is_some() && picture.values() == Values::Price {
        measures.push(Measure::new("moving average", Unit::Dollars, &series.line));
    }
    measures.push(Measure::new("average", Unit::Dollars, &series.means));
    if series.percentiles.iter().any(Option::is_some) {
        for (label, low, high) in [("median", 2, 2), ("25 to 75 %", 1, 3), ("2.5 to 97.5 %", 0, 4)] {
            measures.push(Measure::of_percentiles(label, series, low, high));
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let counts: Line = series.counts.iter().map(|count| Some(*count as f64)).collect();
    measures.push(Measure::new("prices", Unit::Number, &counts));
    measures
}

impl Measure {
    fn new(label: &'static str, unit: Unit, line: &Line) -> Self {
        let values = line.iter().map(|value| value.map(|value| vec![rounded(value)])).collect();
        Self { label, unit, values }
    }

    /// The band between two percentiles, or one of them.
    fn of_percentiles(label: &'static str, series: &Series, low: usize, high: usize) -> Self {
        let ends = |values: [f64; 5]| {
            let mut ends = vec![rounded(values[low]), rounded(values[high])];
            ends.truncate(if low == high { 1 } else { 2 });
            ends
        };
        let values = series.percentiles.iter().map(|values| values.map(ends)).collect();
        Self { label, unit: Unit::Dollars, values }
    }

    /// The value of the interval with this index as people read it.
    fn text(&self, at: usize) -> Option<String> {
        let values = self.values[at].as_ref()?;
        let sign = match self.unit {
            Unit::Dollars => "$",
            Unit::Difference if values[0] > 0.0 => "+",
            Unit::Difference | Unit::Number => "",
        };
        let texts: Vec<String> = values.iter().map(|value| format!("{sign}{}", thousands(*value))).collect();
        Some(texts.join(" to "))
    }
}

/// Whole dollars: three prices say no more. Never -0, which would be read as such.
fn rounded(value: f64) -> f64 {
    value.round() + 0.0
}

/// A heading for each line, or for each measure of a line alone.
fn columns(series: &[Series], measures: &[Vec<Measure>]) -> Vec<Column> {
    let lines = series.iter().zip(measures);
    lines
        .map(|(series, measures)| Column {
            name: series.name.clone(),
            parts: measures.iter().map(|measure| measure.label).collect(),
        })
        .collect()
}

/// A row per interval, newest first.
fn table(spans: &[(NaiveDate, NaiveDate)], measures: &[Vec<Measure>]) -> Vec<Vec<String>> {
    let row = |(at, (first, last)): (usize, &(NaiveDate, NaiveDate))| {
        let values = measures.iter().flatten().map(|measure| measure.text(at).unwrap_or_default());
        std::iter::once(span(*first, *last)).chain(values).collect()
    };
    spans.iter().enumerate().rev().take(TABLE_ROWS).map(row).collect()
}

/// Links to the same lanes over other days.
pub(super) fn ranges(view: &View, from: NaiveDate, to: NaiveDate) -> Vec<Link> {
    let mut links: Vec<Link> =
        [("1 month", 1), ("3 months", 3), ("6 months", 6), ("1 year", 12), ("5 years", 60)]
            .into_iter()
            .filter_map(|(text, months)| {
                let start = months_up_to(months, to)?;
                let href = view.of_days(&start.to_string(), &to.to_string()).href();
                Some(Link { text: text.to_owned(), href, current: start == from })
            })
            .collect();
    let newest = view.of_days("", "").href();
    links.push(Link { text: "All".to_owned(), href: format!("{newest}&range=all"), current: false });
    links.push(Link { text: "Latest".to_owned(), href: newest, current: false });
    links
}

/// The first day of the given number of months that end on this day.
pub(super) fn months_up_to(months: u32, to: NaiveDate) -> Option<NaiveDate> {
    to.checked_sub_months(chrono::Months::new(months))?.succ_opt()
}
