//! Finished answers in memory: how one is found, or made once for all who ask for it.
//!
//! The key of an answer holds the version of the data it was made of. So an entry is never outdated: when the data
//! changes, requests look under another key, and nothing has to be invalidated. What is not asked for any more is the
//! first to make room.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU8, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use axum::body::Bytes;
use chassis::Problem;
use http::{HeaderValue, StatusCode};
use quick_cache::{Weighter, sync::Cache as QuickCache};

use super::query::AnswerKey;
use crate::settings::CacheSettings;

/// While nobody hears of changes, the database may be away: a request that has a stale answer waits this long for a fresh
/// one. Well above what a read takes, well below what a person notices.
const STALE_AFTER: Duration = Duration::from_millis(250);

/// A finished answer.
#[derive(Debug, Clone)]
pub struct CachedAnswer {
    /// The body as sent.
    pub body: Bytes,
    /// Strong: equal tags are equal bytes.
    pub etag: HeaderValue,
    /// The version of the data it was made of.
    pub version: i64,
}

/// Where an answer came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// From the cache, and as new as the data.
    Hit,
    /// Read now.
    Miss,
    /// From the cache, while the database is away; the data may have changed since.
    Stale {
        /// For how long it may have been outdated.
        seconds: u64,
    },
}

/// An error that may mean that the database is away, so that an old answer is better than none.
pub trait Outage {
    /// Whether it means that.
    fn is_outage(&self) -> bool;
}

impl Outage for Problem {
    fn is_outage(&self) -> bool {
        self.status() == StatusCode::SERVICE_UNAVAILABLE
    }
}

/// Which version of the data is the newest known to this instance.
///
/// PostgreSQL notifies on every commit that changed prices or places. While this instance listens, the version it
/// knows is at most a notification's travel behind, and never behind a write that it acknowledged itself. When it
/// loses its connection it knows nothing, and answers come from the database until it listens again.
#[derive(Debug, Default)]
pub struct Freshness {
    version: AtomicI64,
    listening: AtomicU8,
    listened_until: Mutex<Option<Instant>>,
}

/// Whether changes of the data are heard of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listening {
    /// Not connected yet, or the connection was lost.
    Lost,
    /// Notifications arrive.
    Live,
    /// The last attempt to connect failed.
    Away,
}

impl Freshness {
    /// The newest version, if it is kept up to date.
    #[must_use]
    pub fn current(&self) -> Option<i64> {
        (self.listening() == Listening::Live).then(|| self.version.load(Ordering::Acquire))
    }

    /// Whether the version is kept up to date.
    #[must_use]
    pub fn listening(&self) -> Listening {
        match self.listening.load(Ordering::Acquire) {
            1 => Listening::Live,
            2 => Listening::Away,
            _ => Listening::Lost,
        }
    }

    /// The last version known, and for how long it may have been outdated; none where nothing was ever known.
    #[must_use]
    pub fn last_known(&self) -> Option<(i64, Duration)> {
        let version = self.version.load(Ordering::Acquire);
        let until = *self.listened_until.lock().unwrap_or_else(PoisonError::into_inner);
        (version > 0).then(|| (version, until.map_or(Duration::ZERO, |until| until.elapsed())))
    }

    /// A version that was seen committed. Versions only grow, so an older one changes nothing.
    pub fn observe(&self, version: i64) {
        self.version.fetch_max(version, Ordering::AcqRel);
    }

    /// A connection listens and read `version` after it began to. Not a maximum: the database may have been restored
    /// to an earlier state.
    pub(super) fn begin(&self, version: i64) {
        self.version.store(version, Ordering::Release);
        self.listening.store(1, Ordering::Release);
        *self.listened_until.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The connection was lost, or (`Away`) could not be made again. Returns what was true before.
    pub(super) fn end(&self, now: Listening) -> Listening {
        let before = self.listening();
        self.listening.store(if now == Listening::Away { 2 } else { 0 }, Ordering::Release);
        if before == Listening::Live {
            *self.listened_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
        before
    }

    /// Forgets that the version is kept up to date, as when the connection is lost.
    pub fn forget(&self) {
        self.end(Listening::Lost);
    }
}

#[derive(Debug, Clone)]
struct ByBytes;

impl Weighter<Vec<u8>, CachedAnswer> for ByBytes {
    fn weight(&self, key: &Vec<u8>, answer: &CachedAnswer) -> u64 {
        // The bookkeeping of an entry: table slot, two allocations and their headers.
        const OVERHEAD: usize = 256;
        (key.len() + answer.body.len() + answer.etag.len() + OVERHEAD) as u64
    }
}

/// The finished answers of this instance, bounded by their bytes.
#[derive(Debug)]
pub struct AnswerCache {
    /// None where it is configured off.
    answers: Option<QuickCache<Vec<u8>, CachedAnswer, ByBytes>>,
    freshness: Arc<Freshness>,
    /// How long an old answer may stand in for a database that is away, in seconds.
    stale_seconds: f64,
    /// Not the store's own count: a request may look more than once before its answer is made.
    misses: AtomicU64,
}

impl AnswerCache {
    /// An empty cache.
    #[must_use]
    pub fn new(settings: &CacheSettings, freshness: Arc<Freshness>) -> Self {
        let size = settings.size_bytes;
        // An answer for a month has some 2 kB.
        let entries = usize::try_from(size / 2048).unwrap_or(usize::MAX).clamp(16, 10_000_000);
        let answers = (size > 0).then(|| QuickCache::with_weighter(entries, size, ByBytes));
        Self { answers, freshness, stale_seconds: settings.stale_seconds, misses: AtomicU64::new(0) }
    }

    /// The answer to what `key` asks, if it is here and as new as the data.
    #[must_use]
    pub fn find(&self, key: &AnswerKey) -> Option<CachedAnswer> {
        self.get(&key.at(self.freshness.current()?))
    }

    /// The tag that the answer to what `key` asks has now, if that is known.
    #[must_use]
    pub fn current_etag(&self, key: &AnswerKey) -> Option<HeaderValue> {
        Some(key.at(self.freshness.current()?).etag())
    }

    /// The answer to what `key` asks, or the one that `make` makes: of data no older than the version it is given (0 where
    /// none is known), with the version it was made of (0 where that is not known either). Who asks for the same at the same time waits for one of them to make it.
    pub async fn find_or_make<E: Outage, F>(
        &self,
        key: &AnswerKey,
        make: impl FnOnce(i64) -> F,
    ) -> Result<(CachedAnswer, Source), E>
    where
        F: Future<Output = Result<(Vec<u8>, i64), E>>,
    {
        if let Some(answer) = self.find(key) {
            return Ok((answer, Source::Hit));
        }
        // Boxed, or every hit would carry the room that a read needs, and copy it from layer to layer.
        Box::pin(self.make(key, make)).await
    }

    async fn make<E: Outage, F>(
        &self,
        key: &AnswerKey,
        make: impl FnOnce(i64) -> F,
    ) -> Result<(CachedAnswer, Source), E>
    where
        F: Future<Output = Result<(Vec<u8>, i64), E>>,
    {
        let make = async |newest_known| {
            self.misses.fetch_add(1, Ordering::Relaxed);
            let (body, version) = make(newest_known).await?;
            Ok::<_, E>(CachedAnswer { body: Bytes::from(body), etag: key.at(version).etag(), version })
        };
        if let Some(version) = self.freshness.current() {
            return match self.get_or_make(key, version, make(version)).await {
                Err(error) if error.is_outage() => self.find_stale(key).ok_or(error),
                answer => Ok((answer?, Source::Miss)),
            };
        }
        // Nothing is known of the newest version, so nothing in the cache is known to be right.
        let keep = |answer: CachedAnswer| {
            self.put(&key.at(answer.version), &answer);
            (answer, Source::Miss)
        };
        let Some(stale) = self.find_stale(key) else {
            return make(0).await.map(keep);
        };
        // The database cannot be reached: to ask it would only make the stale answer late.
        if self.freshness.listening() == Listening::Away {
            return Ok(stale);
        }
        match tokio::time::timeout(STALE_AFTER, make(0)).await {
            Ok(Err(error)) if !error.is_outage() => Err(error),
            Ok(Ok(answer)) => Ok(keep(answer)),
            Ok(Err(_)) | Err(_) => Ok(stale),
        }
    }

    /// An answer of older data than `version` is passed on and not kept; one of newer data may stand in for it.
    async fn get_or_make<E>(
        &self,
        key: &AnswerKey,
        version: i64,
        make: impl Future<Output = Result<CachedAnswer, E>>,
    ) -> Result<CachedAnswer, E> {
        let Some(answers) = &self.answers else {
            return make.await;
        };
        match answers.get_value_or_guard_async(key.at(version).as_slice()).await {
            Ok(answer) => Ok(answer),
            Err(guard) => {
                let answer = make.await?;
                if answer.version >= version {
                    // Fails only if the entry was removed meanwhile; the answer is right all the same.
                    let _ = guard.insert(answer.clone());
                }
                Ok(answer)
            }
        }
    }

    /// The last answer known to what `key` asks, where it is not too old to be given.
    fn find_stale(&self, key: &AnswerKey) -> Option<(CachedAnswer, Source)> {
        let (version, outdated) = self.freshness.last_known()?;
        let allowed = outdated.as_secs_f64() < self.stale_seconds;
        let answer = allowed.then(|| self.get(&key.at(version))).flatten()?;
        Some((answer, Source::Stale { seconds: outdated.as_secs() }))
    }

    /// The answer with this key, version included.
    #[must_use]
    pub fn get(&self, key: &AnswerKey) -> Option<CachedAnswer> {
        self.answers.as_ref()?.get(key.as_slice())
    }

    /// Keeps an answer; not one of an unknown version.
    pub fn put(&self, key: &AnswerKey, answer: &CachedAnswer) {
        if let Some(answers) = self.answers.as_ref().filter(|_| answer.version > 0) {
            answers.insert(key.as_slice().to_vec(), answer.clone());
        }
    }

    /// Lookups that found an answer.
    #[must_use]
    pub fn hits(&self) -> u64 {
        self.answers.as_ref().map_or(0, QuickCache::hits)
    }

    /// Answers that had to be made.
    #[must_use]
    pub fn misses(&self) -> u64 {
        self.misses.load(Ordering::Relaxed)
    }

    /// The bytes that the answers take.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.answers.as_ref().map_or(0, QuickCache::weight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_known_before_and_after_it_listens() {
        let freshness = Freshness::default();
        assert_eq!((freshness.current(), freshness.last_known()), (None, None));
        freshness.begin(7);
        freshness.observe(9);
        freshness.observe(8);
        assert_eq!(freshness.current(), Some(9));
        freshness.forget();
        assert_eq!(freshness.current(), None);
        assert_eq!(freshness.last_known().unwrap().0, 9);
        freshness.begin(5);
        assert_eq!(freshness.current(), Some(5), "a restored database may be older");
    }
}
