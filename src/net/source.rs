//! Whose datagrams are looked at.

use core::hash::BuildHasher;
use core::time::Duration;
use std::hash::RandomState;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use crate::counters::Reject;
use crate::limits::{Limits, UDP_BURST_SECONDS, UDP_SOURCES_MAX};
use crate::net::outbox::Route;
use crate::peer;

/// Ports of services that answer whatever they are sent, and of amplifiers: echo, discard, daytime,
/// quote, chargen, DNS, TFTP, NTP, SNMP, CLDAP, SSDP, memcached. A datagram "from" there is forged.
const REFLECTOR_PORTS: [u16; 13] = [0, 7, 9, 13, 17, 19, 53, 69, 123, 161, 389, 1900, 11211];

/// Decides by source address and rate. Without memory that a sender could make grow.
#[derive(Debug)]
pub(crate) struct SourceFilter {
    listen_port: u16,
    allow: Vec<IpNet>,
    total: Bucket,
    total_interval: Duration,
    sources: Box<[Bucket]>,
    source_interval: Duration,
    /// Keyed per process, so that nobody can choose addresses that share one place.
    hasher: RandomState,
}

/// A token bucket in one number: when it would be full again (the generic cell rate algorithm).
#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    full_at: Duration,
}

impl SourceFilter {
    pub(crate) fn new(listen_port: u16, allow: Vec<IpNet>, limits: &Limits) -> Self {
        Self {
            listen_port,
            allow,
            total: Bucket::default(),
            total_interval: interval(limits.udp_rate_max),
            sources: vec![Bucket::default(); UDP_SOURCES_MAX].into_boxed_slice(),
            source_interval: interval(limits.udp_source_rate_max),
            hasher: RandomState::new(),
        }
    }

    /// Whether a datagram that came by `route` at `now` is looked at. `now` may be coarse: a burst
    /// of a second is allowed.
    pub(crate) fn check(&mut self, route: &Route, now: Duration) -> Result<(), Reject> {
        let source = SocketAddr::new(route.peer.ip().to_canonical(), route.peer.port());
        if REFLECTOR_PORTS.contains(&source.port()) {
            return Err(Reject::SourcePort);
        }
        let ip = source.ip();
        let local = route.local.map(|local| local.to_canonical());
        let own = source.port() == self.listen_port && Some(ip) == local;
        // A datagram to a group has no address that a reply could come from.
        if own || !is_unicast(ip) || !local.is_none_or(is_unicast) {
            return Err(Reject::SourceAddress);
        }
        if !self.allow.iter().any(|network| network.contains(&ip)) {
            return Err(Reject::SourceNotAllowed);
        }
        // The source first: what it sends beyond its rate does not use up that of all.
        let place = self.place(route);
        if !self.sources[place].take(now, self.source_interval) {
            return Err(Reject::SourceRate);
        }
        if !self.total.take(now, self.total_interval) {
            return Err(Reject::TotalRate);
        }
        Ok(())
    }

    /// Which of [`UDP_SOURCES_MAX`] places a source has.
    pub(crate) fn place(&self, route: &Route) -> usize {
        let hash = self.hasher.hash_one(peer::network(route.peer.ip()));
        usize::try_from(hash % self.sources.len() as u64).unwrap_or(0)
    }
}

impl Bucket {
    fn take(&mut self, now: Duration, interval: Duration) -> bool {
        let burst = Duration::from_secs(UDP_BURST_SECONDS);
        if self.full_at > now + burst {
            return false;
        }
        self.full_at = self.full_at.max(now) + interval;
        true
    }
}

fn interval(rate: u64) -> Duration {
    const NANOS_PER_SECOND: u64 = 1_000_000_000;
    Duration::from_nanos(NANOS_PER_SECOND / rate.clamp(1, NANOS_PER_SECOND))
}

fn is_unicast(ip: IpAddr) -> bool {
    let broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    !(ip.is_multicast() || ip.is_unspecified() || broadcast)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(peer: &str) -> Route {
        Route { peer: peer.parse().unwrap(), local: Some("127.0.0.1".parse().unwrap()) }
    }

    fn filter(limits: Limits) -> SourceFilter {
        let allow = ["0.0.0.0/1", "::/0", "224.0.0.0/3"];
        SourceFilter::new(4096, allow.map(|net| net.parse().unwrap()).to_vec(), &limits)
    }

    #[test]
    fn sources_that_cannot_be_peers_are_not_heard() {
        let mut filter = filter(Limits::default());
        let mut check = |peer: &str| filter.check(&route(peer), Duration::ZERO);
        for port in [0, 7, 13, 17, 19, 53, 69, 123, 161, 389, 1900, 11211] {
            assert_eq!(check(&format!("127.0.0.1:{port}")), Err(Reject::SourcePort));
        }
        for peer in ["255.255.255.255:999", "224.0.0.1:999", "0.0.0.0:999", "[ff02::1]:999"] {
            assert_eq!(check(peer), Err(Reject::SourceAddress), "{peer}");
        }
        assert_eq!(check("127.0.0.1:4096"), Err(Reject::SourceAddress), "this server");
        assert_eq!(check("127.0.0.2:4096"), Ok(()), "another one");
        assert_eq!(check("192.0.2.1:999"), Err(Reject::SourceNotAllowed));
        assert_eq!(check("[::ffff:127.0.0.9]:999"), Ok(()));
        let to_all = Route { local: Some([255; 4].into()), ..route("127.0.0.1:999") };
        assert_eq!(filter.check(&to_all, Duration::ZERO), Err(Reject::SourceAddress));
    }

    #[test]
    fn a_source_gets_its_burst_and_then_its_rate() {
        let limits = Limits { udp_source_rate_max: 10, ..Limits::default() };
        let mut filter = filter(limits);
        let mut accepted = |peer: &str, now_ms, sent| {
            let now = Duration::from_millis(now_ms);
            (0..sent).filter(|_| filter.check(&route(peer), now).is_ok()).count()
        };
        assert_eq!(accepted("10.0.0.1:999", 1_000, 100), 11);
        assert_eq!(accepted("10.0.0.1:998", 1_500, 100), 5, "the port makes no other source");
        assert_eq!(accepted("[2001:db8::1]:999", 1_500, 100), 11);
        assert_eq!(accepted("[2001:db8::2]:999", 1_500, 100), 0, "one network, one source");
    }

    #[test]
    fn all_sources_together_have_a_rate() {
        let limits = Limits { udp_rate_max: 10, ..Limits::default() };
        let mut filter = filter(limits);
        let now = Duration::from_secs(1);
        let sources = (0..100).map(|source| route(&format!("10.0.0.{source}:999")));
        let results: Vec<_> = sources.map(|route| filter.check(&route, now)).collect();
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 11);
        assert!(results.contains(&Err(Reject::TotalRate)));
    }
}
