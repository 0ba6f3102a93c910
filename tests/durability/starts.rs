//! How long a start takes until the first ID, after a kill and after a stop. The figures are
//! printed; what is asserted would hold on a machine that is ten times as busy.

use std::time::{Duration, Instant};

use fastrand::Rng;
use rustix::process::Signal;

use crate::common::frames::generate;
use crate::common::{Peer, pause};
use crate::load::Load;
use crate::seed;
use crate::state::State;

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
    assert!(max < limit, "{what}: {max:?}");
}

#[test]
fn the_first_id_after_a_kill_comes_soon() {
    let times = starts("start-after-kill", 9, Signal::KILL);
    report("kill -9, window 3,000 ms", times, Duration::from_secs(5));
}

#[test]
fn the_first_id_after_a_stop_comes_at_once() {
    let times = starts("start-after-stop", 9, Signal::TERM);
    report("SIGTERM, window 3,000 ms", times, Duration::from_secs(2));
}

/// Ready means that there is something to give: with a short window, too, when the last one was not
/// given back.
#[test]
fn a_server_that_is_ready_does_not_refuse() {
    for window_ms in ["300", "1000"] {
        let state = State::new(&format!("ready-{window_ms}"));
        let args = ["--window-ms", window_ms];
        let server = state.start(&args);
        Peer::connect(server.tcp).generate(1);
        server.signal(Signal::KILL);
        let _ = server.wait();
        let server = state.start(&args);
        let mut peer = Peer::connect(server.tcp);
        let begin = Instant::now();
        let (mut asked, mut refused) = (0, 0);
        while begin.elapsed() < Duration::from_millis(500) {
            asked += 1;
            // All there is in a tick: the next request needs the next one.
            let reply = peer.ask(&generate(1, 4_096));
            refused += u32::from(reply.error().is_some());
        }
        server.stop();
        assert_eq!(refused, 0, "of {asked} requests behind `ready`, window {window_ms} ms");
    }
}
