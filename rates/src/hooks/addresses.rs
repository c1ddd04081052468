//! Which addresses a message may go to. A name may lead into the network of the service, and may lead elsewhere the next
//! time it is resolved. So the addresses of a connection are checked, not those of the name some time before.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Resolves names, and refuses private addresses unless they are allowed.
pub(super) struct Resolver {
    pub(super) allow_private: bool,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let allow_private = self.allow_private;
        Box::pin(async move {
            let addresses: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            for address in &addresses {
                check(address.ip(), allow_private).map_err(io::Error::other)?;
            }
            Ok::<Addrs, _>(Box::new(addresses.into_iter()))
        })
    }
}

/// The reason why nothing is sent to this address.
pub(super) fn check(address: IpAddr, allow_private: bool) -> Result<(), String> {
    if allow_private || is_public(address) {
        return Ok(());
    }
    Err(format!("{address} is no public address; hooks.allow_private_addresses would allow it"))
}

/// Whether an address is one of the internet, and of no special network (RFC 6890).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(address) => is_public_v4(address),
            None => is_public_v6(address),
        },
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let is_private = matches!(
        address.octets(),
        [0 | 10 | 127, ..] | [169, 254, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..]
    );
    // Protocols and documentation, relays of 6to4, benchmarks; multicast and what is reserved.
    let is_special = matches!(
        address.octets(),
        [192, 0, 0 | 2, _]
            | [192, 88, 99, _]
            | [198, 18 | 19, ..]
            | [198, 51, 100, _]
            | [203, 0, 113, _]
            | [224..=255, ..]
    );
    !is_private && !is_special
}

/// Only `2000::/3` is given out to networks of the internet. Loopback, link-local, unique local and translated addresses
/// are outside of it.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    // Teredo and other protocols; documentation; 6to4, which has an IPv4 address inside.
    let is_special =
        matches!(segments, [0x2001, 0..=0x1ff | 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] | [0x2002, ..]);
    segments[0] & 0xe000 == 0x2000 && !is_special
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_internet_are_public() {
        for public in
            ["1.1.1.1", "172.32.0.1", "100.128.0.1", "192.0.1.1", "::ffff:8.8.8.8", "2606:4700::1111"]
        {
            assert_eq!(check(public.parse().unwrap(), false), Ok(()), "{public}");
        }
        for private in [
            "0.0.0.0",
            "10.0.0.1",
            "127.0.0.1",
            "127.8.8.8",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "100.127.255.255",
            "198.18.0.1",
            "192.0.0.1",
            "192.0.2.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::10.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "64:ff9b::a00:1",
            "64:ff9b:1::1",
            "2002:a00:1::",
            "2001::1",
            "2001:db8::1",
            "3fff::1",
            "100::1",
        ] {
            let address = private.parse().unwrap();
            assert!(
                check(address, false).unwrap_err().contains("hooks.allow_private_addresses"),
                "{private}"
            );
            assert_eq!(check(address, true), Ok(()), "{private}");
        }
    }
}
