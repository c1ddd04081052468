//! The rates of a lane: the query, reading the lane, and its formats.

pub mod answers;
pub(crate) mod chart;
pub(crate) mod csv;
pub mod day;
pub mod element;
pub(crate) mod expensive;
pub mod found_lane;
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
use chrono::{NaiveDate, Utc};
use http::HeaderValue;
use quick_cache::sync::Cache as QuickCache;

use self::{
    answers::AnswerCache,
    found_lane::FoundLane,
    freshness::Freshness,
    lane::{Lane, LaneRange},
    listener::Listener,
    places::{Places, UnknownPlace},
    query::{Fingerprint, QueryLimits, RatesQuery, Role, Statistics},
    reader::{LaneReader, ReadError},
    store::{Found, LaneStore, Source},
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

/// Lanes that were found, and the places that they were found by.
#[derive(Debug)]
pub struct FoundLanes {
    /// In the order of the queries.
    pub(crate) lanes: Vec<FoundLane>,
    /// Where they came from.
    pub(crate) source: Source,
    pub(crate) catalogue: Arc<Catalogue>,
}

/// What came of reading lanes of the places as this instance knows them.
enum Attempt {
    Found(FoundLanes),
    /// The places have changed meanwhile; they now have this version.
    PlacesChanged(i64),
}

/// Why lanes could not be read.
#[derive(Debug)]
pub enum NoLanes {
    /// The database failed, or too much is asked of it.
    Failed(Problem),
    /// Places that do not exist.
    UnknownPlaces(Vec<UnknownPlace>),
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
        let means = self.read_sources(queries, narrow, &pairs, false).await?;
        // Percentiles are expensive, so they are read only of the places that were chosen.
        if queries.iter().any(|query| query.statistics == Statistics::Full)
            && let Attempt::Found(found) = &means
        {
            let chosen = |lane: &FoundLane| lane.sources.iter().map(|(pair, _)| *pair).collect();
            let pairs: Vec<Vec<Pair>> = found.lanes.iter().map(chosen).collect();
            return self.read_sources(queries, narrow, &pairs, true).await;
        }
        Ok(means)
    }

    /// Lanes made from what is between these pairs of places; with percentiles, for the queries that want them.
    async fn read_sources(
        &self,
        queries: &[RatesQuery<'_>],
        narrow: &FoundLanes,
        pairs: &[Vec<Pair>],
        with_percentiles: bool,
    ) -> Result<Attempt, Problem> {
        let sources = queries.iter().zip(pairs).flat_map(|(query, pairs)| {
            pairs.iter().map(move |pair| {
                let range = LaneRange::new(*pair, query);
                if with_percentiles { range } else { LaneRange { with_percentiles, interval: None, ..range } }
            })
        });
        let sources: Vec<LaneRange> = sources.collect();
        let found = self.store.read(&sources).await.map_err(|error| self.problem(error))?;
        if found.places_version > narrow.catalogue.places_version {
            return Ok(Attempt::PlacesChanged(found.places_version));
        }
        let mut read = found.lanes.into_iter();
        let lanes = queries.iter().zip(&narrow.lanes).zip(pairs).map(|((query, lane), pairs)| {
            let sources = pairs.iter().copied().zip(read.by_ref()).collect();
            let mut lane = FoundLane { pair: lane.pair, sources };
            lane.choose(query);
            lane
        });
        let (lanes, catalogue) = (lanes.collect(), Arc::clone(&narrow.catalogue));
        Ok(Attempt::Found(FoundLanes { lanes, source: found.source, catalogue }))
    }

    fn problem(&self, error: ReadError) -> Problem {
        match error {
            ReadError::Database(error) => self.health.problem(error),
            ReadError::TooMany => Problem::unavailable(
                "Too many requests for statistics that are not stored yet at once; try again in a second.",
                1,
            ),
        }
    }

    /// The first day with prices of any of these pairs.
    pub(crate) async fn first_day(&self, pairs: &[Pair]) -> Result<Option<NaiveDate>, Problem> {
        let read = self.primary.retry(async || {
            if self.limits.privacy.hides_days() {
                let days = sql::summarized_days(&self.primary, pairs, NaiveDate::MAX).await?;
                return Ok(days.into_iter().filter_map(|(first, _)| first).min());
            }
            sql::first_day(&self.primary, pairs).await
        });
        read.await.map_err(|error| self.health.problem(error))
    }

    /// The newest day of each of these pairs that is not in the future: with a mean, or with prices if none has a mean.
    pub(crate) async fn newest_days(&self, pairs: &[Pair]) -> Result<Vec<Option<NaiveDate>>, Problem> {
        let today = Utc::now().date_naive();
        let known: Option<Vec<_>> = pairs.iter().map(|pair| self.newest_days.get(&(*pair, today))).collect();
        let QueryLimits { min_count, privacy, .. } = self.limits;
        // Summaries of lanes are behind the version.
        let version = self.freshness.current().filter(|_| !privacy.hides_days());
        let day = |(_, day): &(i64, Option<NaiveDate>)| *day;
        if let Some(known) = &known
            && known.iter().all(|(read_at, _)| Some(*read_at) == version)
        {
            return Ok(known.iter().map(day).collect());
        }
        let read = self.primary.retry(async || {
            if privacy.hides_days() {
                let days = sql::summarized_days(&self.primary, pairs, today).await?;
                return Ok(days.into_iter().map(|(_, newest)| newest).collect());
            }
            sql::newest_days(&self.primary, pairs, today, privacy.least_count(min_count)).await
        });
        match (read.await, known) {
            (Ok(days), _) => {
                for (pair, day) in pairs.iter().zip(&days) {
                    self.newest_days.insert((*pair, today), (version.unwrap_or(0), *day));
                }
                Ok(days)
            }
            // They only choose the days that a page begins with, so old ones will do.
            (Err(error), Some(known)) if chassis::postgres::is_outage(&error) => {
                Ok(known.iter().map(day).collect())
            }
            (Err(error), _) => Err(self.health.problem(error)),
        }
    }
}

impl FoundLanes {
    fn new(ranges: &[LaneRange], found: Found, catalogue: Arc<Catalogue>) -> Self {
        let lane = |(range, lane): (&LaneRange, Lane)| FoundLane {
            pair: range.pair,
            sources: vec![(range.pair, lane)],
        };
        Self { lanes: ranges.iter().zip(found.lanes).map(lane).collect(), source: found.source, catalogue }
    }

    fn are_too_narrow(&self, queries: &[RatesQuery<'_>]) -> bool {
        queries.iter().zip(&self.lanes).any(|(query, lane)| lane.is_too_narrow(query))
    }

    /// Adds what answers are made of: the places and the content of the lanes. A place has a number of its own for ever.
    pub(crate) fn add_to(&self, fingerprint: &mut Fingerprint) {
        for found in &self.lanes {
            let sources = found.sources.iter().map(|(pair, _)| pair);
            for (origin, destination) in std::iter::once(&found.pair).chain(sources) {
                fingerprint.add(u64::from(origin.0.cast_unsigned()));
                fingerprint.add(u64::from(destination.0.cast_unsigned()));
            }
            for (_, lane) in &found.sources {
                lane.add_to(fingerprint);
            }
        }
    }

    /// Adds what pictures and pages are made of beside that: the names of places.
    pub(crate) fn add_names_to(&self, fingerprint: &mut Fingerprint) {
        fingerprint.add(self.catalogue.places_version.cast_unsigned());
        self.add_to(fingerprint);
    }
}

/// The ranges of these queries, or the places that do not exist.
fn ranges(catalogue: &Catalogue, queries: &[RatesQuery<'_>]) -> Result<Vec<LaneRange>, Vec<UnknownPlace>> {
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

fn unknown_places(catalogue: &Catalogue, queries: &[RatesQuery<'_>]) -> Vec<UnknownPlace> {
    let ends = queries.iter().enumerate().flat_map(|(lane, query)| {
        [(lane, Role::Origin, &query.origin), (lane, Role::Destination, &query.destination)]
    });
    ends.filter_map(|(lane, role, place)| UnknownPlace::check(catalogue, lane, role, place)).collect()
}
