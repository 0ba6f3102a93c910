//! What counts as one peer when peers are limited.

use std::net::IpAddr;

/// Bits of an IPv6 address that name a network. Whoever has one has 2^64 addresses in it.
const NETWORK_BITS: u32 = 64;

/// An IPv4 address, or the network of an IPv6 address.
pub(crate) fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => {
            let host_bits = u128::BITS - NETWORK_BITS;
            IpAddr::V6((ip.to_bits() >> host_bits << host_bits).into())
        }
        ip @ IpAddr::V4(_) => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_network_and_a_mapped_address_are_one_peer() {
        let network = |ip: &str| network(ip.parse().unwrap()).to_string();
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(network("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(network("192.0.2.7"), "192.0.2.7");
    }
}
