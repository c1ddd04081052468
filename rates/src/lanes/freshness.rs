//! How new the data is that this instance knows of, and what of it has changed.

use std::{
    pin::pin,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU8, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{sync::Notify, time::timeout};

use super::month::Month;
use crate::places::Pair;

/// A write is acknowledged after this time at the latest, even if the listener has not heard of it.
const ACKNOWLEDGE: Duration = Duration::from_secs(1);

/// Versions of changes that are kept; a power of two. Two months with one hash share one, so that a change of one makes
/// both be read again. Half a mebibyte.
const CHANGES: usize = 1 << 16;

/// What this instance knows of the versions of the data.
///
/// PostgreSQL sends a notification for every commit that changes prices or places; the listener then reads which months
/// of which lanes have changed. What was read before its last change is not used again. While the instance listens, its
/// data is behind by at most the delay of a notification, and never behind a write that it acknowledged itself. When it
/// loses the connection, answers come from the database until it listens again.
#[derive(Debug)]
pub struct Freshness {
    /// Every change up to this version is taken into account; 0 if none was ever known.
    version: AtomicI64,
    /// Nothing from before this version is used.
    oldest: AtomicI64,
    /// By the hash of a month of a pair of places: the version of its last change.
    changed: Box<[AtomicI64]>,
    listening: AtomicU8,
    listened_until: Mutex<Option<Instant>>,
    listening_ended: Notify,
    version_moved: Notify,
}

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

impl Default for Freshness {
    fn default() -> Self {
        Self {
            version: AtomicI64::new(0),
            oldest: AtomicI64::new(0),
            changed: (0..CHANGES).map(|_| AtomicI64::new(0)).collect(),
            listening: AtomicU8::new(0),
            listened_until: Mutex::default(),
            listening_ended: Notify::new(),
            version_moved: Notify::new(),
        }
    }
}

impl Freshness {
    /// The version up to which every change is taken into account, if it is kept up to date.
    #[must_use]
    pub fn current(&self) -> Option<i64> {
        (self.listening() == Listening::Live).then(|| self.version())
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

    /// The version up to which every change is taken into account, kept up to date or not; 0 if none was ever known.
    #[must_use]
    pub fn version(&self) -> i64 {
        self.version.load(Ordering::Acquire)
    }

    /// Data of an older version than this is not to be read.
    pub(super) fn oldest_usable(&self) -> i64 {
        self.version().max(self.oldest.load(Ordering::Acquire))
    }

    /// Whether data of this month that was read at this version has not changed up to [`Self::version`].
    pub(super) fn is_unchanged(&self, pair: Pair, month: Month, version: i64) -> bool {
        version >= self.oldest.load(Ordering::Acquire)
            && version >= self.changed[index(pair, month)].load(Ordering::Acquire)
    }

    /// Since when data that was valid at [`Self::version`] may be outdated: since notifications ended. Zero while they
    /// arrive.
    pub(super) fn silent_for(&self) -> Duration {
        let until = *self.listened_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.map_or(Duration::ZERO, |until| until.elapsed())
    }

    /// Takes the changes up to this version into account.
    pub(super) fn apply(&self, version: i64, changes: impl IntoIterator<Item = (Pair, Month)>) {
        for (pair, month) in changes {
            self.changed[index(pair, month)].fetch_max(version, Ordering::AcqRel);
        }
        // After the changes: whoever sees this version must see them.
        self.version.fetch_max(version, Ordering::AcqRel);
        self.version_moved.notify_waiters();
    }

    /// Forgets everything that was read before this version.
    pub(super) fn forget_before(&self, version: i64) {
        self.oldest.fetch_max(version, Ordering::AcqRel);
    }

    /// The database was restored to an earlier state. Until its clock, which versions follow, has passed this moment and
    /// something has changed, nothing is cached: data from before the restore could not be distinguished from newer
    /// data.
    pub(super) fn restored(&self, version: i64, clock: i64) {
        self.forget_before(clock.max(self.version() + 1));
        self.version.store(version, Ordering::Release);
    }

    /// Waits until this instance serves nothing older than `version`. Call it with a write's version before acknowledging
    /// the write.
    pub async fn acknowledge(&self, version: i64) {
        let applied = async {
            loop {
                let mut moved = pin!(self.version_moved.notified());
                moved.as_mut().enable();
                if self.listening() != Listening::Live || self.version() >= version {
                    return;
                }
                moved.await;
            }
        };
        let _ = timeout(ACKNOWLEDGE, applied).await;
        if self.version() < version {
            self.forget_before(version);
        }
    }

    /// Records that notifications arrive.
    pub(super) fn begin(&self) {
        self.listening.store(1, Ordering::Release);
        *self.listened_until.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Records that the connection was lost or, with `Away`, could not be restored. Returns the previous state.
    pub(super) fn end(&self, now: Listening) -> Listening {
        let before = self.listening();
        self.listening.store(if now == Listening::Away { 2 } else { 0 }, Ordering::Release);
        self.listened_until.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(Instant::now);
        self.listening_ended.notify_waiters();
        self.version_moved.notify_waiters();
        before
    }

    /// Waits until notifications do not arrive.
    pub(super) async fn ended(&self) {
        loop {
            let mut ended = pin!(self.listening_ended.notified());
            ended.as_mut().enable();
            if self.listening() != Listening::Live {
                return;
            }
            ended.await;
        }
    }

    /// For tests: as when the connection that listens is lost.
    pub fn lose_connection(&self) {
        self.end(Listening::Lost);
    }
}

/// A hash that is quick, since two months with the same cost only a read.
fn index((origin, destination): Pair, month: Month) -> usize {
    let pair = u64::from(origin.0.cast_unsigned()) << 32 | u64::from(destination.0.cast_unsigned());
    // Two steps of MurmurHash3's last part.
    let hash = (pair ^ month.number() << 48).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let hash = (hash ^ hash >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    usize::try_from(hash >> 48).unwrap_or(0) % CHANGES
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;

    use super::*;
    use crate::places::PlaceId;

    const LANE: Pair = (PlaceId(1), PlaceId(2));
    const OTHER: Pair = (PlaceId(3), PlaceId(4));

    fn month() -> Month {
        Month::of(NaiveDate::from_ymd_opt(2021, 1, 31).unwrap())
    }

    #[test]
    fn a_change_outdates_what_it_touches() {
        let freshness = Freshness::default();
        freshness.begin();
        freshness.apply(7, []);
        assert!(freshness.is_unchanged(LANE, month(), 7));
        freshness.apply(9, [(LANE, month())]);
        assert_eq!(freshness.current(), Some(9));
        assert!(!freshness.is_unchanged(LANE, month(), 7), "read before the change");
        assert!(freshness.is_unchanged(LANE, month(), 9), "read with it");
        assert!(freshness.is_unchanged(OTHER, month(), 7), "another lane");
        freshness.forget_before(9);
        assert!(!freshness.is_unchanged(OTHER, month(), 8));
    }

    #[test]
    fn after_a_restore_nothing_from_before_is_used() {
        let freshness = Freshness::default();
        freshness.begin();
        freshness.apply(9, []);
        freshness.restored(5, 20);
        assert_eq!(freshness.current(), Some(5));
        for version in [5, 9, 19] {
            assert!(!freshness.is_unchanged(LANE, month(), version), "{version}");
        }
        freshness.apply(21, []);
        assert!(freshness.is_unchanged(LANE, month(), 21));
        // The clock may be behind the versions.
        freshness.restored(6, 8);
        assert!(!freshness.is_unchanged(LANE, month(), 21), "read before the restore");
        assert!(freshness.is_unchanged(LANE, month(), 22));
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_is_acknowledged_once_nothing_older_is_used() {
        let freshness = Freshness::default();
        freshness.begin();
        freshness.apply(7, []);
        let (begun, heard) = (tokio::time::Instant::now(), Duration::from_millis(3));
        let listener = async {
            tokio::time::sleep(heard).await;
            freshness.apply(8, [(LANE, month())]);
        };
        tokio::join!(freshness.acknowledge(8), listener);
        assert_eq!(begun.elapsed(), heard);
        assert!(freshness.is_unchanged(OTHER, month(), 7));
        freshness.acknowledge(9).await;
        assert_eq!(begun.elapsed(), heard + ACKNOWLEDGE, "the listener heard nothing");
        assert!(!freshness.is_unchanged(OTHER, month(), 8));
        freshness.end(Listening::Away);
        freshness.acknowledge(10).await;
        assert_eq!(begun.elapsed(), heard + ACKNOWLEDGE, "no listener, no wait");
        assert_eq!(freshness.oldest_usable(), 10);
    }
}
