//! A disk that fills up, and one that fails, under a server at full load.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use coreflake_protocol::{ErrorCode, Response};
use fastrand::Rng;

use crate::common::frames::{self, generate};
use crate::common::{Peer, pause, until};
use crate::ledger::Ledger;
use crate::load::Load;
use crate::mount::Mount;
use crate::seed;
use crate::state::{State, now_ms};

/// Two thirds of it are more than a flush takes on a disk that others use as well.
const WINDOW: Duration = Duration::from_secs(4);
const ARGS: [&str; 4] = ["--window-ms", "4000", "--shards", "2"];

/// Writes into `path` until not a byte fits any more.
fn fill(path: &Path) {
    let mut file = File::create(path).unwrap();
    for size in [64 * 1_024, 1_024, 1] {
        let zeros = vec![0; size];
        let error = loop {
            if let Err(error) = file.write_all(&zeros) {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
    }
    file.sync_all().unwrap();
}

/// Waits until the record shows a bound more than `by` above what it shows now.
fn wait_for_extension(state: &State, by: Duration) {
    let before_ms = state.bound_ms();
    let by_ms = u64::try_from(by.as_millis()).unwrap();
    until("an extension", || (state.bound_ms() > before_ms + by_ms).then_some(()));
}

#[test]
fn a_full_disk_stops_nobody_who_has_a_record() {
    let mut random = Rng::with_seed(seed("full disk"));
    let mount = Mount::ext4("full");
    let state = State::inside("full", &mount.path().join("state"));
    let mut ledger = Ledger::default();
    let server = state.start(&ARGS);
    let load = Load::start(&server, &mut random);
    wait_for_extension(&state, Duration::ZERO);
    fill(&mount.path().join("ballast"));
    let received = load.received();
    wait_for_extension(&state, WINDOW);
    assert!(load.received() > received, "it goes on");
    server.stop();
    let taken = load.end();
    let codes: Vec<_> = taken.refusals.keys().filter(|code| **code != "DRAINING").collect();
    assert!(codes.is_empty(), "nobody has noticed: {:?}", taken.refusals);
    ledger.add(taken);

    // A start needs no space either.
    let server = state.start(&ARGS);
    let load = Load::start(&server, &mut random);
    wait_for_extension(&state, Duration::ZERO);
    server.stop();
    ledger.add(load.end());
    ledger.judge().assert_unique("full disk");

    // But a slot that has no record yet cannot get one.
    let words = ["slot-0001.record", "No space left"];
    state.refuses(&["--worker-id", "1", "--datacenter-id", "0"], &words);
}

/// With `abort` the file system behaves as after an error of its device: from now on every write
/// fails. (`ro` is refused while somebody has a file open for writing.)
#[test]
fn a_disk_that_fails_is_served_on_until_the_window_ends() {
    let mut random = Rng::with_seed(seed("failing disk"));
    let mount = Mount::ext4("failing");
    let state = State::inside("failing", &mount.path().join("state"));
    let mut ledger = Ledger::default();
    let server = state.start(&["--window-ms", "1500", "--shards", "2"]);
    let mut peer = Peer::connect(server.tcp);
    let load = Load::start(&server, &mut random);
    wait_for_extension(&state, Duration::ZERO);
    // An extension that the failure cuts off shows in the record, perhaps, and is not used: only
    // HEALTH says how far the server may go for sure.
    let asked_ms = now_ms();
    let reply = peer.ask(&frames::frame(frames::HEALTH, 2, &[]));
    let Response::Health(health) = reply.response() else { panic!("{reply:?}") };
    let end_ms = asked_ms + health.window_left_ms;
    mount.remount("abort");
    let failed = Instant::now();
    // Whatever is durable was written before.
    let bound_ms = state.bound_ms();
    // Between the end of the window and its own the server says why.
    let refusal = until("the end of the window", || {
        let reply = peer.ask(&generate(1, 1));
        let refuses = reply.error().is_some();
        refuses.then_some(reply)
    });
    let refused_ms = now_ms();
    refusal.assert_error(ErrorCode::WindowExhausted, 1);
    let ended = server.wait();
    ended.assert_no_panic();
    assert_eq!(ended.status.code(), Some(69), "{ended:#?}");
    let said = ended.log.iter().any(|line| line.starts_with("coreflake: no further window"));
    assert!(said, "{ended:#?}");
    println!("failing disk: the server ended {:.1?} after the failure", failed.elapsed());
    let taken = load.end();
    let (_, last_ms) = taken.span_ms().unwrap();
    assert!(last_ms <= bound_ms, "{last_ms} is above {bound_ms}");
    // The first write fails long before the end.
    assert!(refused_ms >= end_ms, "served to the end: {refused_ms} of {end_ms}");
    assert!(taken.refusals.contains_key("WINDOW_EXHAUSTED"), "{:?}", taken.refusals);
    ledger.add(taken);
    ledger.judge().assert_unique("failing disk");
    assert!(state.bound_ms() <= bound_ms, "nothing was written");
    state.refuses(&[], &["slot-0000.record", "Read-only file system"]);
}

#[test]
fn a_record_that_is_deleted_under_a_server_is_not_made_anew() {
    let mut random = Rng::with_seed(seed("deleted record"));
    let state = State::new("deleted");
    let server = state.start(&ARGS);
    let load = Load::start(&server, &mut random);
    wait_for_extension(&state, Duration::ZERO);
    state.lose_record();
    // It is extended in that time.
    pause(WINDOW);
    server.stop();
    let mut ledger = Ledger::default();
    ledger.add(load.end());
    ledger.judge().assert_unique("deleted record");
    // What it wrote went into a file without a name: the next one has to know that it is missing.
    state.refuses(&[], &["slot-0000.record", "is lost", "slots adopt"]);
}
