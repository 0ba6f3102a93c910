//! What a server leaves in a shared store when it is stopped: the record, and no marker.

use crate::common::Peer;
use crate::ledger::unix_ms;
use crate::node::now_ms;
use crate::shared::{Kind, Space};

on_each_store!(a_stop_gives_the_slot_back);

/// Long, so that what is left of it shows.
const WINDOW_MS: u64 = 60_000;

fn a_stop_gives_the_slot_back(kind: Kind) {
    let space = Space::new(kind, "release");
    assert_eq!((space.record(9), space.marker(9)), (Some(false), None), "as made by init");
    let window_ms = WINDOW_MS.to_string();
    for args in [&["--worker-id", "9"], &["--worker-mode=dynamic", "--worker-pool=9-9"]] {
        let server = space.start(&[&args[..], &["--window-ms", &window_ms]].concat());
        let runs = Peer::connect(server.tcp).generate(10);
        let last_ms = unix_ms(runs.last().unwrap().last().get());
        // The marker goes with its session, the record with nothing.
        assert_eq!((space.record(9), space.marker(9)), (Some(false), Some(true)));
        let held = space.show(9);
        assert_eq!(held["state"], "held", "{held}");
        let bound_ms = held["bound_ms"].as_u64().unwrap();
        assert!(bound_ms > last_ms + WINDOW_MS / 3, "{bound_ms} is not ahead of {last_ms}");

        server.stop();
        let marker = space.marker(9);
        let (given_back, stopped_ms) = (space.show(9), now_ms());
        assert_eq!((space.record(9), marker), (Some(false), None));
        assert_eq!(given_back["state"], "free", "{given_back}");
        let bound_ms = given_back["bound_ms"].as_u64().unwrap();
        assert!((last_ms..=stopped_ms).contains(&bound_ms), "{bound_ms}: {last_ms}, {stopped_ms}");
        assert!(given_back["term"].as_u64() > held["term"].as_u64(), "{given_back}");
    }
}
