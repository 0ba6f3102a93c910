//! `coreflake serve`.

use std::io::{self, Write};
use std::process::ExitCode;

use tracing::warn;

use crate::args::ServeArgs;
use crate::clock::WallTime;
use crate::config::Config;
use crate::control::RunError;
use crate::server::{Server, StartError};
use crate::{exit, logging, signals};

/// Serves until SIGTERM or SIGINT.
pub fn run(args: &ServeArgs) -> ExitCode {
    let config = match Config::load(args, WallTime::now().unix_ms()) {
        Ok(config) => config,
        Err(error) => return exit::fail(exit::CONFIGURATION, &error.to_string()),
    };
    logging::start(config.log_format);
    raise_open_files_limit();
    let server = match Server::bind(config) {
        Ok(server) => server,
        Err(error @ StartError::Random(_)) => {
            return exit::fail(exit::UNAVAILABLE, &error.to_string());
        }
        Err(error) => return exit::fail(exit::CONFIGURATION, &error.to_string()),
    };
    let ready = |line: &str| {
        // Whoever started us may have closed our output; that is no reason not to serve.
        let mut out = io::stdout().lock();
        let _ = writeln!(out, "{line}").and_then(|()| out.flush());
    };
    let stop = match signals::listen() {
        Ok(stop) => stop,
        Err(error) => return exit::fail(exit::SOFTWARE, &format!("no signals: {error}")),
    };
    match server.run(ready, stop) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error @ RunError::Refused(_)) => exit::fail(exit::CONFIGURATION, &error.to_string()),
        Err(error @ RunError::Store(_)) => exit::fail(exit::UNAVAILABLE, &error.to_string()),
        Err(error) => exit::fail(exit::SOFTWARE, &error.to_string()),
    }
}

/// Raises the soft limit of open files to the hard one: each connection needs one.
fn raise_open_files_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        warn!(%error, "cannot raise the limit of open files");
    }
}
