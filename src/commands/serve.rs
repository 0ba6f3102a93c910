//! `coreflake serve`.

use std::io::{self, Write};
use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

use crate::args::ServeArgs;
use crate::config::Config;
use crate::server::{Server, StartError};
use crate::{exit, logging};

/// Serves until SIGTERM or SIGINT.
pub fn run(args: &ServeArgs) -> ExitCode {
    logging::start(args.log_format);
    let config = match Config::new(args) {
        Ok(config) => config,
        Err(error) => return exit::fail(exit::CONFIGURATION, &error.to_string()),
    };
    raise_open_files_limit();
    let server = match Server::bind(config) {
        Ok(server) => server,
        Err(error @ StartError::Bind { .. }) => {
            return exit::fail(exit::CONFIGURATION, &error.to_string());
        }
        Err(error) => return exit::fail(exit::UNAVAILABLE, &error.to_string()),
    };
    let line = server.ready_line();
    let ready = || {
        // Whoever started us may have closed our output; that is no reason not to serve.
        let mut out = io::stdout().lock();
        let _ = writeln!(out, "{line}").and_then(|()| out.flush());
    };
    match server.run(ready, stop_signal()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => exit::fail(exit::SOFTWARE, &error.to_string()),
    }
}

/// Ready at the first SIGTERM or SIGINT. The second one ends the process at once.
async fn stop_signal() {
    let signals = signal(SignalKind::terminate())
        .and_then(|terminate| Ok((terminate, signal(SignalKind::interrupt())?)));
    let (mut terminate, mut interrupt) = match signals {
        Ok(signals) => signals,
        Err(error) => {
            warn!(%error, "cannot listen for signals: stop the process with SIGKILL");
            return core::future::pending().await;
        }
    };
    let name = tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    };
    info!(signal = name, "draining; a second signal ends at once");
    // From here on the control plane only joins threads, so the second signal needs its own.
    let spawned = std::thread::Builder::new().name("second-signal".into()).spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let Ok(runtime) = runtime else { return };
        runtime.block_on(async {
            let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
            let (Ok(mut terminate), Ok(mut interrupt)) = signals else { return };
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            std::process::exit(i32::from(exit::SOFTWARE));
        });
    });
    if let Err(error) = spawned {
        warn!(%error, "cannot listen for a second signal");
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
