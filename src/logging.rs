//! Log lines on standard error.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

use crate::args::LogFormat;

/// Which lines are logged, in the syntax of `tracing-subscriber`'s `EnvFilter`.
const FILTER_VARIABLE: &str = "COREFLAKE_LOG";

/// The same when it is not set. What that crate has to say of a session is told by ours.
const FILTER: &str = "info,zookeeper_client=warn";

/// Starts logging. Later calls in the same process change nothing.
pub fn start(format: LogFormat) {
    let builder = EnvFilter::builder().with_default_directive(tracing::Level::INFO.into());
    let told = std::env::var(FILTER_VARIABLE).ok().filter(|told| !told.is_empty());
    let filter = builder.parse_lossy(told.as_deref().unwrap_or(FILTER));
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
