//! Servers that are killed or stopped under full load, again and again.

use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Stdio};
use std::time::Duration;

use fastrand::Rng;
use rustix::process::Signal;

use crate::common::{Server, pause};
use crate::ledger::Ledger;
use crate::load::Load;
use crate::seed;
use crate::state::{State, now_ms};

/// Shards of one life after the other.
const SHARDS: [&str; 3] = ["1", "3", "2"];

const WINDOW_MS: u64 = 300;

fn cycles() -> u32 {
    std::env::var("COREFLAKE_CYCLES").map_or(100, |cycles| cycles.parse().unwrap())
}

/// Starts a server and kills it before anybody knows how far it has got.
fn kill_while_it_starts(state: &State, random: &mut Rng) {
    struct Guard(Child);
    impl Drop for Guard {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
    let mut command = Server::command(&["--state-dir", state.path(), "--window-ms", "300"]);
    let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let child = Guard(command.spawn().unwrap());
    pause(Duration::from_micros(random.u64(0..30_000)));
    drop(child);
}

#[test]
fn kill_9_under_full_load_gives_no_id_twice() {
    let mut random = Rng::with_seed(seed("kill -9"));
    let state = State::new("kill");
    let mut ledger = Ledger::default();
    let mut bound_ms = 0;
    for life in 0..cycles() {
        let shards = SHARDS[life as usize % SHARDS.len()];
        if random.u8(..4) == 0 {
            kill_while_it_starts(&state, &mut random);
        }
        let server = state.start(&["--shards", shards, "--window-ms", "300"]);
        let load = Load::start(&server, &mut random);
        pause(Duration::from_millis(random.u64(20..=500)));
        server.signal(Signal::KILL);
        let ended = server.wait();
        assert_eq!(ended.status.signal(), Some(Signal::KILL.as_raw()), "{ended:#?}");
        let taken = load.end();
        let before_ms = core::mem::replace(&mut bound_ms, state.bound_ms());
        assert!(bound_ms > before_ms, "life {life}: the bound only rises");
        let latest_ms = now_ms() + WINDOW_MS;
        assert!(bound_ms <= latest_ms, "life {life}: {bound_ms} runs away from {latest_ms}");
        if let Some((first_ms, last_ms)) = taken.span_ms() {
            assert!(first_ms > before_ms, "life {life}: {first_ms} is of the life before");
            assert!(last_ms <= bound_ms, "life {life}: {last_ms} is not reserved");
        }
        ledger.add(taken);
    }
    ledger.judge().assert_unique("kill -9");
}

#[test]
fn sigterm_under_full_load_gives_the_window_back_and_no_id_twice() {
    let mut random = Rng::with_seed(seed("SIGTERM"));
    let state = State::new("stop");
    let mut ledger = Ledger::default();
    let (mut bound_ms, mut above_ms_max) = (0, 0);
    for life in 0..20 {
        let server = state.start(&["--shards", SHARDS[life % SHARDS.len()]]);
        let load = Load::start(&server, &mut random);
        pause(Duration::from_millis(random.u64(20..=300)));
        server.signal(Signal::TERM);
        let ended = server.wait();
        let ended_ms = now_ms();
        ended.assert_clean();
        let taken = load.end();
        assert!(
            ended.log.iter().any(|line| line.contains("window given back")),
            "life {life}: {:#?}",
            ended.log
        );
        let before_ms = core::mem::replace(&mut bound_ms, state.bound_ms());
        assert!(bound_ms >= before_ms, "life {life}: below the life before");
        // No lane has been ahead of the clock; a whole window would reach two seconds or more.
        assert!(bound_ms <= ended_ms, "life {life}: {bound_ms} is ahead of {ended_ms}");
        if let Some((first_ms, last_ms)) = taken.span_ms() {
            assert!(first_ms > before_ms, "life {life}: {first_ms} is of the life before");
            assert!(last_ms <= bound_ms, "life {life}: {last_ms} was given back");
            above_ms_max = above_ms_max.max(bound_ms - last_ms);
        }
        ledger.add(taken);
    }
    println!("SIGTERM: the bound given back is up to {above_ms_max} ms above the highest ID");
    ledger.judge().assert_unique("SIGTERM");
}
