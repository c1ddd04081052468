//! The rates of a lane: the query, reading the lane, and its formats.

pub mod answers;
pub(crate) mod chart;
pub(crate) mod csv;
pub mod day;
pub(crate) mod expensive;
pub mod freshness;
pub(crate) mod json;
pub mod lane;
pub(crate) mod listener;
pub(crate) mod month;
pub mod places;
pub mod query;
pub mod reader;
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

use self::{
    answers::AnswerCache,
    freshness::Freshness,
    lane::{Lane, LaneRange},
    listener::Listener,
    places::{Places, UnknownPlace},
    query::{Fingerprint, RatesQuery, Role},
    reader::{LaneReader, ReadError},
    store::{LaneStore, Source},
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
    /// The longest range of days in one request.
    pub max_days: u32,
    /// `Cache-Control` of answers.
    pub cache_control: HeaderValue,
    listener: Listener,
    /// By pair of places: the newest day with prices, and the version at which it was read.
    newest_days: QuickCache<Pair, (i64, Option<NaiveDate>)>,
    primary: Pool,
    health: Arc<Health>,
}

/// Lanes that were found, and the places that they were found by.
#[derive(Debug)]
pub struct FoundLanes {
    /// In the order of the queries.
    pub(crate) lanes: Vec<Lane>,
    /// Where they came from.
    pub(crate) source: Source,
    pub(crate) catalogue: Arc<Catalogue>,
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
            max_days: api.max_days,
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

    /// The lanes of these queries, if they are in memory and current.
    #[must_use]
    pub fn find(&self, queries: &[RatesQuery<'_>]) -> Option<FoundLanes> {
        let catalogue = self.places.known()?;
        let found = self.store.find(&ranges(&catalogue, queries).ok()?)?;
        Some(FoundLanes { lanes: found.lanes, source: found.source, catalogue })
    }

    /// The lanes of these queries, from memory or read now, all of one state of the data.
    pub async fn read(&self, queries: &[RatesQuery<'_>]) -> Result<FoundLanes, NoLanes> {
        let mut catalogue = self.places.known_or_read().await?;
        loop {
            let ranges = match ranges(&catalogue, queries) {
                Ok(ranges) => ranges,
                Err(unknown) => {
                    let now = self.places.now().await?;
                    if now.places_version == catalogue.places_version {
                        return Err(NoLanes::UnknownPlaces(unknown));
                    }
                    catalogue = now;
                    continue;
                }
            };
            let found = self.store.read(&ranges).await.map_err(|error| self.problem(error))?;
            if found.places_version <= catalogue.places_version {
                return Ok(FoundLanes { lanes: found.lanes, source: found.source, catalogue });
            }
            // A name may stand for another place now.
            catalogue = self.places.at(found.places_version).await?;
        }
    }

    fn problem(&self, error: ReadError) -> Problem {
        match error {
            ReadError::Database(error) => self.health.problem(error),
            ReadError::TooMany => Problem::unavailable(
                "Too many requests for new percentiles at once; try again in a second.",
                1,
            ),
        }
    }

    /// The first day with prices of any of these pairs.
    pub(crate) async fn first_day(&self, pairs: &[Pair]) -> Result<Option<NaiveDate>, Problem> {
        let read = self.primary.retry(|| sql::first_day(&self.primary, pairs)).await;
        read.map_err(|error| self.health.problem(error))
    }

    /// The newest day with prices of each of these pairs; none if it has no prices.
    pub(crate) async fn newest_days(&self, pairs: &[Pair]) -> Result<Vec<Option<NaiveDate>>, Problem> {
        let known: Option<Vec<_>> = pairs.iter().map(|pair| self.newest_days.get(pair)).collect();
        let version = self.freshness.current();
        let day = |(_, day): &(i64, Option<NaiveDate>)| *day;
        if let Some(known) = &known
            && known.iter().all(|(read_at, _)| Some(*read_at) == version)
        {
            return Ok(known.iter().map(day).collect());
        }
        let read = self.primary.retry(|| sql::newest_days(&self.primary, pairs)).await;
        match (read, known) {
            (Ok(days), _) => {
                for (pair, day) in pairs.iter().zip(&days) {
                    self.newest_days.insert(*pair, (version.unwrap_or(0), *day));
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
    /// Adds what pictures and pages are made of: the names of places, and the content of the lanes.
    pub(crate) fn add_to(&self, fingerprint: &mut Fingerprint) {
        fingerprint.add(self.catalogue.places_version.cast_unsigned());
        for lane in &self.lanes {
            lane.add_to(fingerprint);
        }
    }
}

/// The ranges of these queries, or the places that do not exist.
fn ranges(catalogue: &Catalogue, queries: &[RatesQuery<'_>]) -> Result<Vec<LaneRange>, Vec<UnknownPlace>> {
    let mut ranges = Vec::with_capacity(queries.len());
    for query in queries {
        let ends = (catalogue.id(query.origin.as_ref()), catalogue.id(query.destination.as_ref()));
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
