//! How long a start takes until the first ID, after a kill and after a stop. The figures are
//! printed; what is asserted, of the median, would hold on a machine that is ten times as busy.

use std::time::{Duration, Instant};

use coreflake_protocol::ErrorCode;
use fastrand::Rng;
use rustix::process::{Signal, geteuid};

use crate::common::frames::generate;
use crate::common::{Peer, pause};
use crate::faked::first_bound_ms;
use crate::load::Load;
use crate::mount::Mount;
use crate::seed;
use crate::state::{State, first_id, now_ms};

/// Starts and ends servers with the default window; gives the times from start to first ID, but for
/// the first one.
fn starts(name: &str, rounds: u32, signal: Signal) -> Vec<Duration> {
    let mut random = Rng::with_seed(seed(name));
    let state = State::new(name);
    let mut times = Vec::new();
    for _ in 0..=rounds {
        let begin = Instant::now();
        let server = state.start(&["--shards", "2"]);
        Peer::connect(server.tcp).generate(1);
        times.push(begin.elapsed());
        let load = Load::start(&server, &mut random);
        pause(Duration::from_millis(random.u64(50..=1_300)));
        server.signal(signal);
        let _ = server.wait();
        let _ = load.end();
    }
    times.split_off(1)
}

#[track_caller]
fn report(what: &str, mut times: Vec<Duration>, limit: Duration) {
    times.sort_unstable();
    let (median, max) = (times[times.len() / 2], times[times.len() - 1]);
    let starts = times.len();
    println!("FIGURE first ID after {what}: median {median:.1?}, max {max:.1?} ({starts} starts)");
    assert!(median < limit, "{what}: {median:?}");
}

#[test]
fn the_first_id_after_a_kill_comes_soon() {
    let times = starts("start-after-kill", 9, Signal::KILL);
    report("kill -9, window 3,000 ms", times, Duration::from_secs(5));
}

#[test]
fn the_first_id_after_a_stop_comes_at_once() {
    let times = starts("start-after-stop", 9, Signal::TERM);
    // Whoever waits for the rest of a window waits for a second or two.
    report("SIGTERM, window 3,000 ms", times, Duration::from_secs(1));
}

/// Servers that are started until one refuses nothing at all: a window that is not extended in time
/// because the machine was busy is no fault, one that never is would be.
const LIVES_MAX: u32 = 10;

/// Ready means that there is something to give: with a short window, too, when the last one was not
/// given back.
#[test]
fn a_server_that_is_ready_does_not_refuse() {
    // In memory, where it can be: no disk is as slow as others make it.
    let mount = geteuid().is_root().then(|| Mount::tmpfs("ready"));
    for window_ms in [300, 1_000] {
        let name = format!("ready-{window_ms}");
        let state = match &mount {
            Some(mount) => State::inside(&name, &mount.path().join(&name)),
            None => State::new(&name),
        };
        let served = (0..LIVES_MAX).any(|_| refused_behind_ready(&state, window_ms) == 0);
        assert!(served, "no server out of {LIVES_MAX} has extended a window of {window_ms} ms");
    }
}

/// Starts a server behind one that was killed and asks it for half a second. Gives how often it has
/// refused, which must not be before what it has won can be used up.
#[track_caller]
fn refused_behind_ready(state: &State, window_ms: u64) -> usize {
    let window = window_ms.to_string();
    let args = ["--window-ms", window.as_str(), "--allow-state-filesystem", "tmpfs"];
    let server = state.start(&args);
    first_id(&server);
    server.signal(Signal::KILL);
    let _ = server.wait();
    let server = state.start(&args);
    let mut peer = Peer::connect(server.tcp);
    let begin = Instant::now();
    let mut refused_ms = Vec::new();
    while begin.elapsed() < Duration::from_millis(500) {
        // All there is in a tick: the next request needs the next one.
        let reply = peer.ask(&generate(1, 4_096));
        if reply.error().is_some() {
            reply.assert_error(ErrorCode::WindowExhausted, 1);
            refused_ms.push(now_ms());
        }
    }
    server.signal(Signal::TERM);
    let ended = server.wait();
    ended.assert_clean();
    // The lanes begin ahead of the clock by a third of the window at most, and stay so.
    let end_ms = first_bound_ms(&ended.log) - window_ms / 3;
    let early = refused_ms.iter().find(|at_ms| **at_ms < end_ms);
    assert!(early.is_none(), "refused at {early:?}, window of {window_ms} ms, used up at {end_ms}");
    refused_ms.len()
}
