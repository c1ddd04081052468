//! Looks up the places of lanes.

use std::sync::Arc;

use chassis::{
    Problem,
    postgres::{Health, Pool},
};

use super::{
    cache::Freshness,
    query::{PlaceName, Role},
    sql::{self, DataVersion},
};
use crate::{
    database::Database,
    places::{Catalogue, CatalogueStore},
};

/// A place in a query that does not exist.
#[derive(Debug)]
pub struct UnknownPlace {
    /// The index of the lane in the query, from 0.
    pub lane: usize,
    /// The end of the lane.
    pub role: Role,
    /// The name in the query.
    pub name: String,
    /// Names that exist, the most similar first.
    pub nearest: Vec<String>,
}

impl UnknownPlace {
    /// The place of this name, if it does not exist.
    #[must_use]
    pub fn check(catalogue: &Catalogue, lane: usize, role: Role, place: &PlaceName<'_>) -> Option<Self> {
        let name = place.as_ref();
        (!catalogue.has(name)).then(|| Self {
            lane,
            role,
            name: name.to_owned(),
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

    /// The current places.
    pub(crate) async fn now(&self) -> Result<Arc<Catalogue>, Problem> {
        let known = self.freshness.current().and_then(|version| self.catalogues.known_at(version));
        if let Some(catalogue) = known {
            return Ok(catalogue);
        }
        let read = || sql::current_version(&self.pool);
        let version = self.pool.retry(read).await;
        let version = version.map_err(|error| self.health.problem(error))?;
        self.freshness.observe(version.version);
        self.at(version).await
    }

    /// The places at this version of the data, or a newer one.
    pub(crate) async fn at(&self, version: DataVersion) -> Result<Arc<Catalogue>, Problem> {
        self.catalogues.at(&self.pool, version).await.map_err(|error| self.health.problem(error))
    }
}
