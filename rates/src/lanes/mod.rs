//! The rates of a lane: the query, reading the lane, and its formats.

pub mod cache;
pub(crate) mod chart;
pub(crate) mod csv;
pub(crate) mod expensive;
pub mod json;
pub(crate) mod listener;
pub mod places;
pub mod query;
pub mod reader;
pub mod sql;

use std::sync::Arc;

use chassis::{
    Problem,
    postgres::{Health, Pool, Primary},
};
use chrono::NaiveDate;
use http::HeaderValue;

use self::{
    cache::{AnswerCache, Freshness},
    places::Places,
    reader::LaneReader,
};
use crate::{
    database::Database,
    settings::{ApiSettings, CacheSettings},
};

/// What the handlers of lanes need; cheap to clone.
#[derive(Debug, Clone)]
pub struct Lanes(Arc<LanesState>);

/// See [`Lanes`].
#[derive(Debug)]
pub struct LanesState {
    /// Finished answers.
    pub cache: AnswerCache,
    /// Reads the lanes of answers that are not cached.
    pub reader: Arc<LaneReader>,
    /// The places.
    pub places: Arc<Places>,
    /// The newest known version of the data.
    pub freshness: Arc<Freshness>,
    /// The longest range of days in one request.
    pub max_days: u32,
    /// `Cache-Control` of answers.
    pub cache_control: HeaderValue,
    primary: Pool,
    server: Arc<Primary>,
    health: Arc<Health>,
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
        Self(Arc::new(LanesState {
            cache: AnswerCache::new(cache, Arc::clone(&freshness)),
            reader: Arc::new(LaneReader::new(database, api, Arc::clone(&freshness), Arc::clone(&places))),
            places,
            freshness,
            max_days: api.max_days,
            // Validated with the settings.
            cache_control: HeaderValue::from_str(&cache.control)
                .unwrap_or(HeaderValue::from_static("no-cache")),
            primary: database.primary.clone(),
            server: Arc::clone(&database.server),
            health: Arc::clone(&database.health),
        }))
    }

    /// Listens for changes of the data; does not return.
    pub async fn listen(&self) {
        tokio::join!(
            listener::listen(&self.freshness, &self.health, &self.server, &self.primary),
            self.reader.watch_replicas()
        );
    }

    /// The newest day with prices of each of these lanes that has any; see [`sql::newest_days`].
    pub(crate) async fn newest_days(
        &self,
        origins: &[&str],
        destinations: &[&str],
    ) -> Result<Vec<(String, String, NaiveDate)>, Problem> {
        let read = || sql::newest_days(&self.primary, origins, destinations);
        let days = self.primary.retry(read).await;
        days.map_err(|error| self.health.problem(error))
    }
}
