//! What the page shows of its lanes: a description of the picture, the table, and the URLs of all formats.

use std::fmt::Write;

use chassis::Problem;
use chrono::NaiveDate;

use crate::lanes::{
    FoundLanes,
    chart::{self, thousands},
    day::Percentiles,
    element::FoundLane,
    query::{Form, Order, Picture, PlaceName, QueryLimits, RatesQuery, Statistics, Theme},
};

/// The maximum number of rows in the table, a year. The CSV has all days.
const TABLE_DAYS: usize = 366;

/// What the page shows of the lanes.
pub(super) struct Shown {
    pub(super) title: String,
    pub(super) words: Vec<String>,
    /// The URL of the picture without size and theme.
    pub(super) picture: String,
    pub(super) lanes: Vec<ShownLane>,
    pub(super) table: Vec<Vec<String>>,
    pub(super) days: usize,
    pub(super) full: bool,
}

pub(super) struct ShownLane {
    pub(super) name: String,
    /// The query string of the lane, the same for JSON, CSV and SVG.
    pub(super) query: String,
}

/// The queries of these lanes, and the picture of all of them.
pub(super) fn queries(
    lanes: &[(String, String)],
    from: NaiveDate,
    to: NaiveDate,
    limits: QueryLimits,
) -> Result<(Vec<RatesQuery<'static>>, Picture<'static>), Problem> {
    let place = |name: &str| PlaceName::parse(name.to_owned().into()).ok();
    let lanes: Vec<(PlaceName<'_>, PlaceName<'_>)> = lanes
        .iter()
        .filter_map(|(origin, destination)| Some((place(origin)?, place(destination)?)))
        .collect();
    let Some(((origin, destination), compare)) = lanes.split_first() else {
        return Err(Problem::internal("a place in the catalogue has an invalid name"));
    };
    let first = RatesQuery::new((from, to), (origin.clone(), destination.clone()), limits);
    let picture = Picture { width: 960, height: 480, theme: Theme::Light, compare: compare.to_vec() };
    Ok((first.lanes(&Form::Svg(picture.clone())).into_owned(), picture))
}

/// Describes these lanes.
pub(super) fn show(queries: &[RatesQuery<'_>], picture: &Picture<'_>, found: &FoundLanes) -> Shown {
    let series = chart::describe(queries, &found.lanes, &found.catalogue);
    let mut address = format!("/rates.svg?{}", api_query(&queries[0]));
    for (origin, destination) in &picture.compare {
        let _ = write!(address, "&compare={}:{}", origin.as_ref(), destination.as_ref());
    }
    Shown {
        title: if let [(name, _)] = series.as_slice() {
            name.clone()
        } else {
            format!("{} lanes compared", series.len())
        },
        words: series.iter().map(|(_, words)| words.clone()).collect(),
        picture: address,
        lanes: series
            .into_iter()
            .zip(queries)
            .map(|((name, _), query)| ShownLane { name, query: api_query(query) })
            .collect(),
        table: table(queries, &found.lanes),
        days: queries[0].days(),
        full: picture.compare.is_empty(),
    }
}

fn api_query(query: &RatesQuery<'_>) -> String {
    format!(
        "date_from={}&date_to={}&orig_code={}&dest_code={}",
        query.from,
        query.to,
        query.origin.as_ref(),
        query.destination.as_ref()
    )
}

/// A row per day, newest first: for one lane all statistics, for several the average and the number of prices.
fn table(queries: &[RatesQuery<'_>], lanes: &[FoundLane]) -> Vec<Vec<String>> {
    let mut rows: Vec<Vec<String>> = Vec::new();
    for (query, lane) in queries.iter().zip(lanes) {
        let newest_first = RatesQuery { order: Order::NewestFirst, ..query.clone() };
        for (index, placed) in lane.elements(&newest_first).into_iter().take(TABLE_DAYS).enumerate() {
            let element = placed.element;
            if rows.len() <= index {
                rows.push(vec![element.first.to_string()]);
            }
            let dollars = |value: Option<f64>| value.map(thousands).unwrap_or_default();
            let row = &mut rows[index];
            row.push(dollars(element.mean));
            if query.statistics == Statistics::Full {
                let values = element.percentiles.map(Percentiles::dollars);
                row.extend((0..Percentiles::NAMES.len()).map(|at| dollars(values.map(|values| values[at]))));
            }
            row.push(if element.count > 0 { element.count.to_string() } else { String::new() });
        }
    }
    rows
}
