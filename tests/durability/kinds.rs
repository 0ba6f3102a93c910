//! The promise holds for every kind, and a namespace does not change under a record.

use coreflake_protocol::Kind;
use fastrand::Rng;
use rustix::process::Signal;

use crate::common::{pause, until};
use crate::ledger::Ledger;
use crate::load::Load;
use crate::seed;
use crate::state::State;

fn lives() -> u32 {
    std::env::var("COREFLAKE_CYCLES").map_or(5, |cycles| cycles.parse::<u32>().unwrap().div_ceil(5))
}

#[test]
fn kill_9_under_full_load_gives_no_id_of_any_kind_twice() {
    let mut random = Rng::with_seed(seed("kinds"));
    for kind in Kind::ALL {
        let state = State::new(&format!("kind-{kind}"));
        let mut ledger = Ledger::default();
        for _ in 0..lives() {
            let server = state.start(&["--shards", "2", "--window-ms", "300"]);
            let load = Load::of(kind, &server, &mut random);
            until("IDs", || (load.received() > 0).then_some(()));
            // Of 128 bits a server makes so many that a test has to be shorter.
            let run_ms = if kind.is_wide() { 0..=40 } else { 30..=180 };
            pause(core::time::Duration::from_millis(random.u64(run_ms)));
            server.signal(Signal::KILL);
            server.wait();
            ledger.add(load.end());
        }
        ledger.judge().assert_unique(kind.name());
    }
}

#[test]
fn whatever_names_the_namespace_is_guarded_by_the_record() {
    let state = State::new("kinds-namespace");
    let usual = ["--worker-id", "3"];
    state.start(&usual).stop();
    for other in [
        &["--epoch", "1609459200001"][..],
        &["--layout", "41+4+6+12"],
        &["--layout", "41+2+4+6"],
        &["--tick-ms", "10"],
        &["--instagram-shard-bits", "12"],
        &["--instagram-epoch", "1609459200001"],
    ] {
        let words = ["is of namespace 68a175272bad620c", "layout", "never change"];
        state.refuses(&[&usual[..], other].concat(), &words);
    }
    // The node is no part of it: the clock sequence of a UUID has the slot.
    let node =
        ["--worker-id", "3", "--uuid1-node", "02:00:5e:10:00:01", "--instagram-shard-bits", "13"];
    state.start(&node).stop();
}
