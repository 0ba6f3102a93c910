//! A server process.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::{PATIENCE, coreflake, state_directory, until};

/// A running server. It is killed when the value goes away before it has ended.
pub(crate) struct Server {
    child: Child,
    stdout: Lines,
    stderr: Lines,
    state: Option<PathBuf>,
    ready: String,
    pub(crate) tcp: SocketAddr,
    udp: Option<SocketAddr>,
    http: Option<SocketAddr>,
    grpc: Option<SocketAddr>,
}

/// What is left of a server.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    /// Standard output, the ready line first.
    pub(crate) stdout: Vec<String>,
    /// Standard error.
    pub(crate) log: Vec<String>,
}

/// What a server counted, over all shards.
#[derive(Debug)]
pub(crate) struct Counters(BTreeMap<String, u64>);

/// The lines that come from a pipe.
struct Lines {
    coming: Receiver<String>,
    seen: Vec<String>,
}

impl Server {
    /// Starts a server with one shard on a free port of 127.0.0.1, unless `args` say otherwise.
    #[track_caller]
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::launch(Self::command(args)).unwrap_or_else(|ended| panic!("not ready: {ended:?}"))
    }

    /// The command that [`Server::start`] runs.
    pub(crate) fn command(args: &[&str]) -> Command {
        let mut command = coreflake();
        command.arg("serve").args(args).args(["--log-format", "json"]);
        for (flag, value) in [("--listen", "127.0.0.1:0"), ("--shards", "1")] {
            if !args.contains(&flag) {
                command.args([flag, value]);
            }
        }
        command
    }

    /// Runs `command` until it says that it is ready.
    pub(crate) fn launch(command: Command) -> Result<Self, Ended> {
        Self::launch_logging_to(Stdio::piped(), command)
    }

    /// The same with a log that goes elsewhere.
    pub(crate) fn launch_logging_to(log: Stdio, mut command: Command) -> Result<Self, Ended> {
        let piped = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let mut child = piped.spawn().unwrap();
        let state = state_directory(&command);
        // It holds the other end of `log`.
        drop(command);
        let stdout = Lines::of(child.stdout.take().unwrap());
        let stderr = child.stderr.take().map_or_else(|| Lines::of(io::empty()), Lines::of);
        let nowhere = SocketAddr::from(([0; 4], 0));
        let ready = String::new();
        let (tcp, udp, http, grpc) = (nowhere, None, None, None);
        let mut server = Self { child, stdout, stderr, state, ready, tcp, udp, http, grpc };
        let Some(line) = server.stdout.next() else { return Err(server.wait()) };
        let fields: BTreeMap<_, _> =
            line.split(' ').filter_map(|field| field.split_once('=')).collect();
        server.tcp = fields["tcp"].parse().unwrap();
        let door = |name| fields.get(name).map(|address| address.parse().unwrap());
        (server.udp, server.http, server.grpc) = (door("udp"), door("http"), door("grpc"));
        server.ready = line;
        Ok(server)
    }

    pub(crate) fn ready_line(&self) -> &str {
        &self.ready
    }

    /// Where UDP listens.
    #[track_caller]
    pub(crate) fn udp(&self) -> SocketAddr {
        self.udp.expect("UDP is on")
    }

    /// Where REST listens.
    #[track_caller]
    pub(crate) fn http(&self) -> SocketAddr {
        self.http.expect("REST is on")
    }

    /// Where gRPC listens.
    #[track_caller]
    pub(crate) fn grpc(&self) -> SocketAddr {
        self.grpc.expect("gRPC is on")
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Resident memory.
    pub(crate) fn memory_kib(&self) -> u64 {
        self.kernel_says("VmRSS:").unwrap().parse().unwrap()
    }

    /// A field of what the kernel says about the process.
    fn kernel_says(&self, field: &str) -> Option<String> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(field))?;
        line.split_whitespace().nth(1).map(str::to_owned)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.id()).unwrap();
        kill_process(Pid::from_raw(id).unwrap(), signal).unwrap();
    }

    /// Waits for a line of the log that holds `text`.
    #[track_caller]
    pub(crate) fn wait_for_log(&mut self, text: &str) {
        while let Some(line) = self.stderr.next() {
            if line.contains(text) {
                return;
            }
        }
        panic!("`{text}` was not logged: {:?}", self.stderr.seen);
    }

    /// Stops the server and checks that it ended well.
    #[track_caller]
    pub(crate) fn stop(self) -> Counters {
        // That it hears the signal from the first moment on has a test of its own.
        until("a handler for SIGTERM", || {
            let caught = self.kernel_says("SigCgt:")?;
            let caught = u64::from_str_radix(&caught, 16).unwrap();
            (caught & 1 << (Signal::TERM.as_raw() - 1) != 0).then_some(())
        });
        self.signal(Signal::TERM);
        self.wait().assert_clean()
    }

    /// Waits for the server to end by itself.
    pub(crate) fn wait(mut self) -> Ended {
        while self.stdout.next().is_some() {}
        while self.stderr.next().is_some() {}
        let status = self.child.wait().unwrap();
        let stdout = std::mem::take(&mut self.stdout.seen);
        Ended { status, stdout, log: std::mem::take(&mut self.stderr.seen) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Does nothing when it has ended, and was waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(state) = &self.state {
            let _ = std::fs::remove_dir_all(state);
        }
    }
}

impl Ended {
    /// Checks that the server ended well and gives what it counted.
    #[track_caller]
    pub(crate) fn assert_clean(&self) -> Counters {
        self.assert_no_panic();
        assert_eq!(self.status.code(), Some(0), "{self:#?}");
        self.counters()
    }

    #[track_caller]
    pub(crate) fn assert_no_panic(&self) {
        let panicked = self.log.iter().any(|line| line.contains("panicked"));
        assert!(!panicked && self.status.code().is_some(), "{self:#?}");
    }

    fn counters(&self) -> Counters {
        let mut sums = BTreeMap::new();
        let lines = self.log.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        for line in lines.filter(|line| line["message"] == "counted") {
            let name = line["counter"].as_str().unwrap().to_owned();
            *sums.entry(name).or_default() += line["count"].as_u64().unwrap();
        }
        Counters(sums)
    }
}

impl Counters {
    /// What is counted beside the reasons to turn something away.
    const WORK: [&str; 9] = [
        "ids",
        "waits",
        "sequence_overflows",
        "pool_claims",
        "clock_regressions",
        "refusals",
        "connections_accepted",
        "frames",
        "datagrams",
    ];

    pub(crate) fn get(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    /// Everything that was turned away, by reason.
    pub(crate) fn rejects(&self) -> BTreeMap<&str, u64> {
        let all = self.0.iter().map(|(name, count)| (name.as_str(), *count));
        all.filter(|(name, _)| !Self::WORK.contains(name)).collect()
    }

    /// Checks that exactly this was turned away and nothing else.
    #[track_caller]
    pub(crate) fn assert_rejects(&self, expected: &[(&str, u64)]) {
        assert_eq!(self.rejects(), expected.iter().copied().collect());
    }
}

impl Lines {
    fn of(pipe: impl Read + Send + 'static) -> Self {
        let (sender, coming) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { coming, seen: Vec::new() }
    }

    /// The next line; `None` at the end.
    #[track_caller]
    fn next(&mut self) -> Option<String> {
        let start = Instant::now();
        match self.coming.recv_timeout(PATIENCE) {
            Ok(line) => {
                self.seen.push(line.clone());
                Some(line)
            }
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => {
                panic!("nothing for {:?} behind {:#?}", start.elapsed(), self.seen)
            }
        }
    }
}
