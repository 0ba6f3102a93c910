//! Stores that are killed, slow, silent or closed for a while.

use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::common::pause;
use crate::ledger::{Ledger, Taken};
use crate::load::Load;
use crate::proxy::{Mode, Proxy};
use crate::setting::{Kind, Setting, Watched};

/// How long a store is away: longer than the short window, much shorter than the long one.
const AWAY: Duration = Duration::from_secs(6);

const LONG: [&str; 4] = ["--worker-mode", "dynamic", "--window-ms", "20000"];
const SHORT: [&str; 4] = ["--worker-mode", "dynamic", "--window-ms", "3000"];

/// A window is bridged, and nobody who has one notices anything. Who has a short one refuses when
/// it is over, and goes on soon after the store has come back.
fn a_killed_store_is_missed_only_when_the_window_is_over(kind: Kind) {
    let mut setting = Setting::new(kind, "killed");
    let mut random = Rng::new();
    let mut long = setting.serve("long", &LONG);
    let mut short = setting.serve("short", &SHORT);
    let workers = (long.workers(), short.workers());
    let loads = [&long, &short].map(|server| Load::start(server, &mut random));
    pause(Duration::from_millis(500));

    let killed = Instant::now();
    setting.store.kill();
    short.wait_for_refusal();
    println!("{}: a window of 3 s ends {:?} after the kill", kind.name(), killed.elapsed());
    assert!(killed.elapsed() > Duration::from_secs(1), "two thirds of a window are left at least");
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
    assert!(delay < Duration::from_secs(5), "{delay:?}");
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
    let server = setting.serve_at(proxy.address(), "state", &LONG);
    let load = Load::start(&server, &mut Rng::new());
    let threads = server.threads();
    let delay = Mode::Delay(Duration::from_secs(2));
    for mode in [delay, Mode::BlackHole, Mode::Refuse] {
        proxy.set(mode);
        let (begin, mut received) = (Instant::now(), load.received());
        while begin.elapsed() < Duration::from_secs(4) {
            pause(Duration::from_millis(250));
            let before = core::mem::replace(&mut received, load.received());
            assert!(received > before, "{mode:?}: nobody is served");
            assert!(server.threads() <= threads, "{mode:?}: {} threads", server.threads());
        }
        if mode != delay {
            server.wait_for_store("doubtful");
        }
        proxy.set(Mode::Pass);
        server.wait_for_store("good");
    }
    assert_eq!(server.metric("coreflake_slot_losses_total"), 0.0);
    let taken = load.end();
    assert!(taken.refusals.is_empty(), "{:?}", taken.refusals);
    judge(&format!("{} silent", kind.name()), [taken]);
    server.stop();
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
