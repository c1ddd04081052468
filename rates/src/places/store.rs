//! Keeps the newest catalogue.

use std::sync::{Arc, Mutex, PoisonError};

use chassis::postgres::Pool;

use super::{Catalogue, sql};

/// Keeps the newest catalogue, and reads a newer one when the places have changed.
#[derive(Debug, Default)]
pub(crate) struct CatalogueStore {
    newest: Mutex<Option<Arc<Catalogue>>>,
    /// Lets one task read; the others wait for its result.
    read_turn: tokio::sync::Mutex<()>,
}

impl CatalogueStore {
    /// The newest catalogue that was read.
    pub(crate) fn newest(&self) -> Option<Arc<Catalogue>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Forgets the catalogue, because the database was restored to an earlier state.
    pub(crate) fn forget(&self) {
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The catalogue of this version of the places, or of a newer one.
    pub(crate) async fn at(&self, pool: &Pool, places_version: i64) -> Result<Arc<Catalogue>, sqlx::Error> {
        if let Some(catalogue) = self.find(places_version) {
            return Ok(catalogue);
        }
        // Boxed: reads are rare, and without the box every caller's future would be as large as a read needs.
        Box::pin(self.read(pool, places_version)).await
    }

    fn find(&self, places_version: i64) -> Option<Arc<Catalogue>> {
        self.newest().filter(|newest| newest.places_version >= places_version)
    }

    async fn read(&self, pool: &Pool, places_version: i64) -> Result<Arc<Catalogue>, sqlx::Error> {
        let _turn = self.read_turn.lock().await;
        if let Some(catalogue) = self.find(places_version) {
            return Ok(catalogue);
        }
        let catalogue = pool.retry(async || pool.acquire().await?.limited(sql::read_all).await).await?;
        let catalogue = Arc::new(catalogue);
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&catalogue));
        Ok(catalogue)
    }
}
