//! A process that a test starts, freezes, kills and starts again.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::common::{pause, until};
use crate::network::within;

/// How much of a log a failure shows.
const TAIL_LINES: usize = 40;

/// How long a store may take until it serves: a JVM that starts beside many other processes, or an
/// election.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// It is killed when the value goes away.
pub(crate) struct Daemon {
    line: Vec<String>,
    log: PathBuf,
    namespace: Option<String>,
    child: Child,
}

impl Daemon {
    /// Starts the program that comes first in `line`, with the rest as its arguments, in this
    /// network namespace or in that of the caller.
    #[track_caller]
    pub(crate) fn start(line: Vec<String>, log: PathBuf, namespace: Option<String>) -> Self {
        let child = spawn(&line, &log, namespace.as_deref());
        Self { line, log, namespace, child }
    }

    /// Asks until there is an answer. Fails, and shows the log, when the process ends before, or
    /// when it takes too long.
    #[track_caller]
    pub(crate) fn wait_for<T>(&mut self, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
        let start = Instant::now();
        loop {
            if let Some(answer) = ask() {
                return answer;
            }
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "{what}: {ended:?}:\n{}", self.tail());
            assert!(
                start.elapsed() < START_TIMEOUT,
                "{what}: not within {START_TIMEOUT:?}:\n{}",
                self.tail()
            );
            pause(Duration::from_millis(20));
        }
    }

    /// Ends it as a power cut does.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again, killed or not.
    #[track_caller]
    pub(crate) fn restart(&mut self) {
        self.kill();
        self.child = spawn(&self.line, &self.log, self.namespace.as_deref());
    }

    /// The same with other arguments.
    #[track_caller]
    pub(crate) fn restart_as(&mut self, line: Vec<String>) {
        self.line = line;
        self.restart();
    }

    /// Freezes it: its connections stay, and nobody answers.
    #[track_caller]
    pub(crate) fn stop(&self) {
        self.signal(Signal::STOP);
        // Each thread stops when it is its turn to run.
        let tasks = format!("/proc/{}/task", self.child.id());
        let is_stopped = |task: io::Result<fs::DirEntry>| {
            let status = fs::read_to_string(task?.path().join("status"))?;
            Ok::<_, io::Error>(status.lines().any(|line| line.starts_with("State:\tT")))
        };
        until("all threads have stopped", || {
            let mut tasks = fs::read_dir(&tasks).unwrap();
            // One that is gone by now does nothing either.
            tasks.all(|task| is_stopped(task).unwrap_or(true)).then_some(())
        });
    }

    #[track_caller]
    pub(crate) fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    #[track_caller]
    fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).unwrap();
        kill_process(Pid::from_raw(id).unwrap(), signal).unwrap();
    }

    fn tail(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}

#[track_caller]
fn spawn(line: &[String], log: &PathBuf, namespace: Option<&str>) -> Child {
    let log = File::options().create(true).append(true).open(log).unwrap();
    let mut command = command(&line[0]);
    command.args(&line[1..]).stdout(log.try_clone().unwrap()).stderr(log);
    let started = match namespace {
        Some(namespace) => within(namespace, || command.spawn()),
        None => command.spawn(),
    };
    started.unwrap_or_else(|error| missing(&line[0], &error))
}

/// Where programs are, also those that live where only the administrator looks.
pub(crate) fn path() -> String {
    std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin"
}

/// A program without input, and without an environment: etcd, Consul and curl would obey it.
fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", path()).stdin(Stdio::null());
    command
}

/// Runs a program to its end.
#[track_caller]
pub(crate) fn output(program: &str, args: &[&str]) -> Output {
    let output = command(program).args(args).output();
    output.unwrap_or_else(|error| missing(program, &error))
}

/// Runs a program, which has to succeed, and gives what it says.
#[track_caller]
pub(crate) fn run(program: &str, args: &[&str]) -> String {
    let output = output(program, args);
    assert!(output.status.success(), "{program} {args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn missing(program: &str, error: &io::Error) -> ! {
    panic!("{program}: {error}: scripts/setup.sh installs what the tests need")
}
