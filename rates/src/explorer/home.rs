//! The first page: how far the data go, and the large lanes.

use std::cmp::Reverse;

use chassis::Problem;
use chrono::NaiveDate;

use super::{
    form::Link,
    shown::{self, months_up_to},
    view::{Names, View},
};
use crate::{
    lanes::{
        FoundLanes, Lanes, chart,
        element::PlacedElement,
        query::{Picture, QueryLimits, RatesQuery, Statistics},
    },
    places::{Catalogue, Pair},
};

/// The most regions whose lanes are looked at, and the most lanes that are listed.
const MOST: usize = 8;
/// The lanes of the chart. Several have no percentiles, which between continents are expensive to compute.
const CHARTED: usize = 3;

/// What the first page shows.
pub(super) struct Home {
    /// The latest day with prices.
    pub(super) latest: String,
    pub(super) lanes: Vec<MarketLane>,
}

/// A large lane.
pub(super) struct MarketLane {
    pub(super) link: Link,
    /// The latest average and its day.
    pub(super) average: Option<(String, String)>,
    prices: i64,
    names: Names,
}

/// The lanes between the outermost regions that have prices, and the latest day of any.
pub(super) async fn find_market(
    service: &Lanes,
    catalogue: &Catalogue,
) -> Result<Option<(Vec<Names>, NaiveDate)>, Problem> {
    let roots = catalogue.regions().iter().filter(|region| region.depth == 0).take(MOST);
    let roots: Vec<&str> = roots.map(|region| region.slug.as_str()).collect();
    let lanes = roots.iter().flat_map(|origin| roots.iter().map(move |destination| (*origin, *destination)));
    let lanes: Vec<(&str, &str)> = lanes.filter(|(origin, destination)| origin != destination).collect();
    let pairs: Vec<Pair> = lanes
        .iter()
        .filter_map(|(origin, destination)| Some((catalogue.id(origin)?, catalogue.id(destination)?)))
        .collect();
    let newest = service.newest_days(&pairs).await?;
    let priced = lanes.into_iter().zip(&newest).filter(|(_, newest)| newest.is_some());
    let names =
        priced.map(|((origin, destination), _)| (origin.to_owned(), destination.to_owned())).collect();
    Ok(newest.iter().flatten().max().map(|latest| (names, *latest)))
}

/// The queries of these lanes.
pub(super) fn queries(
    lanes: &[Names],
    days: (NaiveDate, NaiveDate),
    limits: QueryLimits,
) -> Result<Vec<RatesQuery<'static>>, Problem> {
    let (first, picture) = shown::query(lanes, days, &Picture::default(), limits)?;
    // Without percentiles, whether it is one lane or many.
    let query = |query| RatesQuery { statistics: Statistics::Mean, ..query };
    Ok(first.lanes_of_picture(&picture).into_iter().map(query).collect())
}

impl Home {
    /// The first page of these lanes, which were read by these queries: those with the most prices first.
    pub(super) fn new(
        latest: NaiveDate,
        names: Vec<Names>,
        queries: &[RatesQuery<'_>],
        found: &FoundLanes,
    ) -> Self {
        let lanes = names.into_iter().zip(queries).zip(&found.lanes);
        let mut lanes: Vec<MarketLane> = lanes
            .map(|((names, query), lane)| {
                let days = lane.elements(query);
                let mean = |PlacedElement { element, .. }: &PlacedElement| {
                    Some((chart::thousands(element.mean?), chart::date(element.first)))
                };
                let (origin, destination) = &names;
                let (origin, destination) =
                    (found.catalogue.label(origin), found.catalogue.label(destination));
                let view = View { lanes: vec![names.clone()], ..View::default() };
                let link =
                    Link { text: format!("{origin} to {destination}"), href: view.href(), current: false };
                let prices = days.iter().map(|day| day.element.count).sum();
                MarketLane { link, average: days.iter().rev().find_map(mean), prices, names }
            })
            .collect();
        lanes.sort_by_key(|lane| Reverse(lane.prices));
        lanes.truncate(MOST);
        Self { latest: chart::date(latest), lanes }
    }

    /// The lanes of the chart: those with the most prices.
    pub(super) fn charted(&self) -> Vec<Names> {
        self.lanes.iter().take(CHARTED).map(|lane| lane.names.clone()).collect()
    }
}

/// The days of the first page: a year up to the latest.
pub(super) fn days(latest: NaiveDate) -> (NaiveDate, NaiveDate) {
    (months_up_to(12, latest).unwrap_or(latest), latest)
}
