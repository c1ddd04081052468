//! Where messages are.

pub mod file;
pub mod redis;

use std::{error::Error, fmt, future::Future, pin::Pin, sync::Arc};

use bytes::Bytes;
use chassis::{Exit, Failure, exit::OrFail};

use crate::{digest::Digest, settings::Settings};

/// What a store answers, when it does.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Keeps messages by their digest.
///
/// What a call reports has happened for good, as far as the store goes, and is seen by every later call; only a read from
/// a replica that lags may still find a message that was deleted. Of concurrent calls that put (or delete) the same
/// message, one alone reports that it did.
pub trait Store: fmt::Debug + Send + Sync {
    /// Keeps the message; whether it is new.
    fn put(&self, digest: Digest, message: Bytes) -> Answer<'_, bool>;

    /// The message, if it is there.
    fn get(&self, digest: Digest) -> Answer<'_, Option<Bytes>>;

    /// Removes the message; whether it was there.
    fn delete(&self, digest: Digest) -> Answer<'_, bool>;

    /// Whether the store can work now.
    fn ping(&self) -> Answer<'_, ()>;
}

/// Why a store did not do what it was asked. Whether it was done all the same is not known.
#[derive(Debug)]
pub struct StoreError(Box<dyn Error + Send + Sync>);

impl StoreError {
    /// With this cause.
    pub fn new(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(cause.into())
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the store failed")
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}

/// The store that the settings name: Redis where a host is given, else the file.
pub fn open(settings: &Settings) -> Result<Arc<dyn Store>, Failure> {
    if settings.redis.host.0.is_empty() {
        let file = &settings.store.file;
        let store = file::FileStore::open(file, settings.store.cache_bytes)
            .or_fail(Exit::Unavailable, || format!("cannot open {}", file.display()))?;
        Ok(Arc::new(store))
    } else {
        Ok(Arc::new(redis::RedisStore::new(&settings.redis)?))
    }
}
