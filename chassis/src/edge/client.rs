//! The client's address.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::extract::{ConnectInfo, Request, connect_info::Connected};
use http::Extensions;

/// Where a request comes from: the peer of the connection, or the client that the trusted proxies name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

impl ClientAddress {
    /// The address of the client of the request with these extensions. Without a socket (tests that call the router)
    /// every client is one.
    #[must_use]
    pub fn of(extensions: &Extensions) -> Self {
        let known = extensions.get::<ConnectInfo<Self>>();
        known.map_or(Self(Ipv4Addr::UNSPECIFIED.into()), |ConnectInfo(address)| *address)
    }
}

impl Connected<SocketAddr> for ClientAddress {
    fn connect_info(peer: SocketAddr) -> Self {
        Self(peer.ip().to_canonical())
    }
}

/// Takes the client's address from `X-Forwarded-For`. Each proxy appends the address of its client, so the last entries
/// are those of the trusted proxies; anyone may have written the entries before.
pub(super) fn apply_forwarded(request: &mut Request, trusted_proxies: usize) {
    if trusted_proxies == 0 {
        return;
    }
    let forwarded = {
        let values =
            request.headers().get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok());
        let entries: Vec<&str> = values.flat_map(|value| value.split(',')).map(str::trim).collect();
        entries.len().checked_sub(trusted_proxies).and_then(|index| parse_address(entries[index]))
    };
    if let Some(address) = forwarded {
        request.extensions_mut().insert(ConnectInfo(ClientAddress(address.to_canonical())));
    }
}

/// An address, with or without a port, which some proxies add.
fn parse_address(text: &str) -> Option<IpAddr> {
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    let in_brackets = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    text.parse().ok().or_else(with_port).or_else(in_brackets)
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http::HeaderValue;

    use super::*;

    fn client(trusted_proxies: usize, forwarded: &[&'static str]) -> String {
        let mut request = Request::new(Body::empty());
        let peer: SocketAddr = "10.0.0.9:1".parse().unwrap();
        request.extensions_mut().insert(ConnectInfo(ClientAddress::connect_info(peer)));
        for value in forwarded {
            request.headers_mut().append("x-forwarded-for", HeaderValue::from_static(value));
        }
        apply_forwarded(&mut request, trusted_proxies);
        ClientAddress::of(request.extensions()).0.to_string()
    }

    #[test]
    fn only_entries_of_trusted_proxies_are_believed() {
        for (trusted, expected) in [(0, "10.0.0.9"), (1, "3.3.3.3"), (2, "2.2.2.2"), (4, "10.0.0.9")] {
            assert_eq!(client(trusted, &["1.1.1.1, 2.2.2.2", "3.3.3.3"]), expected, "{trusted} proxies");
        }
    }

    #[test]
    fn an_entry_may_have_a_port() {
        for (entry, expected) in [
            ("3.3.3.3:4711", "3.3.3.3"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
            ("unknown", "10.0.0.9"),
        ] {
            assert_eq!(client(1, &[entry]), expected, "{entry}");
        }
    }
}
