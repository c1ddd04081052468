//! The places that a lane may go between.

use std::sync::Arc;

use chassis::{Problem, postgres::Health};
use sqlx::PgPool;

use super::{
    cache::Freshness,
    query::{PlaceName, Role},
    sql::{self, DataVersion},
};
use crate::{
    database::Database,
    places::{Catalogue, CatalogueStore},
};

/// A place that a query names and that is not there.
#[derive(Debug)]
pub struct UnknownPlace {
    /// Which of the lanes that were asked for, from 0.
    pub lane: usize,
    /// Which end of it.
    pub role: Role,
    /// What was asked for.
    pub name: String,
    /// Names that are there, the nearest first.
    pub nearest: Vec<String>,
}

impl UnknownPlace {
    /// The place of this name, if it is not there.
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

/// The places of the data, read when they changed.
#[derive(Debug)]
pub struct Places {
    pool: PgPool,
    health: Arc<Health>,
    freshness: Arc<Freshness>,
    catalogues: CatalogueStore,
}

impl Places {
    pub(crate) fn new(database: &Database, freshness: Arc<Freshness>) -> Self {
        let (pool, health) = (database.primary.clone(), Arc::clone(&database.health));
        Self { pool, health, freshness, catalogues: CatalogueStore::default() }
    }

    /// The places as they are now.
    pub(crate) async fn now(&self) -> Result<Arc<Catalogue>, Problem> {
        let known = self.freshness.current().and_then(|version| self.catalogues.known_at(version));
        if let Some(catalogue) = known {
            return Ok(catalogue);
        }
        let read = || sql::current_version(&self.pool);
        let version = chassis::postgres::retry(&self.pool, read).await;
        let version = version.map_err(|error| self.health.problem(error))?;
        self.freshness.observe(version.version);
        self.at(version).await
    }

    /// The places at this version of the data, or a newer one.
    pub(crate) async fn at(&self, version: DataVersion) -> Result<Arc<Catalogue>, Problem> {
        self.catalogues.at(&self.pool, version).await.map_err(|error| self.health.problem(error))
    }
}
