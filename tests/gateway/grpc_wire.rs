//! What comes to the gRPC port and is no gRPC, and HTTP/2 that is meant to hurt.

use std::thread;
use std::time::Instant;

use crate::channel::{assert_serves, run};
use crate::common::{Server, frames as binary};
use crate::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, FRAME_SIZE_ERROR, Frames,
    GOAWAY, HEADERS, PING, REFUSED_STREAM, RST_STREAM, fields, frame, reset,
};
use crate::http::{Http, request};

/// A server that has to survive `row`: behind it a call is answered, and it ends well.
#[track_caller]
fn survives(row: impl FnOnce(&Server)) {
    let server = Server::start(&[]);
    row(&server);
    run(assert_serves(&server));
    server.stop();
}

/// Checks that a connection was ended for too much of something.
#[track_caller]
fn assert_calmed(frames: &mut Frames) {
    let seen = frames.until(|_| false);
    let said = seen.iter().filter(|frame| frame.kind == GOAWAY).filter_map(|frame| frame.code());
    let said: Vec<_> = said.collect();
    assert!(said.is_empty() || said.contains(&ENHANCE_YOUR_CALM), "{said:?}");
    println!("ended: {said:?} behind {} frames", seen.len());
}

#[test]
fn what_is_no_http_2_is_closed_and_others_are_served() {
    survives(|server| {
        let mut hello = b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03".to_vec();
        hello.extend_from_slice(&[0x55; 155]);
        let random: Vec<_> = std::iter::repeat_with(|| fastrand::u8(128..)).take(4_096).collect();
        let mut wrong_preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\r".to_vec();
        wrong_preface.extend(frame(PING, 0, 0, &[0; 8]));
        for bytes in [
            &request("GET", "/api/v1/id", "")[..],
            &hello,
            &random,
            &wrong_preface,
            &binary::generate(1, 1),
            &[0; 64],
        ] {
            for _ in 0..5 {
                let mut http = Http::connect(server.grpc());
                http.send_some(bytes);
                // HTTP/2 says goodbye with frames.
                while http.read_some() {}
            }
            run(assert_serves(server));
        }
    });
}

#[test]
fn a_connection_that_opens_nothing_is_closed() {
    survives(|server| {
        let address = server.grpc();
        thread::scope(|scope| {
            for begin in [&b""[..], b"PRI * HT", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
                scope.spawn(move || {
                    let start = Instant::now();
                    let mut http = Http::connect(address);
                    http.send(begin);
                    while http.read_some() {}
                    let seconds = start.elapsed().as_secs_f64();
                    // Over REST it would be ten.
                    assert!((4.9..9.5).contains(&seconds), "closed after {seconds} s");
                });
            }
        });
    });
}

/// CVE-2023-44487.
#[test]
fn a_flood_of_calls_that_are_reset_ends_the_connection() {
    survives(|server| {
        let mut frames = Frames::open(server.grpc());
        let mut flood = Vec::new();
        for number in 0..1_000 {
            let stream = 2 * number + 1;
            flood.extend(frame(HEADERS, END_HEADERS, stream, &fields()));
            flood.extend(reset(stream));
        }
        frames.send(&flood);
        assert_calmed(&mut frames);
    });
}

/// RUSTSEC-2024-0332.
#[test]
fn headers_without_end_end_the_connection() {
    survives(|server| {
        let mut frames = Frames::open(server.grpc());
        frames.send(&frame(HEADERS, 0, 1, &fields()));
        let before = server.memory_kib();
        // Each one a field that is not there yet: "x" and 100 bytes.
        let more = [&[0, 1, b'x', 100][..], &[b'a'; 100]].concat().repeat(100);
        let more = frame(CONTINUATION, 0, 1, &more);
        let sent = (0..10_000).take_while(|_| frames.send(&more)).count();
        assert!(sent < 10_000, "100 MB of header fields were taken");
        let grown = server.memory_kib().saturating_sub(before);
        assert!(grown < 8 * 1_024, "{grown} KiB");
        assert_calmed(&mut frames);
    });
}

#[test]
fn a_hundred_and_twenty_eight_calls_are_open_at_once_and_no_more() {
    survives(|server| {
        let mut frames = Frames::open(server.grpc());
        let calls: Vec<_> = (0..200)
            .flat_map(|number| frame(HEADERS, END_HEADERS, 2 * number + 1, &fields()))
            .collect();
        frames.send(&calls);
        // The reply to this comes behind those to all of them.
        frames.send(&frame(PING, 0, 0, b"are you?"));
        let is_answer = |payload: &[u8]| payload == b"are you?";
        let seen = frames.until(|frame| frame.kind == PING && is_answer(&frame.payload));
        let refused: Vec<_> = seen.iter().filter(|frame| frame.kind == RST_STREAM).collect();
        println!("{} of 200 calls were refused", refused.len());
        for frame in &refused {
            assert_eq!(frame.code(), Some(REFUSED_STREAM), "{frame:?}");
            assert!(frame.stream > 2 * 128, "{frame:?}");
        }
        // Those that were not are still answered.
        frames.send(&frame(DATA, END_STREAM, 1, &[0; 5]));
        let seen = frames.until(|frame| frame.kind == HEADERS && frame.stream == 1);
        assert_eq!(seen.last().map(|frame| (frame.kind, frame.stream)), Some((HEADERS, 1)));
    });
}

#[test]
fn a_frame_that_is_too_long_ends_the_connection() {
    survives(|server| {
        for (kind, stream) in [(DATA, 1), (HEADERS, 1), (PING, 0), (0xee, 0)] {
            let mut frames = Frames::open(server.grpc());
            frames.send(&frame(kind, 0, stream, &[0; 16 * 1_024 + 1]));
            let seen = frames.until(|_| false);
            let said = seen.last().and_then(|frame| frame.code());
            assert_eq!(said, Some(FRAME_SIZE_ERROR), "kind {kind}: {seen:?}");
        }
    });
}

/// The deadline counts from the head of a call, whether or not its message comes.
#[test]
fn a_call_whose_message_does_not_come_is_ended() {
    survives(|server| {
        let mut frames = Frames::open(server.grpc());
        let start = Instant::now();
        // The stream stays open.
        frames.send(&frame(HEADERS, END_HEADERS, 1, &fields()));
        let got = frames.until(|frame| frame.kind == HEADERS && frame.stream == 1);
        assert!(got.iter().any(|frame| frame.kind == HEADERS), "{got:?}");
        let seconds = start.elapsed().as_secs_f64();
        assert!((4.9..9.5).contains(&seconds), "after {seconds} s");
    });
}
