//! Peers that take their time. These tests mostly wait, so all of them run at once, whichever is
//! asked for, and each of them reports its own outcome once all are over.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::sync::LazyLock;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::common::frames::{auth, generate, ping};
use crate::common::{Peer, Scratch, Server, pause};

const ROWS: &[(&str, fn())] = &[
    ("half a header", half_a_header),
    ("half a frame", half_a_frame),
    ("byte by byte", byte_by_byte),
    ("no byte", no_byte),
    ("late first frame", late_first_frame),
    ("no token", no_token),
    ("rest", rest),
    ("straddling frames", straddling_frames),
    ("no reading", no_reading),
    ("no end", no_end),
];

static OUTCOMES: LazyLock<BTreeMap<&str, Result<(), String>>> = LazyLock::new(|| {
    let running: Vec<_> = ROWS.iter().map(|(name, row)| (*name, thread::spawn(*row))).collect();
    let outcome = |running: JoinHandle<()>| {
        running.join().map_err(|panic| {
            let literal = panic.downcast_ref::<&str>().copied();
            let text = panic.downcast_ref::<String>().map(String::as_str).or(literal);
            text.unwrap_or("failed").to_owned()
        })
    };
    running.into_iter().map(|(name, running)| (name, outcome(running))).collect()
});

/// Checks the outcome of a row. What it printed went to the test that came first.
fn row(name: &str) {
    if let Err(text) = &OUTCOMES[name] {
        panic!("{name}: {text}");
    }
}

#[test]
fn half_a_header_and_silence_closes_after_the_frame_deadline() {
    row("half a header");
}

fn half_a_header() {
    let server = Server::start(&[]);
    let mut fresh = Peer::connect(server.tcp);
    let mut known = Peer::connect(server.tcp);
    known.ping();
    let start = Instant::now();
    fresh.send(&generate(7, 1)[..9]);
    known.send(&generate(7, 1)[..3]);
    fresh.expect_closed_between(start, 4.0, 9.0);
    known.expect_closed_between(start, 4.0, 9.0);
    Peer::connect(server.tcp).ping();
    server.stop().assert_rejects(&[("frame_timeout", 2)]);
}

#[test]
fn half_a_frame_and_silence_closes_after_the_frame_deadline() {
    row("half a frame");
}

fn half_a_frame() {
    let server = Server::start(&[]);
    let mut peer = Peer::connect(server.tcp);
    let start = Instant::now();
    peer.send(&[&generate(6, 1)[..], &generate(7, 1)[..20]].concat());
    assert_eq!(peer.reply().request_id(), 6);
    peer.expect_closed_between(start, 4.0, 9.0);
    let counters = server.stop();
    counters.assert_rejects(&[("frame_timeout", 1)]);
    assert_eq!(counters.get("ids"), 1);
}

#[test]
fn a_byte_per_second_for_ever_is_closed_by_the_deadline_of_the_whole_frame() {
    row("byte by byte");
}

fn byte_by_byte() {
    let server = Server::start(&[]);
    let peer = Peer::connect(server.tcp);
    peer.stream().set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let start = Instant::now();
    for byte in auth(7, &[b'x'; 300]) {
        let _ = peer.stream().write_all(&[byte]);
        match peer.stream().read(&mut [0; 64]) {
            Ok(0) => break,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
            Err(_) => {}
            Ok(size) => panic!("{size} bytes in reply to a part of a frame"),
        }
        assert!(start.elapsed() < Duration::from_secs(9), "still open");
    }
    assert!(start.elapsed() > Duration::from_secs(4), "closed after {:?}", start.elapsed());
    server.stop().assert_rejects(&[("frame_timeout", 1)]);
}

#[test]
fn no_byte_at_all_closes_after_the_deadline_of_the_first_frame() {
    row("no byte");
}

fn no_byte() {
    let server = Server::start(&[]);
    let start = Instant::now();
    let mut peer = Peer::connect(server.tcp);
    peer.expect_closed_between(start, 9.0, 14.0);
    server.stop().assert_rejects(&[("first_frame_timeout", 1)]);
}

/// The first frame has to be *complete* 10 s after connecting: whoever begins it late gets no more
/// time.
#[test]
fn a_first_frame_begun_late_does_not_extend_its_deadline() {
    row("late first frame");
}

fn late_first_frame() {
    let server = Server::start(&[]);
    let start = Instant::now();
    let mut half = Peer::connect(server.tcp);
    let mut whole = Peer::connect(server.tcp);
    pause(Duration::from_millis(7_500));
    let begun = start.elapsed().as_secs_f64();
    half.send(&generate(7, 1)[..20]);
    whole.ping();
    // Any other frame would have until five seconds after its beginning.
    half.expect_closed_between(start, 9.0, begun + 4.8);
    whole.ping();
    let counters = server.stop();
    assert_eq!(counters.rejects().values().sum::<u64>(), 1, "{counters:?}");
}

/// Whoever shows none may not hold a connection, whatever else it sends.
#[test]
fn no_token_closes_after_the_deadline_of_the_first_frame() {
    row("no token");
}

fn no_token() {
    let scratch = Scratch::new("deadlines-no-token");
    let file = scratch.file("tokens", 0o600, b"token\n");
    let server = Server::start(&["--auth-token-file", &file, "--udp-allow", "none"]);
    let start = Instant::now();
    let mut silent = Peer::connect(server.tcp);
    let mut known = Peer::connect(server.tcp);
    known.ask(&auth(7, b"token"));
    while start.elapsed() < Duration::from_secs(6) {
        silent.ping();
        pause(Duration::from_millis(500));
    }
    silent.expect_closed_between(start, 8.0, 14.0);
    known.generate(1);
    server.stop().assert_rejects(&[("first_frame_timeout", 1)]);
}

#[test]
fn a_connection_that_rests_between_frames_stays_open() {
    row("rest");
}

fn rest() {
    let server = Server::start(&[]);
    let mut peer = Peer::connect(server.tcp);
    peer.ping();
    pause(Duration::from_secs(12));
    peer.generate(1);
    server.stop().assert_rejects(&[]);
}

/// No frame here takes longer than a moment, but each read ends inside one, as the reads of a full
/// pipeline do: the deadline is that of the frame, not of the first one that was ever cut.
#[test]
fn frames_that_straddle_reads_each_have_a_deadline_of_their_own() {
    row("straddling frames");
}

fn straddling_frames() {
    const CUT: usize = 10;
    let server = Server::start(&[]);
    let mut batches = Peer::connect(server.tcp);
    let mut heaps = Peer::connect(server.tcp);
    let start = Instant::now();
    batches.send(&generate(0, 4_096)[..CUT]);
    heaps.send(&ping(0)[..CUT]);
    let mut request_id = 0;
    while start.elapsed() < Duration::from_secs(8) {
        // A batch that takes a turn of its own, and as many frames as one turn answers.
        let [whole, next] = [request_id, request_id + 1].map(|id| generate(id, 4_096));
        batches.send(&[&whole[CUT..], &next[..CUT]].concat());
        let reply = batches.try_reply();
        let reply = reply.unwrap_or_else(|| panic!("closed after {:?}", start.elapsed()));
        assert_eq!(reply.request_id(), request_id);

        let rest = ping(0)[CUT..].to_vec();
        heaps.send(&[rest, ping(0).repeat(63), ping(0)[..CUT].to_vec()].concat());
        for _ in 0..64 {
            let reply = heaps.try_reply();
            assert!(reply.is_some(), "closed after {:?}", start.elapsed());
        }
        request_id += 1;
        pause(Duration::from_millis(100));
    }
    server.stop().assert_rejects(&[]);
}

#[test]
fn a_reader_that_never_reads_costs_little_memory_is_closed_and_holds_up_nobody() {
    row("no reading");
}

fn no_reading() {
    let server = Server::start(&[]);
    let mut other = Peer::connect(server.tcp);
    other.ping();
    let before = server.memory_kib();
    let start = Instant::now();
    let deaf = Peer::deaf(server.tcp);
    let seconds = loop {
        // It may still get a few bytes rid; that is no progress of the server.
        match (&deaf).write(&generate(7, 1)) {
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => break start.elapsed().as_secs_f64(),
        }
        let asked = Instant::now();
        other.ping();
        assert!(asked.elapsed() < Duration::from_secs(7), "held up for {:?}", asked.elapsed());
        let grown = server.memory_kib().saturating_sub(before);
        assert!(grown < 16 * 1_024, "{grown} KiB more");
        assert!(start.elapsed() < Duration::from_secs(30), "never closed");
        pause(Duration::from_millis(20));
    };
    assert!((9.0..25.0).contains(&seconds), "closed after {seconds} s");
    other.generate(1);
    server.stop().assert_rejects(&[("slow_reader", 1)]);
}

#[test]
fn peers_that_never_come_to_an_end_do_not_hold_up_the_shutdown() {
    row("no end");
}

fn no_end() {
    let server = Server::start(&[]);
    let _deaf = Peer::deaf(server.tcp);
    let restless = Peer::restless(server.tcp);
    let start = Instant::now();
    server.signal(Signal::TERM);
    server.wait().assert_clean();
    let seconds = start.elapsed().as_secs_f64();
    assert!((1.0..10.0).contains(&seconds), "stopped after {seconds} s");
    restless.join().unwrap();
}
