//! Stores that are killed, slow, silent or closed for a while.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::common::{PATIENCE, pause, until};
use crate::ledger::{Ledger, Taken};
use crate::load::Load;
use crate::proxy::{Mode, Proxy};
use crate::setting::{Kind, Setting, Watched};

/// How long a store is away: longer than the short window, much shorter than the long one.
const AWAY: Duration = Duration::from_secs(6);

/// What is left of it at worst, two thirds, lasts for an outage and for the start of a JVM besides.
const LONG: [&str; 6] =
    ["--worker-mode", "dynamic", "--window-ms", "60000", "--store-session-ms", "30000"];
const SHORT: [&str; 6] =
    ["--worker-mode", "dynamic", "--window-ms", "3000", "--store-session-ms", "30000"];

/// How long a call waits for a store that does not answer.
const HANG: Duration = Duration::from_secs(3);

/// How long nobody may be served. A server that waited for a call would serve nobody for as long as
/// that hangs.
const SILENCE_MAX: Duration = Duration::from_millis(2_250);

/// A window is bridged, and nobody who has one notices anything. Who has a short one refuses when
/// it is over, and goes on soon after the store has come back.
fn a_killed_store_is_missed_only_when_the_window_is_over(kind: Kind) {
    let mut setting = Setting::new(kind, "killed");
    let mut random = Rng::new();
    let mut long = setting.serve("long", &LONG);
    let mut short = setting.serve("short", &SHORT);
    let workers = (long.workers(), short.workers());
    let loads = [&long, &short].map(|server| Load::start(server, &mut random));
    // Two thirds of a window are left at least, unless the store was busy just now.
    let (asked, left) = until("an extension", || {
        let asked = Instant::now();
        let left = Duration::from_millis(short.health()["window_left_ms"].as_u64().unwrap());
        (left > Duration::from_secs(2)).then_some((asked, left))
    });

    let killed = Instant::now();
    setting.store.kill();
    short.wait_for_refusal();
    println!("{}: a window of 3 s ends {:?} after the kill", kind.name(), killed.elapsed());
    // Less a bit, by which the clock may be set meanwhile.
    let lasted = asked.elapsed() + Duration::from_millis(200);
    assert!(lasted > left, "{left:?} were left, and it is over after {lasted:?}");
    for server in [&mut short, &mut long] {
        server.wait_for_log("the store does not answer");
        server.wait_for_store("doubtful");
    }
    assert_eq!(short.health()["status"], "window_exhausted");
    assert_eq!(long.health()["status"], "healthy");
    pause(AWAY.saturating_sub(killed.elapsed()));

    setting.store.restart();
    let back = Instant::now();
    short.wait_for_id();
    let delay = back.elapsed();
    println!("{}: back {delay:?} after the store", kind.name());
    assert!(delay < Duration::from_secs(10), "{delay:?}: as if for the end of its session");
    for server in [&mut long, &mut short] {
        server.wait_for_log("the store answers again");
        server.wait_for_store("good");
        assert_eq!(server.metric("coreflake_slot_losses_total"), 0.0);
    }
    assert_eq!((long.workers(), short.workers()), workers, "nobody needs another slot");

    let [of_long, of_short] = loads.map(Load::end);
    assert!(of_long.refusals.is_empty(), "{:?}", of_long.refusals);
    assert_eq!(of_short.refusals.keys().collect::<Vec<_>>(), [&"WINDOW_EXHAUSTED"]);
    judge(&format!("{} killed", kind.name()), [of_long, of_short]);
    long.stop();
    short.stop();
}

/// Whatever the store does instead of answering: requests are served, and the server does not fill
/// up with threads that wait.
fn a_store_that_does_not_answer_holds_up_nobody(kind: Kind) {
    let setting = Setting::new(kind, "silent");
    let proxy = Proxy::before(setting.store.address());
    let hang_ms = HANG.as_millis().to_string();
    // The window is to be extended every 6 s.
    let window = ["--worker-mode", "dynamic", "--window-ms", "18000"];
    let args = [&window[..], &["--store-timeout-ms", &hang_ms]].concat();
    let mut server = setting.serve_at(proxy.address(), "state", &args);
    let load = Load::start(&server, &mut Rng::new());
    let threads = server.threads();
    // What comes so late comes after the end of the call.
    let delay = Mode::Delay(HANG + Duration::from_secs(1));
    for mode in [delay, Mode::BlackHole, Mode::Refuse] {
        proxy.set(mode);
        let (begin, over) = (Instant::now(), AtomicBool::new(false));
        let silence = thread::scope(|scope| {
            let looking = scope.spawn(|| longest_silence(&load, &over));
            until(&format!("{mode:?}: the store is doubtful"), || {
                assert!(server.threads() <= threads, "{mode:?}: {} threads", server.threads());
                let is_doubtful = server.store_state() == "doubtful";
                (is_doubtful && begin.elapsed() > Duration::from_secs(4)).then_some(())
            });
            if mode != Mode::Refuse {
                // Not only what looks after the session has waited, but an extension too.
                server.wait_for_log("the window is used meanwhile");
            }
            over.store(true, Ordering::Relaxed);
            looking.join().unwrap()
        });
        println!("{}: {mode:?}: nobody is served for {silence:?} at most", kind.name());
        assert!(silence < SILENCE_MAX, "{mode:?}: nobody is served for {silence:?}");
        proxy.set(Mode::Pass);
        server.wait_for_store("good");
        until("an extension", || {
            (server.health()["window_left_ms"].as_u64().unwrap() > 12_500).then_some(())
        });
    }
    assert_eq!(server.metric("coreflake_slot_losses_total"), 0.0);
    let taken = load.end();
    assert!(taken.refusals.is_empty(), "{:?}", taken.refusals);
    judge(&format!("{} silent", kind.name()), [taken]);
    server.stop();
}

/// The longest time in which no client has received anything, until it is `over`, or has to be.
/// What delays the looks delays the clients as well, and is not counted.
fn longest_silence(load: &Load, over: &AtomicBool) -> Duration {
    const LOOK: Duration = Duration::from_millis(50);
    let (begin, mut received) = (Instant::now(), load.received());
    let (mut silent, mut longest) = (Duration::ZERO, Duration::ZERO);
    while !over.load(Ordering::Relaxed) && begin.elapsed() < 2 * PATIENCE {
        let look = Instant::now();
        pause(LOOK);
        let before = core::mem::replace(&mut received, load.received());
        silent += look.elapsed().min(2 * LOOK);
        if received > before {
            silent = Duration::ZERO;
        }
        longest = longest.max(silent);
    }
    longest
}

#[track_caller]
fn judge<const N: usize>(what: &str, all: [Taken; N]) {
    let mut ledger = Ledger::default();
    all.into_iter().for_each(|taken| ledger.add(taken));
    ledger.judge().assert_unique(what);
}

#[test]
fn a_killed_etcd_is_missed_only_when_the_window_is_over() {
    a_killed_store_is_missed_only_when_the_window_is_over(Kind::Etcd);
}

#[test]
fn a_killed_zookeeper_is_missed_only_when_the_window_is_over() {
    a_killed_store_is_missed_only_when_the_window_is_over(Kind::ZooKeeper);
}

#[test]
fn a_killed_consul_is_missed_only_when_the_window_is_over() {
    a_killed_store_is_missed_only_when_the_window_is_over(Kind::Consul);
}

#[test]
fn an_etcd_that_does_not_answer_holds_up_nobody() {
    a_store_that_does_not_answer_holds_up_nobody(Kind::Etcd);
}

#[test]
fn a_zookeeper_that_does_not_answer_holds_up_nobody() {
    a_store_that_does_not_answer_holds_up_nobody(Kind::ZooKeeper);
}

#[test]
fn a_consul_that_does_not_answer_holds_up_nobody() {
    a_store_that_does_not_answer_holds_up_nobody(Kind::Consul);
}
