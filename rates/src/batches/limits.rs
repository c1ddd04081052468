//! How often one may write: by key, and by address, which also makes guessing keys slow.

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

/// So many keys or addresses are remembered before those that have their whole burst again are forgotten.
const REMEMBERED: usize = 10_000;

/// The two limits.
#[derive(Debug)]
pub struct Limits {
    by_key: DefaultKeyedRateLimiter<i64>,
    by_address: DefaultKeyedRateLimiter<IpAddr>,
}

impl Limits {
    /// Writes in a minute, in bursts of as many.
    #[must_use]
    pub fn new(per_minute_by_key: NonZeroU32, per_minute_by_address: NonZeroU32) -> Self {
        Self {
            by_key: DefaultKeyedRateLimiter::keyed(Quota::per_minute(per_minute_by_key)),
            by_address: DefaultKeyedRateLimiter::keyed(Quota::per_minute(per_minute_by_address)),
        }
    }

    /// A write with this key.
    pub fn write_by_key(&self, key: i64) -> Result<(), Problem> {
        write(&self.by_key, &key, "this key")
    }

    /// A write from this address.
    pub fn write_from(&self, address: IpAddr) -> Result<(), Problem> {
        // One subscriber has 2^64 IPv6 addresses.
        let address = match address {
            IpAddr::V4(_) => address,
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
            }
        };
        write(&self.by_address, &address, "this address")
    }
}

fn write<K: Clone + Hash + Eq>(
    limiter: &DefaultKeyedRateLimiter<K>,
    who: &K,
    name: &str,
) -> Result<(), Problem> {
    if limiter.len() > REMEMBERED {
        limiter.retain_recent();
    }
    limiter.check_key(who).map_err(|not_until| {
        let wait = not_until.wait_time_from(DefaultClock::default().now());
        let seconds = u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).saturating_add(1);
        Problem::new(StatusCode::TOO_MANY_REQUESTS)
            .detail(format!("Too many writes with {name}; come back in {seconds} s."))
            .retry_after(seconds)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_and_each_network_has_its_own_burst() {
        let limits = Limits::new(NonZeroU32::new(2).unwrap(), NonZeroU32::new(1).unwrap());
        assert!(limits.write_by_key(1).is_ok() && limits.write_by_key(1).is_ok());
        let refused = limits.write_by_key(1).unwrap_err().response(None);
        assert_eq!(refused.status(), 429);
        let seconds: u32 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((1..=31).contains(&seconds), "{seconds}");
        assert!(limits.write_by_key(2).is_ok(), "another key");

        assert!(limits.write_from("2001:db8::1".parse().unwrap()).is_ok());
        assert!(limits.write_from("2001:db8::2".parse().unwrap()).is_err(), "the same network");
        assert!(limits.write_from("2001:db8:0:1::1".parse().unwrap()).is_ok());
        assert!(limits.write_from("10.0.0.1".parse().unwrap()).is_ok());
    }
}
