//! Log lines on standard error.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

use crate::args::LogFormat;

/// What the client of ZooKeeper has to say: at a finer level it prints what a session could be
/// taken over with.
const ZOOKEEPER_LEVEL: &str = "zookeeper_client=warn";

/// Which lines are logged, in the syntax of `tracing-subscriber`'s `EnvFilter`.
const FILTER_VARIABLE: &str = "COREFLAKE_LOG";

/// Starts logging. Later calls in the same process change nothing.
pub fn start(format: LogFormat) {
    let filter = EnvFilter::builder()
        .with_default_directive(tracing::Level::INFO.into())
        .with_env_var(FILTER_VARIABLE)
        .from_env_lossy()
        .add_directive(ZOOKEEPER_LEVEL.parse().expect("a directive"));
    let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(colour)
        // Whoever closed our standard error wants no lines, and no panic about it.
        .log_internal_errors(false)
        .with_target(false);
    let _ = match format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
}
