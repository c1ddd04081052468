//! How many uploads run at a time, so that no supplier takes what all need.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use chassis::Problem;
use http::StatusCode;

use crate::settings::BatchSettings;

/// Counts the uploads that run.
#[derive(Debug)]
pub struct UploadSlots {
    running: Mutex<HashMap<String, usize>>,
    most: usize,
    most_by_supplier: usize,
}

/// An upload that runs, until this is dropped.
#[derive(Debug)]
pub(crate) struct UploadSlot<'a> {
    slots: &'a UploadSlots,
    supplier: &'a str,
}

impl UploadSlots {
    pub(crate) fn new(settings: &BatchSettings) -> Self {
        Self {
            running: Mutex::default(),
            most: settings.uploads,
            most_by_supplier: settings.uploads_by_supplier,
        }
    }

    /// Counts one more upload of this supplier: 429 if the supplier has too many, 503 if all together have.
    pub(crate) fn enter<'a>(&'a self, supplier: &'a str) -> Result<UploadSlot<'a>, Problem> {
        let mut running = self.by_supplier();
        let own = running.get(supplier).copied().unwrap_or_default();
        if own >= self.most_by_supplier {
            return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS)
                .detail(format!(
                    "{own} uploads of {supplier} are running, which is the most at a time; wait until one has ended."
                ))
                .retry_after(1));
        }
        if running.values().sum::<usize>() >= self.most {
            return Err(Problem::unavailable("Too many uploads at once; try again in a second.", 1));
        }
        running.insert(supplier.to_owned(), own + 1);
        Ok(UploadSlot { slots: self, supplier })
    }

    /// How many uploads run.
    pub fn running(&self) -> usize {
        self.by_supplier().values().sum()
    }

    fn by_supplier(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for UploadSlot<'_> {
    fn drop(&mut self) {
        let mut running = self.slots.by_supplier();
        if let Some(own) = running.get_mut(self.supplier) {
            *own -= 1;
            if *own == 0 {
                running.remove(self.supplier);
            }
        }
    }
}
