//! A server that may never be ready: it waits for a slot, or is refused one.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustix::time::{ClockId, clock_gettime};
use serde_json::Value;

use crate::common::{PATIENCE, Scratch, free_port, pause, state_directory};
use crate::daemon;
use crate::http::try_get;

/// It is killed when the value goes away.
pub(crate) struct Node {
    child: Child,
    state: Option<PathBuf>,
    http: SocketAddr,
    /// What it prints, and what it logs.
    files: Scratch,
}

/// Asks again and again, every 20 ms, until there is an answer.
#[track_caller]
pub(crate) fn wait_until<T>(limit: Duration, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < limit, "{what}: not within {limit:?}");
        pause(Duration::from_millis(20));
    }
}

/// The wall clock, in milliseconds since the Unix epoch.
pub(crate) fn now_ms() -> u64 {
    let time = clock_gettime(ClockId::Realtime);
    u64::try_from(time.tv_sec).unwrap() * 1_000 + u64::try_from(time.tv_nsec).unwrap() / 1_000_000
}

/// The command on a host with another name, with the same process id.
pub(crate) fn on_host(name: &str, command: &Command) -> Command {
    let mut there = Command::new("unshare");
    there.env_clear().args(["--uts", "sh", "-c", "hostname \"$0\" && exec \"$@\"", name]);
    there.arg(command.get_program()).args(command.get_args());
    there.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    there.env("PATH", daemon::path());
    there
}

impl Node {
    /// Starts a server, and does not wait for it. REST has a port that is known before it is ready.
    #[track_caller]
    pub(crate) fn spawn(mut command: Command) -> Self {
        let files = Scratch::new("node");
        let http = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let file = |name| File::create(files.path().join(name)).unwrap();
        command.args(["--http", &http.to_string()]);
        command.stdin(Stdio::null()).stdout(file("out")).stderr(file("log"));
        let child = command.spawn().unwrap();
        Self { child, state: state_directory(&command), http, files }
    }

    pub(crate) fn log(&self) -> String {
        // What it writes just now may end within a character.
        let log = fs::read(self.files.path().join("log")).unwrap();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// What the ready line says, once it is there.
    pub(crate) fn ready_line(&self) -> Option<BTreeMap<String, String>> {
        let out = fs::read_to_string(self.files.path().join("out")).unwrap();
        let line = out.strip_prefix("ready ")?.strip_suffix('\n')?;
        let fields = line.split(' ').filter_map(|field| field.split_once('='));
        Some(fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    /// Waits for its first slot; gives how long that took.
    #[track_caller]
    pub(crate) fn wait_ready(&mut self, limit: Duration) -> Duration {
        let start = Instant::now();
        while self.ready_line().is_none() {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none() && start.elapsed() < limit, "{ended:?}: {}", self.log());
            pause(Duration::from_millis(20));
        }
        start.elapsed()
    }

    #[track_caller]
    pub(crate) fn tcp(&self) -> SocketAddr {
        self.ready_line().unwrap()["tcp"].parse().unwrap()
    }

    #[track_caller]
    pub(crate) fn udp(&self) -> SocketAddr {
        self.ready_line().unwrap()["udp"].parse().unwrap()
    }

    /// The worker it was ready with.
    #[track_caller]
    pub(crate) fn worker(&self) -> u16 {
        self.ready_line().unwrap()["worker"].parse().unwrap()
    }

    /// What REST says, if anything: status code and body.
    pub(crate) fn ask(&self, path: &str) -> Option<(u16, Value)> {
        let answer = try_get(self.http, path, "application/json").ok()?;
        Some((answer.status, serde_json::from_str(&answer.body).unwrap()))
    }

    /// A figure of the page of metrics.
    #[track_caller]
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let page = try_get(self.http, "/api/v1/metrics", "text/plain").unwrap().body;
        let mut found = page.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        found.next().unwrap_or_else(|| panic!("{name}: {page}")).parse().unwrap()
    }

    /// Waits until it is ready, or is not, whatever it was before.
    #[track_caller]
    pub(crate) fn wait_status(&self, status: u16, limit: Duration) {
        wait_until(limit, &format!("{status} of ready"), || {
            self.ask("/api/v1/ready").filter(|(said, _)| *said == status)
        });
    }

    #[track_caller]
    pub(crate) fn wait_log(&self, text: &str) {
        wait_until(PATIENCE, &format!("`{text}` in the log"), || {
            self.log().contains(text).then_some(())
        });
    }

    #[track_caller]
    pub(crate) fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).unwrap();
        kill_process(Pid::from_raw(id).unwrap(), signal).unwrap();
    }

    /// Freezes it, and waits until none of its threads does anything any more.
    #[track_caller]
    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
        let threads = format!("/proc/{}/task", self.child.id());
        let stands = |thread: fs::DirEntry| {
            // One that ends just now is not there at the next look.
            let Ok(stat) = fs::read_to_string(thread.path().join("stat")) else { return false };
            stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
        };
        wait_until(PATIENCE, "a freeze", || {
            fs::read_dir(&threads).unwrap().all(|thread| stands(thread.unwrap())).then_some(())
        });
    }

    /// Whether it runs.
    pub(crate) fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end; gives the exit code, unless it was killed, and the log.
    #[track_caller]
    pub(crate) fn wait(mut self, limit: Duration) -> (Option<i32>, String) {
        let status = wait_until(limit, "the end of a server", || self.child.try_wait().unwrap());
        let log = self.log();
        assert!(!log.contains("panicked"), "{log}");
        (status.code(), log)
    }

    /// Ends it as an operator does.
    #[track_caller]
    pub(crate) fn stop(self) {
        self.signal(Signal::TERM);
        let (code, log) = self.wait(PATIENCE);
        assert_eq!(code, Some(0), "{log}");
    }

    /// Ends it as a power cut does.
    pub(crate) fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(state) = &self.state {
            let _ = fs::remove_dir_all(state);
        }
    }
}
