//! The first page: how far the data go, the large lanes, and those whose prices have moved most.

use std::fmt::Write;

use chassis::Problem;
use chrono::{Days, NaiveDate, Utc};

use super::{
    form::Link,
    shown::{self, months_up_to},
    view::{Names, View},
};
use crate::{
    lanes::{
        FoundLanes, chart,
        element::PlacedElement,
        found_lanes::FoundLane,
        query::{Interval, Picture, QueryLimits, RatesQuery, Statistics},
    },
    places::Catalogue,
    summaries::{Kind, LaneFilter, LaneList, Sort, Summary},
};

/// The most large lanes, and the most that have moved.
const LARGEST: usize = 6;
const MOVERS: usize = 5;
/// The lanes of the chart. Several have no percentiles, which between continents are expensive to compute.
const CHARTED: usize = 3;
/// The days of a sparkline.
const SPARK_DAYS: u64 = 90;
/// A lane is listed as moved only with a mean on this many days.
const LEAST_MEANS: i32 = 30;

/// The lanes of the first page.
pub(super) struct Market<'a> {
    latest: NaiveDate,
    largest: Vec<&'a Summary>,
    /// Over 7 and 30 days.
    movers: [Vec<&'a Summary>; 2],
}

/// What the first page shows.
pub(super) struct Home {
    /// The latest day with an average.
    pub(super) latest: String,
    pub(super) tables: Vec<LaneTable>,
}

/// Lanes under a heading.
pub(super) struct LaneTable {
    pub(super) title: &'static str,
    /// What changes are over.
    pub(super) changes: Vec<&'static str>,
    pub(super) lanes: Vec<MarketLane>,
}

/// A lane with its latest average.
pub(super) struct MarketLane {
    pub(super) link: Link,
    /// The points of a line of its averages, in a box of 100 by 24.
    pub(super) spark: String,
    /// The latest average and its day.
    pub(super) average: Option<(String, String)>,
    pub(super) changes: Vec<String>,
}

impl<'a> Market<'a> {
    /// The market of this list; none if it has no lanes.
    pub(super) fn find(list: &'a LaneList, catalogue: &'a Catalogue) -> Option<Self> {
        let latest_mean = list.all().iter().filter_map(|summary| summary.latest_day).max();
        let last_day =
            || list.all().iter().map(|summary| summary.last_day.min(Utc::now().date_naive())).max();
        let latest = latest_mean.or_else(last_day)?;
        let movers = [Sort::Change7, Sort::Change30].map(|sort| movers(list, catalogue, sort, latest));
        let largest = largest(list, catalogue, latest);
        Some(Self { latest, largest, movers })
    }

    /// A year up to the latest day, or what may be shown.
    pub(super) fn days(&self, limits: QueryLimits) -> (NaiveDate, NaiveDate) {
        let most = self.latest - Days::new(u64::from(limits.max_days - 1));
        (months_up_to(12, self.latest).map_or(most, |from| from.max(most)), self.latest)
    }

    /// The lanes of the chart: the largest.
    pub(super) fn charted(&self, catalogue: &Catalogue) -> Vec<Names> {
        self.largest.iter().take(CHARTED).map(|summary| names(summary, catalogue)).collect()
    }

    fn lanes(&self) -> impl Iterator<Item = &'a Summary> {
        self.largest.iter().chain(self.movers.iter().flatten()).copied()
    }

    /// The queries of the sparklines.
    pub(super) fn queries(
        &self,
        catalogue: &Catalogue,
        limits: QueryLimits,
    ) -> Result<Vec<RatesQuery<'static>>, Problem> {
        let lanes: Vec<Names> = self.lanes().map(|summary| names(summary, catalogue)).collect();
        let days = (self.latest - Days::new(SPARK_DAYS - 1), self.latest);
        let (first, picture) = shown::query(&lanes, days, Some(Interval::Day), &Picture::default(), limits)?;
        // Without percentiles, whether it is one lane or many.
        let query = |query| RatesQuery { statistics: Statistics::Mean, ..query };
        Ok(first.query_per_line(&picture).into_iter().map(query).collect())
    }
}

/// The lanes between top-level regions with the most prices and a recent mean; they include all lanes below them. If
/// there are none, the lanes with the most prices.
fn largest<'a>(list: &'a LaneList, catalogue: &Catalogue, latest: NaiveDate) -> Vec<&'a Summary> {
    let is_outermost =
        |place| catalogue.region(catalogue.code(place)).is_some_and(|region| region.depth == 0);
    let every = LaneFilter::of(Kind::All);
    let all = || list.find(&every, catalogue, Sort::Prices, false);
    let outermost = all().filter(|one| is_outermost(one.pair().0) && is_outermost(one.pair().1));
    let largest: Vec<_> =
        outermost.filter(|one| had_mean_within(SPARK_DAYS, one, latest)).take(LARGEST).collect();
    if largest.is_empty() { all().take(LARGEST).collect() } else { largest }
}

/// The lanes between ports whose mean has changed most over this time, of those with a mean on most days, and lately:
/// an occasional mean of three prices says little about a market.
fn movers<'a>(list: &'a LaneList, catalogue: &Catalogue, sort: Sort, latest: NaiveDate) -> Vec<&'a Summary> {
    let is_steady = |summary: &&Summary| {
        summary.mean_days >= LEAST_MEANS
            && summary.mean_days * 2 >= summary.priced_days
            && had_mean_within(7, summary, latest)
    };
    let change = |summary: &Summary| sort.value(summary).unwrap_or_default().abs();
    let ports = LaneFilter::of(Kind::Ports);
    let found = list.find(&ports, catalogue, sort, false).filter(is_steady);
    let mut movers: Vec<&Summary> = found.filter(|summary| sort.value(summary).is_some()).collect();
    movers.sort_by(|a, b| change(b).total_cmp(&change(a)));
    movers.truncate(MOVERS);
    movers
}

/// Whether the lane had a mean in so many days up to the latest.
fn had_mean_within(days: u64, summary: &Summary, latest: NaiveDate) -> bool {
    summary.latest_day.is_some_and(|day| day + Days::new(days) > latest)
}

fn names(summary: &Summary, catalogue: &Catalogue) -> Names {
    let (origin, destination) = summary.pair();
    (catalogue.code(origin).to_owned(), catalogue.code(destination).to_owned())
}

impl Home {
    /// The first page of this market, whose sparklines were read by these queries.
    pub(super) fn new(market: &Market<'_>, queries: &[RatesQuery<'_>], sparks: &FoundLanes) -> Self {
        let spark = |(query, lane): (&RatesQuery<'_>, &FoundLane)| spark(&lane.elements(query));
        let mut sparks_of = queries.iter().zip(&sparks.lanes).map(spark);
        let mut table = |title, lanes: &[&Summary], changes: &[(&'static str, Sort)]| {
            let lanes = lanes.iter().zip(sparks_of.by_ref());
            let lanes = lanes.map(|(lane, spark)| MarketLane::new(lane, spark, changes, &sparks.catalogue));
            LaneTable {
                title,
                changes: changes.iter().map(|(name, _)| *name).collect(),
                lanes: lanes.collect(),
            }
        };
        let changes = [("7 days", Sort::Change7), ("30 days", Sort::Change30)];
        let [in_7, in_30] = &market.movers;
        let mut tables = vec![
            table("The largest lanes", &market.largest, &changes),
            table("Moved most in 7 days", in_7, &changes[..1]),
            table("Moved most in 30 days", in_30, &changes[1..]),
        ];
        tables.retain(|table| !table.lanes.is_empty());
        Self { latest: chart::date(market.latest), tables }
    }
}

impl MarketLane {
    fn new(summary: &Summary, spark: String, changes: &[(&str, Sort)], catalogue: &Catalogue) -> Self {
        let (origin, destination) = names(summary, catalogue);
        let text = format!("{} to {}", catalogue.label(&origin), catalogue.label(&destination));
        let view = View { lanes: vec![(origin, destination)], ..View::default() };
        let average = summary.latest_mean.zip(summary.latest_day);
        Self {
            link: Link { text, href: view.href(), current: false },
            spark,
            average: average.map(|(mean, day)| (chart::thousands(mean), chart::date(day))),
            changes: changes.iter().map(|(_, sort)| percent(sort.value(summary))).collect(),
        }
    }
}

/// A change in percent, with its sign.
fn percent(change: Option<f64>) -> String {
    let Some(change) = change else { return "–".to_owned() };
    // Rounded before, so that nothing is written as -0.0.
    format!("{:+.1} %", (change * 1000.0).round() / 10.0 + 0.0).replace('-', "−")
}

/// The points of a line through the averages.
#[expect(clippy::cast_precision_loss, reason = "ninety days")]
fn spark(days: &[PlacedElement]) -> String {
    let known = || days.iter().enumerate().filter_map(|(at, day)| Some((at, day.element.mean?)));
    let low = known().map(|(_, mean)| mean).fold(f64::MAX, f64::min);
    let high = known().map(|(_, mean)| mean).fold(f64::MIN, f64::max);
    let mut points = String::new();
    for (at, mean) in known() {
        let x = at as f64 / (days.len() - 1) as f64 * 98.0 + 1.0;
        let y = 22.0 - (mean - low) / (high - low).max(1.0) * 20.0;
        let _ = write!(points, "{x:.1},{y:.1} ");
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_has_a_sign_and_one_decimal() {
        for (change, text) in [(0.0, "+0.0 %"), (0.1234, "+12.3 %"), (-0.05, "−5.0 %"), (-0.000_01, "+0.0 %")]
        {
            assert_eq!(percent(Some(change)), text);
        }
        assert_eq!(percent(None), "–");
    }
}
