//! Servers that run under `strace`: it writes down what they ask of the system, and answers for it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::common::{Scratch, Server};

/// A place for a traced server.
pub(crate) struct Traced {
    scratch: Scratch,
}

/// What is traced: everything that makes a bound durable, and everything that sends.
const CALLS: &str = "trace=pwrite64,fdatasync,write,writev,sendto,sendmsg";

/// Longer than anything that is sent at once here: a reply that is cut could not be read.
const STRING_SIZE: &str = "65536";

impl Traced {
    pub(crate) fn new(name: &str) -> Self {
        Self { scratch: Scratch::new(&format!("clock-{name}")) }
    }

    /// Starts a server. `inject` is what `strace` does to it beside watching.
    ///
    /// The process that is started is the server: the tracer is beside it and ends with it.
    #[track_caller]
    pub(crate) fn start(&self, window_ms: u32, inject: &[&str]) -> Server {
        let known = Command::new("strace").arg("-V").stdout(Stdio::null()).status();
        assert!(known.is_ok_and(|status| status.success()), "install the package strace");
        let server = self.command(window_ms);
        let mut command = Command::new("strace");
        command.args(["-D", "-f", "--seccomp-bpf", "-qq", "-ttt", "-xx", "-s", STRING_SIZE]);
        command.args(["-e", CALLS]);
        for what in inject {
            command.arg("-e").arg(format!("inject={what}"));
        }
        command.arg("-o").arg(self.file()).arg(server.get_program()).args(server.get_args());
        command.env_clear();
        command.envs(server.get_envs().filter_map(|(name, value)| Some((name, value?))));
        Server::launch(command).unwrap_or_else(|ended| panic!("not ready: {ended:?}"))
    }

    /// The command of a server in this place that nobody watches.
    pub(crate) fn command(&self, window_ms: u32) -> Command {
        let mut command = Server::command(&["--window-ms", &window_ms.to_string()]);
        command.arg("--state-dir").arg(self.state());
        command
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.scratch.path().join("state")
    }

    /// What was written down, once the server has ended.
    pub(crate) fn text(&self) -> String {
        fs::read_to_string(self.file()).unwrap()
    }

    fn file(&self) -> PathBuf {
        Path::new(self.scratch.path()).join("trace")
    }
}
