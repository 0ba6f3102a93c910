//! A clock that does not fit the record.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use coreflake_protocol::ErrorCode;
use rustix::process::Signal;

use crate::common::frames::generate;
use crate::common::{Server, feed, free_port, pause, until};
use crate::faked;
use crate::state::{State, ask_in_vain, first_id, now_ms};

const DAY_MS: u64 = 24 * 3_600 * 1_000;

/// Gives a command a wall clock of its own; the other clocks are those of the machine.
fn with_clock(command: &mut Command, clock: &str) {
    command.env("LD_PRELOAD", faked::library()).env("FAKETIME", clock);
    command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
}

/// A server that is not ready, and does not get so.
struct Waiting {
    child: Child,
    /// What it says.
    log: PathBuf,
}

impl Waiting {
    fn start(mut command: Command, state: &State) -> Self {
        let log = Path::new(state.path()).with_extension("log");
        let stderr = File::create(&log).unwrap();
        let child = command.stdout(Stdio::null()).stderr(stderr).spawn().unwrap();
        Self { child, log }
    }

    #[track_caller]
    fn assert_runs(&mut self) {
        let ended = self.child.try_wait().unwrap();
        assert!(ended.is_none(), "it does not wait but ends: {ended:?}");
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        faked::forget(self.child.id());
        if thread::panicking() {
            println!("the server said: {}", fs::read_to_string(&self.log).unwrap_or_default());
        }
    }
}

/// Checks that a server on this state and port answers, and issues nothing for a while.
#[track_caller]
fn issues_nothing(command: Command, state: &State, port: u16) {
    let mut waiting = Waiting::start(command, state);
    let mut peer = until("a server that answers", || {
        waiting.assert_runs();
        ask_in_vain(SocketAddr::from(([127, 0, 0, 1], port)))
    });
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_millis(600) {
        peer.ask(&generate(1, 1)).assert_error(ErrorCode::Starting, 1);
        pause(Duration::from_millis(20));
    }
    waiting.assert_runs();
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
    let begin = Instant::now();
    let bound_ms = now_ms() + 2_500;
    state.craft(|record| record.bound_ms = bound_ms);
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
    let command = Server::command(&["--state-dir", state.path(), "--listen", &listen]);
    issues_nothing(command, &state, port);
    assert_eq!(state.bound_ms(), bound_ms);
}

#[test]
fn a_clock_that_goes_back_with_a_kill_issues_nothing() {
    let state = State::new("back").with_record();
    let server = state.start(&["--window-ms", "300"]);
    first_id(&server);
    server.signal(Signal::KILL);
    let _ = server.wait();
    // Younger than that, the clock would be before the slot was made.
    state.craft(|record| record.created_ms -= DAY_MS);
    let bound_ms = state.bound_ms();
    let port = free_port();
    let listen = format!("127.0.0.1:{port}");
    let mut command = Server::command(&["--state-dir", state.path(), "--listen", &listen]);
    with_clock(&mut command, "-30s");
    issues_nothing(command, &state, port);
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
