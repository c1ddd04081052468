//! The newest catalogue, kept with the version of the data for which it is valid.

use std::sync::{Arc, Mutex, PoisonError};

use chassis::postgres::Pool;

use super::{Catalogue, sql};
use crate::lanes::sql::DataVersion;

/// A catalogue and the newest version of the data for which it is known to be valid.
#[derive(Debug, Default)]
struct Newest {
    version: i64,
    catalogue: Arc<Catalogue>,
}

/// Keeps the newest catalogue, and reads a newer one when the places have changed.
#[derive(Debug, Default)]
pub(crate) struct CatalogueStore {
    newest: Mutex<Newest>,
    /// Lets one task read; the others wait for its result.
    read_turn: tokio::sync::Mutex<()>,
}

impl CatalogueStore {
    /// Returns a catalogue that is valid for this version of the data or a newer one.
    pub(crate) async fn at(&self, pool: &Pool, wanted: DataVersion) -> Result<Arc<Catalogue>, sqlx::Error> {
        if let Some(catalogue) = self.find(wanted) {
            return Ok(catalogue);
        }
        // Boxed: reads are rare, and without the box every caller's future would be as large as a read needs.
        Box::pin(self.read(pool, wanted)).await
    }

    /// Returns the catalogue without a query if it is known to be valid for this version of the data.
    #[must_use]
    pub fn known_at(&self, version: i64) -> Option<Arc<Catalogue>> {
        let newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        (newest.version == version).then(|| Arc::clone(&newest.catalogue))
    }

    /// The catalogue, if it is valid for this version; notes that it is.
    fn find(&self, wanted: DataVersion) -> Option<Arc<Catalogue>> {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if newest.catalogue.places_version < wanted.places_version {
            return None;
        }
        newest.version = newest.version.max(wanted.version);
        Some(Arc::clone(&newest.catalogue))
    }

    async fn read(&self, pool: &Pool, wanted: DataVersion) -> Result<Arc<Catalogue>, sqlx::Error> {
        let _turn = self.read_turn.lock().await;
        if let Some(catalogue) = self.find(wanted) {
            return Ok(catalogue);
        }
        let (version, ports, regions) =
            pool.retry(async || pool.acquire().await?.limited(sql::read_all).await).await?;
        let catalogue = Arc::new(Catalogue::new(version.places_version, ports, &regions));
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner) =
            Newest { version: version.version, catalogue: Arc::clone(&catalogue) };
        Ok(catalogue)
    }
}
