//! Looks up the places of lanes.

use std::sync::{Arc, Mutex, PoisonError};

use chassis::{
    Problem,
    postgres::{Health, Pool},
};

use super::{freshness::Freshness, query::PlaceName, sql};
use crate::{
    database::Database,
    places::{self, Catalogue},
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
    /// Says why this name cannot be used: no place has it, or several have. None if exactly one has it.
    #[must_use]
    pub fn check(catalogue: &Catalogue, place: &PlaceName<'_>) -> Option<Self> {
        let name = place.as_ref();
        catalogue.find_id(name).is_none().then(|| Self {
            name: name.to_owned(),
            meanings: catalogue.matches(name).into_iter().map(str::to_owned).collect(),
            nearest: catalogue.nearest(name, None),
        })
    }
}

/// The places, read again when they have changed.
#[derive(Debug)]
pub struct Places {
    pool: Pool,
    health: Arc<Health>,
    freshness: Arc<Freshness>,
    newest: Mutex<Option<Arc<Catalogue>>>,
    /// Lets one task read; the others wait for its result.
    read_turn: tokio::sync::Mutex<()>,
}

impl Places {
    pub(crate) fn new(database: &Database, freshness: Arc<Freshness>) -> Self {
        let (pool, health) = (database.primary.clone(), Arc::clone(&database.health));
        Self { pool, health, freshness, newest: Mutex::default(), read_turn: tokio::sync::Mutex::default() }
    }

    /// The places as this instance last knew them, if it ever did. They are current while notifications arrive.
    #[must_use]
    pub fn known(&self) -> Option<Arc<Catalogue>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Forgets the places, because the database was restored to an earlier state. Waits for a read that runs: it may have
    /// begun before that, and would bring them back.
    pub(super) async fn forget(&self) {
        let _turn = self.read_turn.lock().await;
        self.set_newest(None);
    }

    fn set_newest(&self, catalogue: Option<Arc<Catalogue>>) {
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner) = catalogue;
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
        if let Some(catalogue) = self.find(places_version) {
            return Ok(catalogue);
        }
        // Boxed: reads are rare, and without the box every caller's future would be as large as a read needs.
        Box::pin(self.read(places_version)).await
    }

    fn find(&self, places_version: i64) -> Option<Arc<Catalogue>> {
        self.known().filter(|newest| newest.places_version >= places_version)
    }

    async fn read(&self, places_version: i64) -> Result<Arc<Catalogue>, sqlx::Error> {
        let _turn = self.read_turn.lock().await;
        if let Some(catalogue) = self.find(places_version) {
            return Ok(catalogue);
        }
        let read = async || self.pool.acquire().await?.limited(places::sql::read_all).await;
        let catalogue = Arc::new(self.pool.retry(read).await?);
        self.set_newest(Some(Arc::clone(&catalogue)));
        Ok(catalogue)
    }

    /// As [`Self::read_at`]; a failure is the problem that the client gets.
    pub(crate) async fn at(&self, places_version: i64) -> Result<Arc<Catalogue>, Problem> {
        self.read_at(places_version).await.map_err(|error| self.health.problem(error))
    }
}

#[cfg(test)]
mod tests {
    use sqlx::postgres::PgPoolOptions;

    use super::*;

    #[tokio::test]
    async fn places_that_are_known_are_not_read_again() {
        let pool = PgPoolOptions::new().connect_lazy("postgres://rates@127.0.0.1:1/rates").unwrap();
        let places = Places::new(&Database::of(pool), Arc::default());
        places.set_newest(Some(Arc::default()));
        assert!(places.read_at(0).await.is_ok());
    }

    #[tokio::test]
    async fn a_read_from_before_a_restore_does_not_bring_its_places_back() {
        let pool = PgPoolOptions::new().connect_lazy("postgres://rates@127.0.0.1:1/rates").unwrap();
        let places = Places::new(&Database::of(pool), Arc::default());
        let turn = places.read_turn.lock().await;
        let read = async {
            places.set_newest(Some(Arc::default()));
            drop(turn);
        };
        tokio::join!(places.forget(), read);
        assert!(places.known().is_none());
    }
}
