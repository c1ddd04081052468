//! Rate limits: of writes by key and by address, of reads by key, and of wrong keys by address.

use std::{
    collections::HashMap,
    net::IpAddr,
    num::NonZeroU32,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use chassis::{
    Problem,
    rate_limit::{MAX_CLIENTS, RateLimit, network, too_many},
};
use prometheus_client::{
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

const MINUTE: Duration = Duration::from_mins(1);

/// The limits on writes.
#[derive(Debug)]
pub struct WriteLimits {
    by_key: RateLimit<i64>,
    by_address: RateLimit<IpAddr>,
}

impl WriteLimits {
    /// Allows this many writes per minute, in bursts of the same size.
    #[must_use]
    pub fn new(per_minute_by_key: NonZeroU32, per_minute_by_address: NonZeroU32) -> Self {
        Self {
            by_key: RateLimit::per_minute(per_minute_by_key),
            by_address: RateLimit::per_minute(per_minute_by_address),
        }
    }

    /// Counts a write with this key; 429 when there were too many.
    pub fn admit_key(&self, key: i64) -> Result<(), Problem> {
        self.by_key.check(&key, "writes with this key")
    }

    /// Counts a write from this address; 429 when there were too many.
    pub fn admit_address(&self, address: IpAddr) -> Result<(), Problem> {
        self.by_address.check(&network(address), "writes from this address")
    }
}

/// Counts and limits reads by key, where reads need one.
#[derive(Debug)]
pub struct ReadLimit {
    limit: RateLimit<i64>,
    counts: Family<Vec<(&'static str, String)>, Counter>,
}

impl ReadLimit {
    /// Allows this many reads with a key per minute, in bursts of the same size.
    #[must_use]
    pub fn new(per_minute: NonZeroU32) -> Self {
        Self { limit: RateLimit::per_minute(per_minute), counts: Family::default() }
    }

    /// Counts a read with this key; 429 when there were too many.
    pub fn admit(&self, key: i64) -> Result<(), Problem> {
        self.limit.check(&key, "reads with this key")?;
        self.counts.get_or_create(&vec![("key", key.to_string())]).inc();
        Ok(())
    }

    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register("rates_reads_by_key", "Reads by the number of their key", self.counts.clone());
    }
}

/// Limits how many wrong keys an address may send, so that guessing keys is slow. After too many, no key from there is
/// looked at, the right one neither, until some time has passed.
///
/// A rate limiter of its own (GCRA), because that of `governor` cannot be asked without being charged, and right keys
/// are not charged.
#[derive(Debug)]
pub struct WrongKeyLimit {
    /// By network: when all its wrong keys will be forgotten.
    forgotten_at: Mutex<HashMap<IpAddr, Instant>>,
    /// The time after which one wrong key is forgotten.
    interval: Duration,
}

impl WrongKeyLimit {
    /// Allows this many wrong keys per minute; all of them may come at once.
    #[must_use]
    pub fn new(per_minute: NonZeroU32) -> Self {
        Self { forgotten_at: Mutex::default(), interval: MINUTE / per_minute.get() }
    }

    /// 429 if this address has sent too many wrong keys.
    pub fn check(&self, address: IpAddr) -> Result<(), Problem> {
        let addresses = self.forgotten_at.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(forgotten_at) = addresses.get(&network(address)) else {
            return Ok(());
        };
        let left = forgotten_at.saturating_duration_since(Instant::now());
        // One more must fit into the minute.
        match (left + self.interval).checked_sub(MINUTE) {
            None | Some(Duration::ZERO) => Ok(()),
            Some(wait) => Err(too_many("wrong keys from this address", wait)),
        }
    }

    /// Counts a wrong key from this address.
    pub fn count(&self, address: IpAddr) {
        let now = Instant::now();
        let mut addresses = self.forgotten_at.lock().unwrap_or_else(PoisonError::into_inner);
        if addresses.len() > MAX_CLIENTS {
            addresses.retain(|_, forgotten_at| *forgotten_at > now);
        }
        let forgotten_at = addresses.entry(network(address)).or_insert(now);
        *forgotten_at = (*forgotten_at).max(now) + self.interval;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_keys_are_counted_by_network_and_forgotten_with_time() {
        // One is forgotten every ten milliseconds.
        let limit = WrongKeyLimit::new(NonZeroU32::new(6000).unwrap());
        let [one, same, other] =
            ["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"].map(|text| text.parse().unwrap());
        for _ in 0..6000 {
            assert!(limit.check(one).is_ok());
            limit.count(one);
        }
        // Some were forgotten meanwhile, so count until the limit is reached.
        while limit.check(same).is_ok() {
            limit.count(same);
        }
        assert!(limit.check(other).is_ok());
        let deadline = Instant::now() + Duration::from_secs(10);
        while limit.check(one).is_err() {
            assert!(Instant::now() < deadline, "nothing is forgotten");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn only_addresses_whose_wrong_keys_are_forgotten_are_dropped() {
        let limit = WrongKeyLimit::new(NonZeroU32::new(60).unwrap());
        let addresses = |count: u32| (0..count).map(|number| IpAddr::from(number.to_be_bytes()));
        let counted = || limit.forgotten_at.lock().unwrap().len();
        let guesser = "192.0.2.2".parse().unwrap();
        (0..120).for_each(|_| limit.count(guesser));
        addresses(u32::try_from(MAX_CLIENTS).unwrap()).for_each(|address| limit.count(address));
        assert_eq!(counted(), MAX_CLIENTS + 1);
        std::thread::sleep(Duration::from_millis(1100));
        limit.count("192.0.2.1".parse().unwrap());
        assert_eq!(counted(), 2);
        assert!(limit.check(guesser).is_err(), "its wrong keys are not forgotten yet");
    }
}
