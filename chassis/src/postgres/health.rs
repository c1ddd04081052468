//! Whether a database can be reached, and why not.

use std::{
    error::Error,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use super::is_outage;
use crate::Problem;

/// Whether the last use of the database worked, and if it cannot be reached, why.
#[derive(Debug, Default)]
pub struct Health {
    up: AtomicBool,
    unreachable: Mutex<Option<Arc<sqlx::Error>>>,
}

impl Health {
    /// Whether the last use worked.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    /// A use of the database worked.
    pub fn worked(&self) {
        // Written where it changes only: all requests share it.
        if !self.is_up() {
            self.up.store(true, Ordering::Relaxed);
        }
    }

    /// Whether a connection could be made just now; if not, why.
    pub fn connected(&self, result: Result<(), Arc<sqlx::Error>>) {
        self.up.store(result.is_ok(), Ordering::Relaxed);
        *self.reason() = result.err();
    }

    /// The problem for this failed use of the database. A pool reports only that it timed out; then the cause is that
    /// of the last attempt to connect.
    pub fn problem(&self, error: impl Into<Arc<sqlx::Error>>) -> Problem {
        let error = error.into();
        if is_outage(&error) {
            self.up.store(false, Ordering::Relaxed);
        }
        let reason = self.reason().clone().filter(|_| matches!(*error, sqlx::Error::PoolTimedOut));
        let problem = Problem::from(Arc::clone(&error));
        match reason {
            Some(reason) => problem.cause(Unreachable { error, reason }),
            None => problem,
        }
    }

    fn reason(&self) -> std::sync::MutexGuard<'_, Option<Arc<sqlx::Error>>> {
        self.unreachable.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A failed use of the database, with why it cannot be reached.
#[derive(Debug)]
struct Unreachable {
    error: Arc<sqlx::Error>,
    reason: Arc<sqlx::Error>,
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl Error for Unreachable {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.reason)
    }
}
