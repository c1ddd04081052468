//! Looks up the places of lanes.

use std::sync::Arc;

use chassis::{
    Problem,
    postgres::{Health, Pool},
};

use super::{freshness::Freshness, query::PlaceName, sql};
use crate::{
    database::Database,
    places::{Catalogue, CatalogueStore},
};

/// A place in a query that does not exist, or one of several.
#[derive(Debug)]
pub struct UnknownPlace {
    /// The name in the query.
    pub name: String,
    /// The codes of the places that have this name; none if no place has it.
    pub meanings: Vec<String>,
    /// Codes that exist, the most similar first.
    pub nearest: Vec<String>,
}

impl UnknownPlace {
    /// The place of this name, unless exactly one has it.
    #[must_use]
    pub fn check(catalogue: &Catalogue, place: &PlaceName<'_>) -> Option<Self> {
        let name = place.as_ref();
        catalogue.find_id(name).is_none().then(|| Self {
            name: name.to_owned(),
            meanings: catalogue.matches(name).into_iter().map(str::to_owned).collect(),
            nearest: catalogue.nearest(name),
        })
    }
}

/// The places, read again when they have changed.
#[derive(Debug)]
pub struct Places {
    pool: Pool,
    health: Arc<Health>,
    freshness: Arc<Freshness>,
    catalogues: CatalogueStore,
}

impl Places {
    pub(crate) fn new(database: &Database, freshness: Arc<Freshness>) -> Self {
        let (pool, health) = (database.primary.clone(), Arc::clone(&database.health));
        Self { pool, health, freshness, catalogues: CatalogueStore::default() }
    }

    /// The places as this instance last knew them, if it ever did. They are current while notifications arrive.
    #[must_use]
    pub fn known(&self) -> Option<Arc<Catalogue>> {
        self.catalogues.newest()
    }

    /// Forgets the places, because the database was restored to an earlier state.
    pub(super) fn forget(&self) {
        self.catalogues.forget();
    }

    /// The places as this instance last knew them, or read now.
    pub(crate) async fn known_or_read(&self) -> Result<Arc<Catalogue>, Problem> {
        match self.known() {
            Some(catalogue) => Ok(catalogue),
            None => self.now().await,
        }
    }

    /// The current places.
    pub(crate) async fn now(&self) -> Result<Arc<Catalogue>, Problem> {
        if self.freshness.current().is_some()
            && let Some(catalogue) = self.known()
        {
            return Ok(catalogue);
        }
        let read = || sql::current_version(&self.pool);
        let version = self.pool.retry(read).await;
        let version = version.map_err(|error| self.health.problem(error))?;
        self.at(version.places_version).await
    }

    /// The places of this or a newer version of them.
    pub(super) async fn read_at(&self, places_version: i64) -> Result<Arc<Catalogue>, sqlx::Error> {
        self.catalogues.at(&self.pool, places_version).await
    }

    /// As [`Self::read_at`]; a failure is the problem that the client gets.
    pub(crate) async fn at(&self, places_version: i64) -> Result<Arc<Catalogue>, Problem> {
        self.read_at(places_version).await.map_err(|error| self.health.problem(error))
    }
}
