//! How often a client may do something.

use std::{
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    time::Duration,
};

use governor::{
    DefaultKeyedRateLimiter, Quota,
    clock::{Clock, DefaultClock},
};
use http::StatusCode;

use crate::Problem;

/// With more clients than this, those that have used nothing of their limit are forgotten.
pub const MAX_CLIENTS: usize = 10_000;

/// A limit for each client by itself.
#[derive(Debug)]
pub struct RateLimit<K: Clone + Hash + Eq>(DefaultKeyedRateLimiter<K>);

impl<K: Clone + Hash + Eq> RateLimit<K> {
    /// Allows this many times per minute, in bursts of the same size.
    #[must_use]
    pub fn per_minute(times: NonZeroU32) -> Self {
        Self(DefaultKeyedRateLimiter::keyed(Quota::per_minute(times)))
    }

    /// Counts one use; 429 if there were too many of `what`.
    pub fn check(&self, client: &K, what: &str) -> Result<(), Problem> {
        if self.0.len() > MAX_CLIENTS {
            self.0.retain_recent();
        }
        self.0
            .check_key(client)
            .map_err(|not_until| too_many(what, not_until.wait_time_from(DefaultClock::default().now())))
    }
}

/// 429: there were too many of `what`, and the client has to wait.
#[must_use]
pub fn too_many(what: &str, wait: Duration) -> Problem {
    let seconds = u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).saturating_add(1);
    Problem::new(StatusCode::TOO_MANY_REQUESTS)
        .detail(format!("Too many {what}; try again in {seconds} s."))
        .retry_after(seconds)
}

/// What counts as one client: a subscriber has 2^64 IPv6 addresses, so the network is counted.
#[must_use]
pub fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_has_its_own_burst() {
        let limit = RateLimit::per_minute(NonZeroU32::new(2).unwrap());
        assert!(limit.check(&1, "writes").is_ok() && limit.check(&1, "writes").is_ok());
        let refused = limit.check(&1, "writes").unwrap_err().response(None);
        assert_eq!(refused.status(), 429);
        let seconds: u32 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((1..=31).contains(&seconds), "{seconds}");
        assert!(limit.check(&2, "writes").is_ok(), "another client");
    }

    #[test]
    fn the_addresses_of_an_ipv6_network_are_one_client() {
        let network_of = |text: &str| network(text.parse().unwrap());
        assert_eq!(network_of("2001:db8::1"), network_of("2001:db8::2"));
        assert_ne!(network_of("2001:db8::1"), network_of("2001:db8:0:1::1"));
        assert_ne!(network_of("10.0.0.1"), network_of("10.0.0.2"));
    }
}
