//! Rate limits on writes: by key, and by address, which also slows down guessing keys.

use std::{
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
};

use chassis::Problem;
use governor::{
    DefaultKeyedRateLimiter, Quota,
    clock::{Clock, DefaultClock},
};
use http::StatusCode;

/// With more keys or addresses than this, those whose burst is full again are dropped.
const MAX_ENTRIES: usize = 10_000;

/// The limits on writes.
#[derive(Debug)]
pub struct WriteLimits {
    by_key: DefaultKeyedRateLimiter<i64>,
    by_address: DefaultKeyedRateLimiter<IpAddr>,
}

impl WriteLimits {
    /// Allows this many writes per minute, in bursts of the same size.
    #[must_use]
    pub fn new(per_minute_by_key: NonZeroU32, per_minute_by_address: NonZeroU32) -> Self {
        Self {
            by_key: DefaultKeyedRateLimiter::keyed(Quota::per_minute(per_minute_by_key)),
            by_address: DefaultKeyedRateLimiter::keyed(Quota::per_minute(per_minute_by_address)),
        }
    }

    /// Counts a write with this key; 429 when there were too many.
    pub fn check_key(&self, key: i64) -> Result<(), Problem> {
        check(&self.by_key, &key, "with this key")
    }

    /// Counts a write from this address; 429 when there were too many.
    pub fn check_address(&self, address: IpAddr) -> Result<(), Problem> {
        // A subscriber has 2^64 IPv6 addresses, so the network is counted.
        let address = match address {
            IpAddr::V4(_) => address,
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
            }
        };
        check(&self.by_address, &address, "from this address")
    }
}

fn check<K: Clone + Hash + Eq>(
    limiter: &DefaultKeyedRateLimiter<K>,
    client: &K,
    name: &str,
) -> Result<(), Problem> {
    if limiter.len() > MAX_ENTRIES {
        limiter.retain_recent();
    }
    limiter.check_key(client).map_err(|not_until| {
        let wait = not_until.wait_time_from(DefaultClock::default().now());
        let seconds = u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).saturating_add(1);
        Problem::new(StatusCode::TOO_MANY_REQUESTS)
            .detail(format!("Too many writes {name}; try again in {seconds} s."))
            .retry_after(seconds)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_and_each_network_has_its_own_burst() {
        let limits = WriteLimits::new(NonZeroU32::new(2).unwrap(), NonZeroU32::new(1).unwrap());
        assert!(limits.check_key(1).is_ok() && limits.check_key(1).is_ok());
        let refused = limits.check_key(1).unwrap_err().response(None);
        assert_eq!(refused.status(), 429);
        let seconds: u32 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((1..=31).contains(&seconds), "{seconds}");
        assert!(limits.check_key(2).is_ok(), "another key");

        assert!(limits.check_address("2001:db8::1".parse().unwrap()).is_ok());
        assert!(limits.check_address("2001:db8::2".parse().unwrap()).is_err(), "the same network");
        assert!(limits.check_address("2001:db8:0:1::1".parse().unwrap()).is_ok());
        assert!(limits.check_address("10.0.0.1".parse().unwrap()).is_ok());
    }
}
