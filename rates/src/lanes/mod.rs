//! The rates of a lane: the query, reading the lane, and its formats.

pub mod answers;
pub(crate) mod chart;
pub(crate) mod csv;
pub mod day;
pub mod element;
pub(crate) mod expensive;
mod first_and_newest;
pub mod found_lanes;
pub mod freshness;
pub(crate) mod json;
pub mod lane;
pub(crate) mod listener;
mod memory;
pub(crate) mod month;
pub mod places;
pub mod query;
mod queue;
pub mod reader;
mod runtime;
pub mod sql;
pub mod store;

use std::sync::Arc;

use chassis::{
    Problem,
    postgres::{Health, Pool},
};
use chrono::NaiveDate;
use http::HeaderValue;
use quick_cache::sync::Cache as QuickCache;

pub(crate) use self::found_lanes::FoundLanes;
use self::{
    answers::AnswerCache,
    found_lanes::FoundLane,
    freshness::Freshness,
    lane::LaneRange,
    listener::Listener,
    places::{Places, UnknownPlace},
    query::{PlaceName, QueryLimits, RatesQuery, Role, Statistics},
    reader::{LaneReader, ReadError},
    store::LaneStore,
};
use crate::{
    database::Database,
    places::{Catalogue, Pair},
    settings::{ApiSettings, CacheSettings},
};

/// What the handlers of lanes need; cheap to clone.
#[derive(Debug, Clone)]
pub struct Lanes(Arc<LanesState>);

/// See [`Lanes`].
#[derive(Debug)]
pub struct LanesState {
    /// The lanes in memory, and those that are read.
    pub store: Arc<LaneStore>,
    /// Pictures, pages and compressed answers.
    pub answers: AnswerCache,
    /// Reads lanes from the database.
    pub reader: Arc<LaneReader>,
    /// The places.
    pub places: Arc<Places>,
    /// What this instance knows of the versions of the data.
    pub freshness: Arc<Freshness>,
    /// What a query may ask for.
    pub limits: QueryLimits,
    /// What a price is for, in words: a container, or what the operator says.
    pub unit: String,
    /// `Cache-Control` of answers.
    pub cache_control: HeaderValue,
    listener: Listener,
    /// By pair of places and today: its newest day, and the version at which it was read.
    newest_days: QuickCache<(Pair, NaiveDate), (i64, Option<NaiveDate>)>,
    primary: Pool,
    health: Arc<Health>,
}

/// What came of reading lanes of the places as this instance knows them.
enum Attempt {
    Found(FoundLanes),
    /// The places have changed meanwhile; they now have this version.
    PlacesChanged(i64),
}

/// An end of a lane that does not exist: the index of the lane in the query, from 0, and which end.
pub(crate) type UnknownEnd = (usize, Role, UnknownPlace);

/// Why lanes could not be read.
#[derive(Debug)]
pub enum NoLanes {
    /// The database failed, or too much is asked of it.
    Failed(Problem),
    /// Places that do not exist.
    UnknownPlaces(Vec<UnknownEnd>),
}

impl From<Problem> for NoLanes {
    fn from(problem: Problem) -> Self {
        Self::Failed(problem)
    }
}

impl std::ops::Deref for Lanes {
    type Target = LanesState;

    fn deref(&self) -> &LanesState {
        &self.0
    }
}

impl Lanes {
    /// The lanes of this database. Reads nothing yet.
    #[must_use]
    pub fn new(database: &Database, api: &ApiSettings, cache: &CacheSettings) -> Self {
        let freshness = Arc::new(Freshness::default());
        let places = Arc::new(Places::new(database, Arc::clone(&freshness)));
        let reader = Arc::new(LaneReader::new(database, api, Arc::clone(&freshness)));
        // Most requests need only the lanes.
        let for_answers = cache.size_bytes / 4;
        let for_lanes = cache.size_bytes - for_answers;
        let store =
            LaneStore::new(for_lanes, cache.stale_seconds, Arc::clone(&reader), Arc::clone(&freshness));
        Self(Arc::new(LanesState {
            store: Arc::new(store),
            answers: AnswerCache::new(for_answers),
            reader,
            listener: Listener::new(database, Arc::clone(&freshness), Arc::clone(&places)),
            places,
            freshness,
            newest_days: QuickCache::new(1000),
            limits: QueryLimits { max_days: api.max_days, min_count: api.min_count, privacy: api.privacy() },
            unit: if api.unit.is_empty() { "container".to_owned() } else { api.unit.clone() },
            // Validated with the settings.
            cache_control: HeaderValue::from_str(&cache.control)
                .unwrap_or(HeaderValue::from_static("no-cache")),
            primary: database.primary.clone(),
            health: Arc::clone(&database.health),
        }))
    }

    /// Listens for changes of the data; does not return.
    pub async fn listen(&self) {
        tokio::join!(self.listener.run(), self.reader.watch_replicas());
    }

    /// The lanes of these queries, if they are in memory and current, and none needs wider places.
    #[must_use]
    pub fn find(&self, queries: &[RatesQuery<'_>]) -> Option<FoundLanes> {
        let catalogue = self.places.known()?;
        let ranges = ranges(&catalogue, queries).ok()?;
        let found = FoundLanes::new(&ranges, self.store.find(&ranges)?, catalogue);
        (!found.are_too_narrow(queries)).then_some(found)
    }

    /// The lanes of these queries, from memory or read now, all of one state of the data.
    pub async fn read(&self, queries: &[RatesQuery<'_>]) -> Result<FoundLanes, NoLanes> {
        let mut catalogue = self.places.known_or_read().await?;
        loop {
            match ranges(&catalogue, queries) {
                Ok(ranges) => match self.read_ranges(queries, &ranges, &catalogue).await? {
                    Attempt::Found(lanes) => return Ok(lanes),
                    // A name may stand for another place now.
                    Attempt::PlacesChanged(version) => catalogue = self.places.at(version).await?,
                },
                Err(unknown) => {
                    let now = self.places.now().await?;
                    if now.places_version == catalogue.places_version {
                        return Err(NoLanes::UnknownPlaces(unknown));
                    }
                    catalogue = now;
                }
            }
        }
    }

    /// The lanes of these queries, whose ranges are these.
    async fn read_ranges(
        &self,
        queries: &[RatesQuery<'_>],
        ranges: &[LaneRange],
        catalogue: &Arc<Catalogue>,
    ) -> Result<Attempt, Problem> {
        let found = self.store.read(ranges).await.map_err(|error| self.problem(error))?;
        if found.places_version > catalogue.places_version {
            return Ok(Attempt::PlacesChanged(found.places_version));
        }
        let lanes = FoundLanes::new(ranges, found, Arc::clone(catalogue));
        if !lanes.are_too_narrow(queries) {
            return Ok(Attempt::Found(lanes));
        }
        Box::pin(self.widen(queries, &lanes)).await
    }

    /// The same lanes with wider places where they have too few prices, all read again, to be of one state.
    async fn widen(&self, queries: &[RatesQuery<'_>], narrow: &FoundLanes) -> Result<Attempt, Problem> {
        let wider = queries.iter().zip(&narrow.lanes).map(|(query, lane)| {
            if lane.is_too_narrow(query) { narrow.catalogue.wider_pairs(lane.pair) } else { vec![lane.pair] }
        });
        let pairs: Vec<Vec<Pair>> = wider.collect();
        let means = self.read_candidates(queries, narrow, &pairs, false).await?;
        // Percentiles are expensive, so they are read only of the places that were chosen.
        if queries.iter().any(|query| query.statistics == Statistics::Full)
            && let Attempt::Found(found) = &means
        {
            let chosen = |lane: &FoundLane| lane.candidates.iter().map(|(pair, _)| *pair).collect();
            let pairs: Vec<Vec<Pair>> = found.lanes.iter().map(chosen).collect();
            return self.read_candidates(queries, narrow, &pairs, true).await;
        }
        Ok(means)
    }

    /// Lanes made from what is between these pairs of places; with percentiles, for the queries that want them.
    async fn read_candidates(
        &self,
        queries: &[RatesQuery<'_>],
        narrow: &FoundLanes,
        pairs: &[Vec<Pair>],
        with_percentiles: bool,
    ) -> Result<Attempt, Problem> {
        let candidates = queries.iter().zip(pairs).flat_map(|(query, pairs)| {
            pairs.iter().map(move |pair| {
                let range = LaneRange::new(*pair, query);
                if with_percentiles {
                    range
                } else {
                    LaneRange { with_percentiles, percentile_interval: None, ..range }
                }
            })
        });
        let candidates: Vec<LaneRange> = candidates.collect();
        let found = self.store.read(&candidates).await.map_err(|error| self.problem(error))?;
        if found.places_version > narrow.catalogue.places_version {
            return Ok(Attempt::PlacesChanged(found.places_version));
        }
        let mut read = found.lanes.into_iter();
        let lanes = queries.iter().zip(&narrow.lanes).zip(pairs).map(|((query, lane), pairs)| {
            let candidates = pairs.iter().copied().zip(read.by_ref()).collect();
            let mut lane = FoundLane { pair: lane.pair, candidates };
            lane.choose(query);
            lane
        });
        let (lanes, catalogue) = (lanes.collect(), Arc::clone(&narrow.catalogue));
        Ok(Attempt::Found(FoundLanes { lanes, source: found.source, catalogue }))
    }

    fn problem(&self, error: ReadError) -> Problem {
        match error {
            ReadError::Database(error) => self.health.problem(error),
            ReadError::TooManyExpensive => Problem::unavailable(
                "Too many requests at once for statistics that are not stored yet; try again in a second.",
                1,
            ),
        }
    }
}

/// The ranges of these queries, or the places that do not exist.
fn ranges(catalogue: &Catalogue, queries: &[RatesQuery<'_>]) -> Result<Vec<LaneRange>, Vec<UnknownEnd>> {
    let mut ranges = Vec::with_capacity(queries.len());
    for query in queries {
        let ends = (catalogue.find_id(query.origin.as_ref()), catalogue.find_id(query.destination.as_ref()));
        let (Some(origin), Some(destination)) = ends else {
            return Err(unknown_places(catalogue, queries));
        };
        ranges.push(LaneRange::new((origin, destination), query));
    }
    Ok(ranges)
}

/// Each once: a picture with the year before asks for the same places twice.
fn unknown_places(catalogue: &Catalogue, queries: &[RatesQuery<'_>]) -> Vec<UnknownEnd> {
    fn places<'q, 'a>(query: &'q RatesQuery<'a>) -> (&'q PlaceName<'a>, &'q PlaceName<'a>) {
        (&query.origin, &query.destination)
    }
    let is_new =
        |lane: usize| !queries[..lane].iter().map(places).any(|asked| asked == places(&queries[lane]));
    let ends = queries.iter().enumerate().filter(|(lane, _)| is_new(*lane)).flat_map(|(lane, query)| {
        [(lane, Role::Origin, &query.origin), (lane, Role::Destination, &query.destination)]
    });
    let unknown = |(lane, role, place)| Some((lane, role, UnknownPlace::check(catalogue, place)?));
    ends.filter_map(unknown).collect()
}
