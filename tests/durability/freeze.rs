//! Servers that stand still for longer than their window, and go on.

use std::time::Duration;

use fastrand::Rng;
use rustix::process::Signal;

use crate::common::{pause, until};
use crate::ledger::Ledger;
use crate::load::Load;
use crate::seed;
use crate::state::{State, now_ms};

#[test]
fn a_frozen_server_goes_on_behind_what_it_gave() {
    let mut random = Rng::with_seed(seed("freeze"));
    let state = State::new("freeze");
    let mut ledger = Ledger::default();
    let server = state.start(&["--window-ms", "300", "--shards", "2"]);
    // The clients check the order on each connection; any code that is not retryable ends them.
    let load = Load::start(&server, &mut random);
    for freeze in 0..8 {
        pause(Duration::from_millis(random.u64(20..=300)));
        server.signal(Signal::STOP);
        // Shorter and longer than the window.
        pause(Duration::from_millis(random.u64(1..=250) + 400 * (freeze % 3)));
        let bound_ms = state.bound_ms();
        let received = load.received();
        server.signal(Signal::CONT);
        until("IDs behind a freeze", || (load.received() > received + 10_000).then_some(()));
        until("an extension", || (state.bound_ms() > bound_ms).then_some(()));
    }
    server.stop();
    let taken = load.end();
    let (_, last_ms) = taken.span_ms().unwrap();
    assert!(last_ms <= state.bound_ms() && last_ms <= now_ms());
    println!("freeze: refused {:?}", taken.refusals);
    ledger.add(taken);
    ledger.judge().assert_unique("freeze");
}

/// Whoever is frozen while another server takes over what he holds must not go on: on one machine
/// the lock sees to that, since a frozen server still has it.
#[test]
fn a_frozen_server_keeps_its_slot() {
    let state = State::new("frozen-lock");
    let server = state.start(&["--window-ms", "300"]);
    server.signal(Signal::STOP);
    pause(Duration::from_millis(400));
    state.refuses(&[], &["slot-0000.record", "in use by another process"]);
    server.signal(Signal::CONT);
    server.stop();
}
