//! Whose datagrams are answered, and how many of them.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use coreflake_protocol::Response;

use crate::common::frames::{generate, ping};
use crate::common::{Datagrams, PATIENCE, Peer, Server, until};

fn from(source: &str, server: &Server) -> Datagrams {
    Datagrams::connect_from(source.parse().unwrap(), server.udp()).unwrap()
}

/// How many datagrams the server has looked at.
fn looked_at(server: &Server) -> u64 {
    let mut stream = TcpStream::connect_timeout(&server.http(), PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // With HTTP/1.0 the page ends with the connection.
    stream.write_all(b"GET /api/v1/metrics HTTP/1.0\r\nHost: localhost\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    let line = page.lines().find(|line| line.starts_with("coreflake_datagrams_total{")).unwrap();
    line.rsplit_once(' ').unwrap().1.parse().unwrap()
}

/// Sends `count` datagrams as fast as possible and gives how many are answered.
fn flood(peer: &Datagrams, count: u64, server: &Server) -> u64 {
    // So many small ones fit into the buffer that Linux gives a server, however late that is.
    const COUNT_MAX: u64 = 400;
    assert!(count <= COUNT_MAX, "the kernel may lose some");
    let before = looked_at(server);
    (0..count).for_each(|nonce| peer.send(&ping(nonce)));
    until("all datagrams are looked at", || (looked_at(server) >= before + count).then_some(()));
    // When the shard does something else, it has sent the answers to what it has looked at.
    Peer::connect(server.tcp).ping();
    let mut answered = 0;
    while peer.try_reply(Duration::from_millis(1)).is_some() {
        answered += 1;
    }
    answered
}

/// How many datagrams may be answered in this time: a burst, the rate, and what a coarse clock
/// adds.
fn allowed(rate: u64, elapsed: Duration) -> u64 {
    let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap();
    rate + 1 + rate * (elapsed_ms + 200) / 1_000
}

#[test]
fn source_ports_of_services_that_answer_by_themselves_are_dropped() {
    let server = Server::start(&[]);
    let mut tried = 0;
    for port in [7, 13, 17, 19, 53, 69, 123, 161, 389, 1_900, 11_211] {
        let source = SocketAddr::from(([127, 0, 0, 3], port));
        let peer = match Datagrams::connect_from(source, server.udp()) {
            Ok(peer) => peer,
            // Low ports are for the superuser, others may be taken.
            Err(error) if error.kind() == ErrorKind::PermissionDenied => continue,
            Err(error) if error.kind() == ErrorKind::AddrInUse => continue,
            Err(error) => panic!("{error}"),
        };
        peer.send(&ping(7));
        // A PING from here tells nothing: another one, behind it, does.
        from("127.0.0.3:0", &server).settle();
        assert_eq!(peer.try_reply(Duration::from_millis(50)), None, "port {port}");
        tried += 1;
    }
    assert!(tried > 0, "no such port can be had");
    server.stop().assert_rejects(&[("source_port", tried)]);
}

#[test]
fn a_source_outside_the_allowed_networks_is_dropped() {
    let server = Server::start(&["--udp-allow", "127.0.0.1/32,127.0.1.0/24"]);
    let mut known = from("127.0.0.1:0", &server);
    let stranger = from("127.0.0.2:0", &server);
    for _ in 0..3 {
        stranger.send(&generate(7, 1));
        assert!(known.settle().is_empty());
    }
    assert_eq!(stranger.try_reply(Duration::from_millis(100)), None);
    assert_eq!(from("127.0.1.9:0", &server).ask(&ping(7)).response(), Response::Ping);
    // TCP has other means.
    Peer::connect_from([127, 0, 0, 2].into(), server.tcp).generate(1);
    let counters = server.stop();
    counters.assert_rejects(&[("source_not_allowed", 3)]);
    assert_eq!(counters.get("ids"), 1);
}

#[test]
fn a_source_gets_its_burst_and_another_one_is_served() {
    const RATE: u64 = 100;
    const SENT: u64 = 400;
    let server = Server::start(&["--max-udp-source-rate", "100"]);
    let start = Instant::now();
    let answered = flood(&from("127.0.0.1:0", &server), SENT, &server);
    let most = allowed(RATE, start.elapsed());
    assert!((RATE / 2..=most).contains(&answered), "{answered} answered, {most} allowed");
    // Another port is no other source. It may get what has become free meanwhile.
    let again = flood(&from("127.0.0.1:0", &server), SENT, &server);
    let most = allowed(RATE, start.elapsed());
    assert!(answered + again <= most, "{answered} and {again} answered, {most} allowed");
    let another = from("127.0.0.2:0", &server).ask(&ping(7));
    assert_eq!(another.response(), Response::Ping);
    let counters = server.stop();
    counters.assert_rejects(&[("source_rate", 2 * SENT - answered - again)]);
}

#[test]
fn all_sources_together_have_a_limit() {
    const RATE: u64 = 100;
    const SENT: u64 = 400;
    let server = Server::start(&["--max-udp-rate", "100"]);
    let start = Instant::now();
    let [first, second] = ["127.0.0.1:0", "127.0.0.2:0"].map(|source| from(source, &server));
    let answered = flood(&first, SENT, &server) + flood(&second, SENT, &server);
    let allowed = allowed(RATE, start.elapsed());
    assert!((RATE / 2..=allowed).contains(&answered), "{answered} answered, {allowed} allowed");
    // TCP is another door.
    Peer::connect(server.tcp).generate(1);
    server.stop().assert_rejects(&[("total_rate", 2 * SENT - answered)]);
}

#[test]
fn udp_allow_none_switches_udp_off() {
    let server = Server::start(&["--udp-allow", "none"]);
    assert!(!server.ready_line().contains("udp="), "{}", server.ready_line());
    let peer = Datagrams::connect(server.tcp);
    peer.send(&ping(7));
    // The kernel says that nobody is there.
    peer.socket().set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let error = peer.socket().recv(&mut [0; 64]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    Peer::connect(server.tcp).generate(1);
    server.stop().assert_rejects(&[]);
}

#[test]
fn both_doors_speak_ipv6() {
    if std::net::UdpSocket::bind("[::1]:0").is_err() {
        return;
    }
    let server = Server::start(&["--listen", "[::1]:0"]);
    assert!(server.ready_line().starts_with("ready tcp=[::1]:"), "{}", server.ready_line());
    Peer::connect(server.tcp).generate(5);
    assert_eq!(Datagrams::connect(server.udp()).ask(&ping(7)).response(), Response::Ping);
    server.stop().assert_rejects(&[]);
}
