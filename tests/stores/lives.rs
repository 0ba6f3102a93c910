//! Servers of a pool that are killed and started again at once. The figures are printed; what is
//! asserted would hold on a machine that is several times as busy.

use std::time::{Duration, Instant};

use fastrand::Rng;
use rustix::process::Signal;

use crate::common::pause;
use crate::ledger::Ledger;
use crate::load::{Load, seed};
use crate::node::wait_until;
use crate::setting::cycles;
use crate::shared::{Kind, Space};
use crate::sips::take;

on_each_store!(kill_9_and_start_again);

/// Lives that need no look whether a slot is free: there are more than that.
const UNSEEN: u32 = 20;

fn kill_9_and_start_again(kind: Kind) {
    let space = Space::new(kind, "lives");
    let (mut random, mut ledger) = (Rng::with_seed(seed("lives")), Ledger::default());
    let state = space.state_dir();
    let args = ["--worker-mode", "dynamic", "--window-ms", "3000", "--state-dir", &state];
    let mut times = Vec::new();
    for life in 0..cycles(20) {
        if life >= UNSEEN {
            wait_until(Duration::from_secs(60), "a free slot", || {
                space.slots("list", &[]).stdout.contains(" free ").then_some(())
            });
        }
        let begin = Instant::now();
        let server = space.start(&args);
        take(server.tcp, 1);
        times.push(begin.elapsed());
        let load = Load::start(&server, &mut random);
        pause(Duration::from_millis(random.u64(20..=200)));
        server.signal(Signal::KILL);
        let _ = server.wait();
        ledger.add(load.end());
    }
    times.sort_unstable();
    let (median, max) = (times[times.len() / 2], times[times.len() - 1]);
    let (name, starts) = (kind.name(), times.len());
    println!(
        "FIGURE first ID after kill -9, {name}: median {median:.1?}, max {max:.1?} ({starts} \
         starts), goal 0.5 s"
    );
    // Whoever waited for the end of the session that was left would take longer: two thirds of it
    // were left at least.
    assert!(median < space.session() * 3 / 5, "{median:?}");
    ledger.judge().assert_unique(&format!("lives, {name}"));
}
