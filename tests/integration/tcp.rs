//! What may come over a TCP connection, row by row: frames good and bad, alone and in heaps.

use std::io::Write;
use std::time::{Duration, Instant};

use coreflake_protocol::{ErrorCode, Response};

use crate::common::frames::{self, generate, ping, with};
use crate::common::{Peer, Server, pause};

#[test]
fn length_below_the_header_or_above_the_limit_is_a_frame_size_error_and_closes() {
    let server = Server::start(&[]);
    let lengths = [0, 1, 11, 1_021, 8_192, 1 << 24, 0x7fff_ffff, u32::MAX];
    for length in lengths {
        let mut peer = Peer::connect(server.tcp);
        let mut request = ping(7);
        request[..4].copy_from_slice(&u32::to_be_bytes(length));
        peer.send(&request);
        peer.expect_error(ErrorCode::FrameSize, 0);
        peer.expect_closed();
    }
    Peer::connect(server.tcp).ping();
    server.stop().assert_rejects(&[("frame_size", lengths.len() as u64)]);
}

#[test]
fn length_bomb_is_answered_at_once_and_makes_no_room() {
    let server = Server::start(&[]);
    Peer::connect(server.tcp).ping();
    let before = server.memory_kib();
    for _ in 0..50 {
        let mut peer = Peer::connect(server.tcp);
        let start = Instant::now();
        peer.send(&u32::MAX.to_be_bytes());
        peer.expect_error(ErrorCode::FrameSize, 0);
        // For what does not come, the server waits five seconds.
        assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    }
    let grown = server.memory_kib().saturating_sub(before);
    assert!(grown < 16 * 1_024, "{grown} KiB more");
    server.stop().assert_rejects(&[("frame_size", 50)]);
}

#[test]
fn http_tls_and_ssh_are_closed_without_a_byte() {
    let server = Server::start(&[]);
    let foreign: [&[u8]; 5] = [
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST /v1/ids HTTP/1.1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ];
    for start in foreign {
        let mut peer = Peer::connect(server.tcp);
        peer.send(start);
        peer.expect_closed();
    }
    // More than one read of it.
    let mut peer = Peer::connect(server.tcp);
    let _ = peer.stream().write_all(&b"GET / HTTP/1.1\r\n".repeat(10_000));
    peer.expect_closed();
    server.stop().assert_rejects(&[("foreign_protocol", 5), ("tls_on_plain_port", 1)]);
}

#[test]
fn what_speaks_the_protocol_and_then_another_one_is_told() {
    let server = Server::start(&[]);
    let mut peer = Peer::connect(server.tcp);
    peer.ping();
    peer.send(b"GET / HTTP/1.1\r\n\r\n");
    peer.expect_error(ErrorCode::FrameSize, 0);
    peer.expect_closed();
    server.stop().assert_rejects(&[("frame_size", 1)]);
}

#[test]
fn unknown_version_is_told_the_known_one_and_closes() {
    let server = Server::start(&[]);
    for version in [0, 2, 255] {
        let mut peer = Peer::connect(server.tcp);
        let reply = peer.ask(&with(generate(7, 1), 4, version));
        reply.assert_error(ErrorCode::UnsupportedVersion, 7);
        let text = String::from_utf8(reply.error().unwrap().text.to_vec()).unwrap();
        assert!(text.contains('1'), "{text}");
        peer.expect_closed();
    }
    server.stop().assert_rejects(&[("unsupported_version", 3)]);
}

#[test]
fn unknown_operation_kind_and_reserved_bits_keep_the_connection() {
    let server = Server::start(&[]);
    let mut peer = Peer::connect(server.tcp);
    let mut expect = |request: Vec<u8>, code| {
        peer.ask(&request).assert_error(code, 7);
        peer.ping();
    };
    for opcode in [0x00, 0x07, 0x7f] {
        expect(with(ping(7), 5, opcode), ErrorCode::UnknownOpcode);
    }
    for kind in [0, 6, 255] {
        expect(with(generate(7, 1), 16, kind), ErrorCode::UnknownKind);
        expect(with(frames::parse(7, 1), 16, kind), ErrorCode::UnknownKind);
    }
    for at in [6, 7, 17, 18, 19, 24, 25, 26, 27] {
        expect(with(generate(7, 1), at, 1), ErrorCode::ReservedBits);
    }
    for at in 17..24 {
        expect(with(frames::parse(7, 1), at, 0x80), ErrorCode::ReservedBits);
    }
    for id in [1 << 63, u64::MAX] {
        expect(frames::parse(7, id), ErrorCode::InvalidId);
    }
    server.stop().assert_rejects(&[
        ("unknown_opcode", 3),
        ("unknown_kind", 6),
        ("reserved_bits", 16),
        ("invalid_id", 2),
    ]);
}

#[test]
fn a_hundred_errors_close() {
    let server = Server::start(&[]);
    let mut peer = Peer::connect(server.tcp);
    for _ in 0..99 {
        peer.ask(&generate(7, 0)).assert_error(ErrorCode::InvalidCount, 7);
    }
    peer.ping();
    peer.ask(&generate(8, 0)).assert_error(ErrorCode::InvalidCount, 8);
    peer.expect_closed();

    // All at once, and what comes behind the hundredth is not looked at.
    let mut peer = Peer::connect(server.tcp);
    peer.send(&[generate(7, 0).repeat(100), generate(8, 1)].concat());
    for _ in 0..100 {
        peer.expect_error(ErrorCode::InvalidCount, 7);
    }
    peer.expect_closed();
    let counters = server.stop();
    counters.assert_rejects(&[("invalid_count", 200), ("too_many_errors", 2)]);
    assert_eq!(counters.get("ids"), 0);
}

#[test]
fn count_of_zero_or_above_the_limit_is_refused_before_any_multiplication() {
    let server = Server::start(&[]);
    let mut peer = Peer::connect(server.tcp);
    // The last ones overflow 32 bits when multiplied by the size of an ID or of a run.
    let counts = [0, 4_097, 10_000, 0x2000_0000, 0x2000_0001, 0x1555_5556, u32::MAX];
    for count in counts {
        peer.ask(&generate(7, count)).assert_error(ErrorCode::InvalidCount, 7);
    }
    assert_eq!(frames::id_count(&peer.generate(4_096)), 4_096);
    assert_eq!(frames::id_count(&peer.generate(1)), 1);
    let counters = server.stop();
    counters.assert_rejects(&[("invalid_count", counts.len() as u64)]);
    assert_eq!(counters.get("ids"), 4_097);
}

#[test]
fn trailing_bytes_in_a_frame_are_refused_and_the_next_frame_is_found() {
    let server = Server::start(&[]);
    let mut peer = Peer::connect(server.tcp);
    let long = frames::frame(frames::PING, 1, b"x");
    let longest = frames::frame(frames::INFO, 2, &[0; 1_008]);
    let short = frames::frame(frames::GENERATE, 3, &[1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]);
    peer.send(&[long, longest, short, ping(4)].concat());
    for request_id in 1..=3 {
        peer.expect_error(ErrorCode::PayloadSize, request_id);
    }
    assert_eq!(peer.reply().request_id(), 4);
    server.stop().assert_rejects(&[("payload_size", 3)]);
}

#[test]
fn response_as_request_is_an_error_and_closes() {
    let server = Server::start(&[]);
    for opcode in [0x81, 0x85, 0x80, 0xff] {
        let mut peer = Peer::connect(server.tcp);
        peer.send(&[with(generate(7, 1), 5, opcode), ping(8)].concat());
        peer.expect_error(ErrorCode::UnexpectedResponse, 7);
        peer.expect_closed();
    }
    server.stop().assert_rejects(&[("unexpected_response", 4)]);
}

#[test]
fn two_frames_in_one_segment_and_one_frame_in_three() {
    let server = Server::start(&[]);
    let mut peer = Peer::connect(server.tcp);
    peer.send(&[ping(1), generate(2, 3)].concat());
    assert_eq!(peer.reply().request_id(), 1);
    assert_eq!(frames::id_count(&peer.reply().runs()), 3);
    // Inside the length, inside the header, inside the payload.
    for cuts in [[2, 10], [4, 16], [7, 20]] {
        let request = generate(3, 5);
        for part in [&request[..cuts[0]], &request[cuts[0]..cuts[1]], &request[cuts[1]..]] {
            peer.send(part);
            pause(Duration::from_millis(30));
        }
        assert_eq!(frames::id_count(&peer.reply().runs()), 5);
    }
    server.stop().assert_rejects(&[]);
}

#[test]
fn replies_before_an_error_come_first_and_nothing_comes_behind_it() {
    let server = Server::start(&[]);
    let mut peer = Peer::connect(server.tcp);
    let bad = with(ping(3), 4, 9);
    peer.send(&[ping(1), generate(2, 4_096), bad, generate(4, 1)].concat());
    assert_eq!(peer.reply().response(), Response::Ping);
    assert_eq!(frames::id_count(&peer.reply().runs()), 4_096);
    peer.expect_error(ErrorCode::UnsupportedVersion, 3);
    peer.expect_closed();
    assert_eq!(server.stop().get("ids"), 4_096);
}

#[test]
fn ten_thousand_pipelined_requests_are_answered_in_order() {
    const REQUESTS: u64 = 10_000;
    let server = Server::start(&[]);
    let mut peer = Peer::connect(server.tcp);
    let mut writer = peer.stream().try_clone().unwrap();
    let requests: Vec<u8> = (1..=REQUESTS).flat_map(|id| generate(id, 1)).collect();
    let writing = std::thread::spawn(move || writer.write_all(&requests).unwrap());
    let mut last = 0;
    for request_id in 1..=REQUESTS {
        let reply = peer.reply();
        assert_eq!(reply.request_id(), request_id);
        let runs = reply.runs();
        assert_eq!(frames::id_count(&runs), 1);
        last = frames::assert_ascending(last, &runs);
    }
    writing.join().unwrap();
    let counters = server.stop();
    assert_eq!((counters.get("ids"), counters.get("frames")), (REQUESTS, REQUESTS));
    counters.assert_rejects(&[]);
}
