//! Servers whose wall clock can be set, and nobody else's.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use coreflake_engine::record::{RECORD_SIZE, Record};
use coreflake_protocol::{Health, Response};
use serde_json::Value;

use crate::common::frames::{self, HEALTH};
use crate::common::{Peer, Scratch, Server};

/// How far the servers of these tests reserve ahead, in milliseconds.
pub(crate) const WINDOW_MS: i64 = 3_000;

pub(crate) const HOUR_MS: i64 = 3_600_000;
pub(crate) const TEN_YEARS_MS: i64 = 10 * 365 * 24 * HOUR_MS;

/// A place with a state directory and a clock of its own.
pub(crate) struct Place {
    scratch: Scratch,
    started: Mutex<Vec<u32>>,
}

impl Place {
    /// The clock is right at first.
    pub(crate) fn new(name: &str) -> Self {
        let scratch = Scratch::new(&format!("clock-{name}"));
        let place = Self { scratch, started: Mutex::default() };
        place.set_ms(0);
        place
    }

    /// Sets the clock of the servers here: so many milliseconds ahead of the true time.
    pub(crate) fn set_ms(&self, ahead_ms: i64) {
        let sign = if ahead_ms < 0 { '-' } else { '+' };
        let (seconds, rest) = (ahead_ms.abs() / 1_000, ahead_ms.abs() % 1_000);
        let (file, next) = (self.clock_file(), self.scratch.path().join("clock.next"));
        fs::write(&next, format!("{sign}{seconds}.{rest:03}\n")).unwrap();
        fs::rename(next, file).unwrap();
    }

    /// The command of a server that lives here.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Server::command(args);
        command.arg("--state-dir").arg(self.state());
        command.arg("--window-ms").arg(WINDOW_MS.to_string());
        command.env("LD_PRELOAD", library());
        command.env("FAKETIME_TIMESTAMP_FILE", self.clock_file());
        // Both names: which one counts depends on the version.
        for name in ["FAKETIME_NO_CACHE", "FAKETIME_DONT_FAKE_MONOTONIC", "DONT_FAKE_MONOTONIC"] {
            command.env(name, "1");
        }
        command
    }

    #[track_caller]
    pub(crate) fn start(&self, args: &[&str]) -> Server {
        let server = Server::launch(self.command(args));
        let server = server.unwrap_or_else(|ended| panic!("not ready: {ended:?}"));
        self.started.lock().unwrap().push(server.id());
        server
    }

    /// The bound in the record: the larger one of two copies, as a start would have it.
    pub(crate) fn bound_ms(&self) -> u64 {
        bound_ms(&self.state())
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.scratch.path().join("state")
    }

    fn clock_file(&self) -> PathBuf {
        self.scratch.path().join("clock")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.started.get_mut().into_iter().flatten().for_each(|pid| forget(*pid));
    }
}

/// Removes what the library has left of a process that was killed: numbers of processes come again.
pub(crate) fn forget(pid: u32) {
    for name in ["faketime_shm_", "sem.faketime_sem_"] {
        let _ = fs::remove_file(format!("/dev/shm/{name}{pid}"));
    }
}

/// The bound in the record of slot 0.
pub(crate) fn bound_ms(state: &Path) -> u64 {
    let bytes = fs::read(state.join("slot-0000.record")).unwrap();
    let copies = [0, 4_096].map(|at| Record::decode(&bytes[at..at + RECORD_SIZE]));
    // One copy may be under way.
    copies.into_iter().filter_map(|copy| Some(copy.ok()?.bound_ms)).max().unwrap()
}

/// The bound of the window that a server began with, as its log says: the record may show the next
/// one before anybody has looked.
#[track_caller]
pub(crate) fn first_bound_ms(log: &[String]) -> u64 {
    let mut lines = log.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let reserved = lines.find(|line| line["message"] == "window reserved");
    reserved.expect("a window in the log")["bound_ms"].as_u64().unwrap()
}

/// The library that stands between a program and its clock.
pub(crate) fn library() -> PathBuf {
    let found = fs::read_dir("/usr/lib").unwrap().filter_map(|entry| {
        let path = entry.ok()?.path().join("faketime/libfaketimeMT.so.1");
        path.exists().then_some(path)
    });
    let found: Vec<_> = found.collect();
    found.into_iter().next().expect("libfaketime is missing: install the package faketime")
}

/// The true time, in milliseconds since the Unix epoch.
#[allow(clippy::disallowed_methods)] // What the servers are compared with.
pub(crate) fn true_ms() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    i64::try_from(now.as_millis()).unwrap()
}

#[track_caller]
pub(crate) fn health(server: &Server) -> Health {
    let reply = Peer::connect(server.tcp).ask(&frames::frame(HEALTH, 1, &[]));
    match reply.response() {
        Response::Health(health) => health,
        other => panic!("no HEALTH but {other:?}"),
    }
}

/// Ends a server and gives its log.
#[track_caller]
pub(crate) fn log_of(server: Server) -> Vec<Value> {
    server.signal(rustix::process::Signal::TERM);
    let ended = server.wait();
    ended.assert_clean();
    ended.log.iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Ends a server without a warning.
pub(crate) fn kill(server: Server) {
    server.signal(rustix::process::Signal::KILL);
    server.wait();
}

/// The steps in a log, in milliseconds.
pub(crate) fn steps_ms(log: &[Value]) -> Vec<f64> {
    let steps = log.iter().filter(|line| line["message"] == "the clock was set");
    steps.map(|line| line["by_us"].as_f64().unwrap() / 1_000.0).collect()
}

/// Checks that exactly these steps were logged and counted.
#[track_caller]
pub(crate) fn assert_steps(log: &[Value], expected_ms: &[i64]) {
    let logged = steps_ms(log);
    println!("steps logged, in ms: {logged:?}");
    assert_eq!(logged.len(), expected_ms.len(), "{logged:?}, not {expected_ms:?}");
    for (logged, expected) in logged.iter().zip(expected_ms) {
        #[allow(clippy::cast_precision_loss)]
        let off = logged - *expected as f64;
        assert!(off.abs() < 1.5, "{logged} ms was logged, {expected} ms was done");
    }
    let last = log.iter().rev().find(|line| line["message"] == "the clock was set");
    let counted = last.map_or(0, |line| line["steps"].as_u64().unwrap());
    assert_eq!(counted, expected_ms.len() as u64);
}

pub(crate) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}
