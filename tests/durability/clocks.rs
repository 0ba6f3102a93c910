//! A clock that does not fit the record.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use coreflake_protocol::ErrorCode;
use rustix::process::Signal;

use crate::common::frames::generate;
use crate::common::{Peer, Server, feed, free_port, pause, until};
use crate::state::{State, now_ms};

const DAY_MS: u64 = 24 * 3_600 * 1_000;

/// Gives a command a wall clock of its own; the other clocks are those of the machine.
fn with_clock(command: &mut Command, clock: &str) {
    let library = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";
    let library = std::env::var("FAKETIME_LIBRARY").unwrap_or_else(|_| library.to_owned());
    assert!(Path::new(&library).exists(), "{library} is missing: see scripts/setup.sh");
    command.env("LD_PRELOAD", library).env("FAKETIME", clock);
    command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
}

/// A server that is not ready, and does not get so.
struct Waiting(Child);

impl Drop for Waiting {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Checks that a server on this port answers, and issues nothing for a while.
#[track_caller]
fn issues_nothing(mut command: Command, port: u16) {
    let quiet = command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut waiting = Waiting(quiet.spawn().unwrap());
    let address = format!("127.0.0.1:{port}").parse().unwrap();
    until("a listener", || {
        assert!(waiting.0.try_wait().unwrap().is_none(), "it does not wait but ends");
        std::net::TcpStream::connect(address).ok()
    });
    let mut peer = Peer::connect(address);
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_millis(600) {
        peer.ask(&generate(1, 1)).assert_error(ErrorCode::Starting, 1);
        pause(Duration::from_millis(20));
    }
    assert!(waiting.0.try_wait().unwrap().is_none(), "it waits");
}

#[test]
fn a_clock_long_after_the_last_use_has_to_be_accepted() {
    let state = State::new("rested").with_record();
    state.craft(|record| {
        record.created_ms -= 50 * DAY_MS;
        record.written_ms -= 40 * DAY_MS;
        record.bound_ms -= 40 * DAY_MS;
    });
    let bound_ms = state.bound_ms();
    state.refuses(&[], &["more than 30 days", "--accept-clock"]);
    // To have refused is not to have used.
    state.refuses(&[], &["--accept-clock"]);
    state.serves_above(bound_ms, &["--accept-clock"]);
    state.serves_above(bound_ms, &[]);
}

#[test]
fn a_clock_before_the_slot_was_made_is_refused() {
    let state = State::new("unmade").with_record();
    state.craft(|record| record.created_ms = now_ms() + DAY_MS);
    state.refuses(&[], &["the slot was made at", "set the clock"]);
    // That is no question of courage.
    state.refuses(&["--accept-clock"], &["the slot was made at"]);
}

#[test]
fn a_bound_ahead_of_the_clock_is_waited_for() {
    let state = State::new("ahead").with_record();
    let bound_ms = now_ms() + 2_500;
    state.craft(|record| record.bound_ms = bound_ms);
    let begin = Instant::now();
    state.serves_above(bound_ms, &[]);
    let waited = begin.elapsed();
    assert!(waited > Duration::from_millis(1_400), "after {waited:?}: more than a second ahead");
}

#[test]
fn a_bound_far_ahead_of_the_clock_issues_nothing() {
    let state = State::new("far-ahead").with_record();
    state.craft(|record| {
        record.bound_ms += DAY_MS / 24;
        record.written_ms += DAY_MS / 24;
    });
    let bound_ms = state.bound_ms();
    let port = free_port();
    let listen = format!("127.0.0.1:{port}");
    issues_nothing(Server::command(&["--state-dir", state.path(), "--listen", &listen]), port);
    assert_eq!(state.bound_ms(), bound_ms);
}

#[test]
fn a_clock_that_goes_back_with_a_kill_issues_nothing() {
    let state = State::new("back").with_record();
    let server = state.start(&["--window-ms", "300"]);
    Peer::connect(server.tcp).generate(100);
    server.signal(Signal::KILL);
    let _ = server.wait();
    // Younger than that, the clock would be before the slot was made.
    state.craft(|record| record.created_ms -= DAY_MS);
    let bound_ms = state.bound_ms();
    let port = free_port();
    let listen = format!("127.0.0.1:{port}");
    let mut command = Server::command(&["--state-dir", state.path(), "--listen", &listen]);
    with_clock(&mut command, "-30s");
    issues_nothing(command, port);
    assert_eq!(state.bound_ms(), bound_ms, "and reserves nothing");
    state.serves_above(bound_ms, &["--window-ms", "300"]);
}

/// A first start with a clock that cannot be right is refused before it leaves a record: with the
/// clock set right, the slot has to be as new.
#[test]
fn a_first_start_with_a_wrong_clock_leaves_the_slot_as_it_was() {
    for (name, clock) in [("past", "@2022-06-01 00:00:00"), ("future", "@2060-06-01 00:00:00")] {
        let state = State::new(&format!("wrong-{name}"));
        let mut command = Server::command(&["--state-dir", state.path()]);
        with_clock(&mut command, clock);
        feed(&mut command, b"").assert_code(78).assert_says(&["set the clock"]);
        state.serves_above(0, &[]);
    }
}

/// A command that repairs may not make what the next start refuses.
#[test]
fn an_adoption_with_a_wrong_clock_is_refused() {
    let state = State::new("wrong-adopt").with_record();
    state.lose_record();
    let mut command = crate::common::coreflake();
    command.args(["slots", "adopt", "--datacenter-id", "0", "--worker-id", "0", "--state-dir"]);
    with_clock(command.arg(state.path()), "@2060-06-01 00:00:00");
    let finished = feed(&mut command, b"");
    assert_ne!(finished.status.code(), Some(0), "the slot would be of no use until 2060");
    finished.assert_says(&["clock"]);
}
