//! What may come in a datagram, row by row, and how much comes back.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use coreflake_protocol::frame::{DATAGRAM_SIZE_MAX, HEADER_SIZE};
use coreflake_protocol::{ErrorCode, Kind, Response};
use quinn_udp::{Transmit, UdpSockRef, UdpSocketState};

use crate::common::frames::{self, generate, info, padded, ping, with};
use crate::common::{Datagrams, Server};

/// Sends what must not be answered to a fresh server; gives what it counted.
#[track_caller]
fn dropped(datagrams: &[Vec<u8>], expected: &[(&str, u64)]) {
    let server = Server::start(&[]);
    let mut peer = Datagrams::connect(server.udp());
    for datagram in datagrams {
        peer.expect_silence(datagram);
    }
    let counters = server.stop();
    counters.assert_rejects(expected);
    assert_eq!(counters.get("ids"), 0);
    // Behind each one came a PING.
    assert_eq!(counters.get("datagrams"), 2 * datagrams.len() as u64);
}

#[test]
fn empty_short_and_long_datagrams_are_dropped() {
    let sizes = [0, 1, 2, 3, 4, 12, 15, 1_201, 1_400, 9_000, 65_507];
    let datagrams: Vec<_> = sizes.map(|size| padded(ping(7), size)).to_vec();
    dropped(&datagrams, &[("datagram_size", sizes.len() as u64)]);
}

#[test]
fn a_length_that_does_not_fit_the_datagram_is_dropped() {
    let longer = with(ping(7), 3, 13);
    let cut = generate(7, 1)[..27].to_vec();
    dropped(&[longer, cut], &[("datagram_size", 2)]);

    let mut bomb = padded(ping(7), 100);
    bomb[..4].copy_from_slice(&u32::MAX.to_be_bytes());
    let lengths = [with(ping(7), 3, 0), with(ping(7), 3, 11), bomb];
    dropped(&lengths, &[("frame_size", 3)]);
    // GENERATE in a frame without a payload, and the payload behind it.
    let shorter = with(generate(7, 1), 3, 12);
    dropped(&[shorter], &[("datagram_padding", 1)]);
}

#[test]
fn unknown_version_is_dropped() {
    let versions = [0, 2, 255].map(|version| with(generate(7, 1), 4, version));
    dropped(&versions, &[("unsupported_version", 3)]);
}

#[test]
fn unknown_operation_is_dropped() {
    let opcodes = [0x00, 0x07, 0x7f].map(|opcode| with(ping(7), 5, opcode));
    dropped(&opcodes, &[("unknown_opcode", 3)]);
}

#[test]
fn flags_and_reserved_bytes_are_dropped() {
    let flags = [6, 7].map(|at| with(generate(7, 1), at, 1));
    let reserved = [17, 18, 19, 24, 27].map(|at| with(generate(7, 1), at, 1));
    dropped(&[&flags[..], &reserved].concat(), &[("reserved_bits", 7)]);
}

#[test]
fn a_response_is_dropped() {
    let opcodes = [0x81, 0x84, 0x85, 0xff].map(|opcode| with(ping(7), 5, opcode));
    dropped(&opcodes, &[("unexpected_response", 4)]);
}

#[test]
fn auth_is_dropped() {
    dropped(&[frames::auth(7, b"token")], &[("datagram_operation", 1)]);
}

#[test]
fn padding_that_is_not_zero_is_dropped() {
    let last = with(padded(generate(7, 1), 1_200), 1_199, 1);
    let first = with(padded(ping(7), 17), 16, 0x80);
    let two = [ping(7), ping(8)].concat();
    dropped(&[last, first, two], &[("datagram_padding", 3)]);
}

#[test]
fn a_wrong_payload_size_is_dropped() {
    let short = frames::frame(frames::GENERATE, 7, &[1, 0, 0, 0, 0, 0, 0, 1]);
    let long = frames::frame(frames::PING, 7, b"x");
    dropped(&[short, long], &[("payload_size", 2)]);
}

#[test]
fn unknown_kind_count_and_id_are_answered_with_an_error_that_fits() {
    let server = Server::start(&[]);
    let peer = Datagrams::connect(server.udp());
    let bad = [
        (with(generate(7, 1), 16, 6), ErrorCode::UnknownKind),
        (with(frames::parse(7, 1), 16, 0), ErrorCode::UnknownKind),
        (generate(7, 0), ErrorCode::InvalidCount),
        (generate(7, u32::MAX), ErrorCode::InvalidCount),
        (frames::parse(7, 1 << 63), ErrorCode::InvalidId),
    ];
    for (request, code) in &bad {
        for size in [request.len(), 60, 1_200] {
            peer.ask(&padded(request.clone(), size)).assert_error(*code, 7);
        }
    }
    server.stop().assert_rejects(&[("invalid_count", 6), ("invalid_id", 3), ("unknown_kind", 6)]);
}

#[test]
fn generate_is_answered_with_as_many_runs_as_the_request_has_room_for() {
    let server = Server::start(&["--shards", "2"]);
    let peer = Datagrams::connect(server.udp());
    let unpadded = peer.ask(&generate(7, 100)).runs();
    assert_eq!((unpadded.len(), frames::id_count(&unpadded)), (1, 100), "a run of any length");
    let mut most = 0;
    for request_id in 0..50 {
        let reply = peer.ask(&padded(generate(request_id, 4_096), 1_200));
        assert_eq!(reply.request_id(), request_id);
        most = most.max(frames::id_count(&reply.runs()));
    }
    assert!(most > 1_024, "never more than a home: {most}");
    server.stop().assert_rejects(&[]);
}

#[test]
fn a_reply_that_does_not_fit_gives_way_to_an_error_and_that_to_silence() {
    let server = Server::start(&[]);
    let mut peer = Datagrams::connect(server.udp());
    let health = frames::frame(frames::HEALTH, 7, &[]);
    for (request, size_min) in [(info(7), 112), (health, 80)] {
        for size in [24, 25, 40, size_min - 1] {
            peer.ask(&padded(request.clone(), size)).assert_error(ErrorCode::ReplyTooLarge, 7);
        }
        for size in [size_min, 1_200] {
            assert!(peer.ask(&padded(request.clone(), size)).error().is_none());
        }
    }
    assert_eq!(peer.ask(&ping(7)).bytes.len(), HEADER_SIZE);
    assert!(matches!(peer.ask(&frames::parse(7, 1)).response(), Response::Parse(_)));
    assert!(peer.settle().is_empty());
    // A request as short as may be has room for a run, and not for an ID of 128 bits.
    for kind in [Kind::Uuid1, Kind::Ulid, Kind::Uuid7] {
        let short = frames::generate_of(kind, 7, 1);
        peer.ask(&short).assert_error(ErrorCode::ReplyTooLarge, 7);
        let long = peer.ask(&padded(short, 32));
        let Response::Generate(ids) = long.response() else { panic!("{long:?}") };
        assert_eq!((ids.wide(kind).unwrap().id_count(), long.bytes.len()), (1, 32));
    }
    server.stop().assert_rejects(&[("reply_too_large", 11)]);
}

/// One datagram, one reason.
#[test]
fn a_reply_that_does_not_even_fit_as_an_error_is_counted_once() {
    let server = Server::start(&[]);
    let mut peer = Datagrams::connect(server.udp());
    for size in [16, 20, 23] {
        peer.expect_silence(&padded(info(7), size));
    }
    server.stop().assert_rejects(&[("reply_too_large", 3)]);
}

#[test]
fn the_same_datagram_twice_gets_two_answers_with_different_ids() {
    let server = Server::start(&[]);
    let mut peer = Datagrams::connect(server.udp());
    let request = padded(generate(7, 10), 136);
    peer.send(&request);
    peer.send(&request);
    let mut replies = peer.settle();
    while replies.len() < 2 {
        replies.push(peer.reply());
    }
    assert!(replies.iter().all(|reply| reply.request_id() == 7));
    let runs: Vec<_> = replies.iter().flat_map(|reply| reply.runs()).collect();
    frames::assert_ascending(0, &runs);
    server.stop().assert_rejects(&[]);
}

#[test]
fn whoever_finds_no_sequence_space_is_answered_later_and_not_dropped() {
    const REQUESTS: u64 = 2_000;
    // The most IDs that the requests of one source may wait for: 16 ticks' worth.
    const AHEAD: u64 = 16;
    let server = Server::start(&[]);
    let peer = Datagrams::connect(server.udp());
    let request = |id| padded(generate(id, 4_096), 1_200);
    (0..AHEAD).for_each(|id| peer.send(&request(id)));
    let mut runs = Vec::new();
    for answered in 0..REQUESTS {
        let reply = peer.reply();
        assert_eq!(reply.request_id(), answered, "who came first is served first");
        runs.extend(reply.runs());
        if answered + AHEAD < REQUESTS {
            peer.send(&request(answered + AHEAD));
        }
    }
    frames::assert_ascending(0, &runs);
    let counters = server.stop();
    assert!(counters.get("waits") > 100, "nobody had to wait: {counters:?}");
    counters.assert_rejects(&[]);
}

#[test]
fn too_many_that_wait_are_told_to_come_again_and_leave_room_for_others() {
    const REQUESTS: u64 = 100;
    let server = Server::start(&[]);
    let greedy = Datagrams::connect(server.udp());
    (0..REQUESTS).for_each(|id| greedy.send(&padded(generate(id, 4_096), 1_200)));
    let source = "127.0.0.2:0".parse().unwrap();
    let modest = Datagrams::connect_from(source, server.udp()).unwrap();
    assert_eq!(modest.ask(&generate(7, 1)).runs().len(), 1);
    let (mut nonces, mut refused, mut runs) = (BTreeSet::new(), 0, Vec::new());
    for _ in 0..REQUESTS {
        let reply = greedy.reply();
        assert!(nonces.insert(reply.request_id()), "answered twice");
        match reply.error() {
            Some(error) => {
                reply.assert_error(ErrorCode::Overloaded, reply.request_id());
                assert!(error.retry_after_ms > 0, "{error:?}");
                refused += 1;
            }
            None => runs.extend(reply.runs()),
        }
    }
    frames::assert_ascending(0, &runs);
    assert!((1..REQUESTS - 16).contains(&refused), "{refused} refused");
    server.stop().assert_rejects(&[("overloaded", refused)]);
}

/// Datagrams that left the peer in one piece come in one piece, and are still many.
#[test]
fn datagrams_that_travel_as_one_are_each_answered() {
    let server = Server::start(&[]);
    let peer = Datagrams::connect(server.udp());
    let state = UdpSocketState::new(UdpSockRef::from(peer.socket())).unwrap();
    peer.socket().set_nonblocking(false).unwrap();
    // The last one is cut: it may be shorter than the others.
    let contents = [(0..10).flat_map(ping).collect(), ping(10)[..15].to_vec()].concat();
    let segment_size = Some(HEADER_SIZE);
    let transmit = Transmit {
        destination: server.udp(),
        ecn: None,
        contents: &contents,
        segment_size,
        src_ip: None,
    };
    if state.max_gso_segments() < 11 {
        return;
    }
    state.try_send(UdpSockRef::from(peer.socket()), &transmit).unwrap();
    // The replies may come in one piece, too.
    let mut nonces = BTreeSet::new();
    while nonces.len() < 10 {
        let mut bytes = peer.reply().bytes;
        while let Some(reply) = frames::Reply::take(&mut bytes) {
            assert_eq!(reply.response(), Response::Ping);
            nonces.insert(reply.request_id());
        }
    }
    assert_eq!(nonces, (0..10).collect());
    server.stop().assert_rejects(&[("datagram_size", 1)]);
}

/// The kernel tells the server that nobody is there any more. It is no reason to stop.
#[test]
fn peers_that_are_gone_before_the_answer_harm_nobody() {
    let server = Server::start(&[]);
    for _ in 0..4 {
        for _ in 0..50 {
            let peer = Datagrams::connect(server.udp());
            peer.send(&padded(generate(7, 10), 1_200));
            peer.send(&ping(8));
        }
        // The kernel does not keep all of them for a server that is late.
        Datagrams::connect(server.udp()).settle();
    }
    server.stop().assert_rejects(&[]);
}

/// A request of any operation, right or slightly wrong, or noise.
fn any_datagram(random: &mut fastrand::Rng) -> Vec<u8> {
    let nonce = random.u64(..);
    let request = match random.u8(..8) {
        0 => generate(nonce, 1),
        1 => generate(nonce, random.u32(..6_000)),
        2 => frames::parse(nonce, random.u64(..)),
        3 => frames::frame(frames::HEALTH, nonce, &[]),
        4 => info(nonce),
        5 => ping(nonce),
        6 => frames::auth(nonce, b"token"),
        _ => (0..random.usize(..DATAGRAM_SIZE_MAX + 10)).map(|_| random.u8(..)).collect(),
    };
    let size = request.len() + if random.bool() { random.usize(..200) } else { 0 };
    let mut datagram = padded(request, size);
    if random.u8(..4) == 0 && !datagram.is_empty() {
        let at = random.usize(..datagram.len());
        datagram[at] ^= 1 << random.u8(..8);
    }
    if random.u8(..8) == 0 {
        datagram.truncate(random.usize(..=datagram.len()));
    }
    datagram
}

#[test]
fn no_reply_is_longer_than_its_request_whatever_is_sent() {
    const DATAGRAMS: usize = 20_000;
    const BATCH: usize = 50;
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let server = Server::start(&[]);
    let mut peer = Datagrams::connect(server.udp());
    let mut sizes: BTreeMap<u64, usize> = BTreeMap::new();
    let (mut bytes_in, mut bytes_out, mut answered) = (0, 0, 0);
    for _ in 0..DATAGRAMS / BATCH {
        for _ in 0..BATCH {
            let datagram = any_datagram(&mut random);
            bytes_in += datagram.len();
            peer.send(&datagram);
            if let Some(nonce) = datagram.get(8..HEADER_SIZE) {
                let nonce = u64::from_be_bytes(nonce.try_into().unwrap());
                let size = sizes.entry(nonce).or_default();
                *size = datagram.len().max(*size);
            }
        }
        for reply in peer.settle() {
            reply.response();
            answered += 1;
            bytes_out += reply.bytes.len();
            let size = sizes.get(&reply.request_id()).expect("an answer to something asked");
            assert!(reply.bytes.len() <= *size, "{size} bytes asked for {reply:?}");
        }
    }
    while let Some(reply) = peer.try_reply(Duration::from_millis(200)) {
        assert!(reply.bytes.len() <= sizes[&reply.request_id()]);
    }
    assert!(bytes_out <= bytes_in, "{bytes_out} bytes out, {bytes_in} in");
    assert!(answered > DATAGRAMS / 4, "{answered} answered");
    server.stop();
}
