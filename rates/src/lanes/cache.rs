//! The cache of finished answers. Concurrent requests for the same answer wait while one of them makes it.
//!
//! The key of an answer contains the version of its data, so an entry is never outdated: when the data changes,
//! requests use another key, and nothing has to be invalidated. Entries that are no longer used are evicted first.

use std::{
    collections::VecDeque,
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU8, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use chassis::{Problem, compression::CompressibleBody};
use http::{HeaderValue, StatusCode};
use quick_cache::{Weighter, sync::Cache as QuickCache};
use tokio::sync::Notify;

use super::query::AnswerKey;
use crate::settings::CacheSettings;

/// While this instance gets no notifications, the database may be unreachable: a request that has a stale answer waits
/// this long for a fresh one. Well above the time of a read, well below what a person notices.
const STALE_AFTER: Duration = Duration::from_millis(250);

/// A finished answer.
#[derive(Debug, Clone)]
pub struct CachedAnswer {
    /// The body.
    pub body: CompressibleBody,
    /// A strong tag: equal tags mean equal bytes.
    pub etag: HeaderValue,
    /// The version of its data.
    pub version: i64,
}

/// Where an answer came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// From the cache, and up to date.
    Hit,
    /// Read now.
    Miss,
    /// From the cache, while the database is unreachable; the data may have changed since.
    Stale {
        /// For how long it may have been outdated.
        seconds: u64,
    },
}

/// An error that may mean that the database is unreachable, so that a stale answer is better than none.
pub trait Outage {
    /// Whether it means that.
    fn is_outage(&self) -> bool;
}

impl Outage for Problem {
    fn is_outage(&self) -> bool {
        self.status() == StatusCode::SERVICE_UNAVAILABLE
    }
}

/// The newest version of the data known to this instance.
///
/// PostgreSQL sends a notification for every commit that changes prices or places. While this instance listens, its
/// version is behind by at most the delay of a notification, and never behind a write that it acknowledged itself. When
/// it loses the connection it knows no version, and answers come from the database until it listens again.
#[derive(Debug, Default)]
pub struct Freshness {
    version: AtomicI64,
    listening: AtomicU8,
    listened_until: Mutex<Option<Instant>>,
    ended: Notify,
    /// The versions before this one, oldest first, each with the time when this instance heard of a newer one.
    superseded: Mutex<VecDeque<(i64, Instant)>>,
}

/// How many superseded versions are remembered: those of some 20 minutes with six changes a second.
const SUPERSEDED: usize = 8192;

/// Whether notifications of changes arrive.
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

    /// The last known version; none if no version was ever known.
    #[must_use]
    pub fn last_known(&self) -> Option<i64> {
        Some(self.newest()).filter(|version| *version > 0)
    }

    /// For how long data of this version may have been outdated; none if that is not known.
    #[must_use]
    pub fn outdated(&self, version: i64) -> Option<Duration> {
        if version == self.newest() {
            let until = *self.listened_until.lock().unwrap_or_else(PoisonError::into_inner);
            return Some(until.map_or(Duration::ZERO, |until| until.elapsed()));
        }
        let superseded = self.superseded.lock().unwrap_or_else(PoisonError::into_inner);
        let next = superseded.partition_point(|(earlier, _)| *earlier < version);
        // If older ones were forgotten, this version may be older still.
        let is_known = next > 0 || superseded.len() < SUPERSEDED;
        superseded.get(next).filter(|_| is_known).map(|(_, since)| since.elapsed())
    }

    /// Records a committed version. Versions only grow, so an older one changes nothing.
    pub fn observe(&self, version: i64) {
        let before = self.version.fetch_max(version, Ordering::AcqRel);
        if before < version {
            self.supersede(before);
        }
    }

    fn supersede(&self, version: i64) {
        let mut superseded = self.superseded.lock().unwrap_or_else(PoisonError::into_inner);
        // Of two that are recorded at once, the newer one may come first.
        if superseded.back().is_none_or(|(last, _)| *last < version) {
            if superseded.len() == SUPERSEDED {
                superseded.pop_front();
            }
            superseded.push_back((version, Instant::now()));
        }
    }

    /// The newest version, up to date or not; 0 if none was ever known.
    pub(super) fn newest(&self) -> i64 {
        self.version.load(Ordering::Acquire)
    }

    /// Records that a connection listens and has then read `version`; `before` is [`Self::newest`] before it read.
    ///
    /// The version may be lower, because the database may have been restored to an earlier state. But if this instance
    /// has observed another one meanwhile, such as that of a write that it acknowledged, the version only grows.
    pub(super) fn begin(&self, before: i64, version: i64) {
        match self.version.compare_exchange(before, version, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) if before < version => self.supersede(before),
            // Restored to an earlier state: nothing is known of what was cached before.
            Ok(_) if before > version => {
                self.superseded.lock().unwrap_or_else(PoisonError::into_inner).clear();
            }
            Ok(_) => {}
            Err(_) => self.observe(version),
        }
        self.listening.store(1, Ordering::Release);
        *self.listened_until.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Records that the connection was lost or, with `Away`, could not be restored. Returns the previous state.
    pub(super) fn end(&self, now: Listening) -> Listening {
        let before = self.listening();
        self.listening.store(if now == Listening::Away { 2 } else { 0 }, Ordering::Release);
        self.listened_until.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(Instant::now);
        self.ended.notify_waiters();
        before
    }

    /// Waits until notifications do not arrive.
    async fn ended(&self) {
        loop {
            let mut ended = pin!(self.ended.notified());
            ended.as_mut().enable();
            if self.listening() != Listening::Live {
                return;
            }
            ended.await;
        }
    }

    /// Treats the version as not up to date, as when the connection is lost.
    pub fn forget(&self) {
        self.end(Listening::Lost);
    }
}

#[derive(Debug, Clone)]
struct ByBytes;

impl Weighter<Vec<u8>, CachedAnswer> for ByBytes {
    fn weight(&self, key: &Vec<u8>, answer: &CachedAnswer) -> u64 {
        // The overhead of an entry: table slot, two allocations and their headers.
        const OVERHEAD: usize = 256;
        (key.len() + answer.body.weight() + answer.etag.len() + OVERHEAD) as u64
    }
}

/// The finished answers of this instance, limited by their bytes.
#[derive(Debug)]
pub struct AnswerCache {
    /// None if it is turned off.
    answers: Option<QuickCache<Vec<u8>, CachedAnswer, ByBytes>>,
    /// The version of the newest answer to a question, by the hash of its key: while the database is unreachable, that
    /// answer may stand in, even if the data has changed since. Two questions with one hash cost one of them its answer.
    newest_versions: QuickCache<u64, i64>,
    freshness: Arc<Freshness>,
    /// How long stale answers may be served while the database is unreachable, in seconds.
    stale_seconds: f64,
    /// Not the store's own count, because a request may look more than once before its answer is made.
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
        let newest_versions = QuickCache::new(if size > 0 { entries } else { 1 });
        Self {
            answers,
            newest_versions,
            freshness,
            stale_seconds: settings.stale_seconds,
            misses: AtomicU64::new(0),
        }
    }

    /// The answer with this key, if it is cached and up to date.
    #[must_use]
    pub fn find(&self, key: &AnswerKey) -> Option<CachedAnswer> {
        self.get(&key.at(self.freshness.current()?))
    }

    /// The current tag of the answer with this key, if the version is known.
    #[must_use]
    pub fn current_etag(&self, key: &AnswerKey) -> Option<HeaderValue> {
        Some(key.at(self.freshness.current()?).etag())
    }

    /// The answer with this key, from the cache or from `make`. `make` gets the newest known version (0 if none is
    /// known), reads data that is no older, and returns its version (0 if unknown). Concurrent requests for the same
    /// answer wait for one of them to make it.
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
        // Boxed; otherwise every hit's future would be as large as a read needs, and be copied from layer to layer.
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
            // Without the spare capacity, which the cache would hold but not count.
            let body = CompressibleBody::from(body.into_boxed_slice());
            Ok::<_, E>(CachedAnswer { body, etag: key.at(version).etag(), version })
        };
        if let Some(version) = self.freshness.current() {
            let answer = tokio::select! {
                answer = self.get_or_make(key, version, make(version)) => answer,
                stale = self.stale_in_outage(key) => return Ok(stale),
            };
            return match answer {
                Err(error) if error.is_outage() => self.find_stale(key).ok_or(error),
                answer => Ok((answer?, Source::Miss)),
            };
        }
        // The newest version is unknown, so no entry of the cache is known to be up to date.
        let keep = |answer: CachedAnswer| {
            self.put(&key.at(answer.version), &answer);
            (answer, Source::Miss)
        };
        let Some(stale) = self.find_stale(key) else {
            return make(0).await.map(keep);
        };
        // The database is unreachable; trying to read would only delay the stale answer.
        if self.freshness.listening() == Listening::Away {
            return Ok(stale);
        }
        match tokio::time::timeout(STALE_AFTER, make(0)).await {
            Ok(Err(error)) if !error.is_outage() => Err(error),
            Ok(Ok(answer)) => Ok(keep(answer)),
            Ok(Err(_)) | Err(_) => Ok(stale),
        }
    }

    /// Gets or makes the answer. One of older data than `version` is returned but not cached; one of newer data is
    /// cached.
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
                    // Fails only if the entry was removed meanwhile; the answer is still correct.
                    let _ = guard.insert(answer.clone());
                    self.newest_versions.insert(key.hash(), answer.version);
                }
                Ok(answer)
            }
        }
    }

    /// The last known answer with this key, if it is not too old to be served.
    fn find_stale(&self, key: &AnswerKey) -> Option<(CachedAnswer, Source)> {
        let version = self.newest_versions.get(&key.hash())?;
        let outdated = self.freshness.outdated(version)?;
        let allowed = outdated.as_secs_f64() < self.stale_seconds;
        let answer = allowed.then(|| self.get(&key.at(version))).flatten()?;
        Some((answer, Source::Stale { seconds: outdated.as_secs() }))
    }

    /// Waits for an outage, then returns the stale answer; never ends if there is none.
    async fn stale_in_outage(&self, key: &AnswerKey) -> (CachedAnswer, Source) {
        self.freshness.ended().await;
        match self.find_stale(key) {
            Some(stale) => stale,
            None => std::future::pending().await,
        }
    }

    /// The answer with this key, version included.
    #[must_use]
    pub fn get(&self, key: &AnswerKey) -> Option<CachedAnswer> {
        self.answers.as_ref()?.get(key.as_slice())
    }

    /// Caches an answer, unless its version is unknown.
    pub fn put(&self, key: &AnswerKey, answer: &CachedAnswer) {
        if let Some(answers) = self.answers.as_ref().filter(|_| answer.version > 0) {
            answers.insert(key.as_slice().to_vec(), answer.clone());
            self.newest_versions.insert(key.hash(), answer.version);
        }
    }

    /// Lookups that found an answer.
    #[must_use]
    pub fn hits(&self) -> u64 {
        self.answers.as_ref().map_or(0, QuickCache::hits)
    }

    /// Answers that were not cached.
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
        freshness.begin(0, 7);
        freshness.observe(9);
        freshness.observe(8);
        assert_eq!(freshness.current(), Some(9));
        freshness.forget();
        assert_eq!(freshness.current(), None);
        assert_eq!(freshness.last_known(), Some(9));
        freshness.begin(freshness.newest(), 5);
        assert_eq!(freshness.current(), Some(5), "a restored database may be older");
    }

    #[test]
    fn a_write_acknowledged_while_the_version_is_read_is_not_forgotten() {
        let freshness = Freshness::default();
        freshness.begin(0, 7);
        freshness.forget();
        let before = freshness.newest();
        freshness.observe(9);
        freshness.begin(before, 8);
        assert_eq!(freshness.current(), Some(9));
    }

    #[test]
    fn it_is_known_since_when_a_version_is_outdated() {
        let freshness = Freshness::default();
        freshness.begin(0, 7);
        assert_eq!(freshness.outdated(7), Some(Duration::ZERO));
        freshness.observe(9);
        std::thread::sleep(Duration::from_millis(5));
        freshness.observe(20);
        let (of_7, of_8, of_9) = (freshness.outdated(7), freshness.outdated(8), freshness.outdated(9));
        assert!(of_7.unwrap() >= Duration::from_millis(5), "{of_7:?}");
        assert!(of_8.unwrap() < of_7.unwrap(), "8 was replaced by 20 at the latest: {of_8:?}");
        assert!(of_9.unwrap() < of_7.unwrap(), "{of_9:?}");
        freshness.begin(20, 3);
        assert_eq!(freshness.outdated(9), None, "a restored database says nothing of it");
        for version in 21..30_000 {
            freshness.observe(version);
        }
        assert_eq!(freshness.outdated(25), None, "forgotten");
        assert!(freshness.outdated(29_990).is_some());
    }

    #[test]
    fn an_instance_that_never_listened_does_not_call_old_answers_new() {
        let freshness = Freshness::default();
        freshness.end(Listening::Away);
        freshness.observe(7);
        std::thread::sleep(Duration::from_millis(5));
        freshness.end(Listening::Away);
        assert!(freshness.outdated(7).unwrap() >= Duration::from_millis(5));
    }
}
