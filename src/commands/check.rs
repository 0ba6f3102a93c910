//! `coreflake check`: what `serve` looks at before it touches anything.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

use coreflake_engine::sanity;

use crate::args::ServeArgs;
use crate::clock::WallTime;
use crate::config::Config;
use crate::exit;
use crate::identity::directory;
use crate::identity::file::{self, SlotKey};

/// Names every problem of a configuration, or says what a server would do with it. Binds nothing
/// and writes nothing: a server with this configuration may be running.
pub fn run(args: &ServeArgs) -> ExitCode {
    let now_ms = WallTime::now().unix_ms();
    let mut problems = Vec::new();
    let config = Config::load(args, now_ms);
    let state = match &config {
        Ok(config) => Some(&config.state),
        Err(error) => {
            problems.push(error.to_string());
            error.state.as_ref()
        }
    };
    if let Some(Err(error)) =
        state.map(|state| directory::examine(&state.directory, &state.allowed_filesystems))
    {
        problems.push(error.to_string());
    }
    if let Err(error) = sanity::check_release(now_ms) {
        problems.push(error.to_string());
    }
    if let Ok(config) = &config {
        problems.extend(record_problem(config, now_ms));
    }
    match config {
        Ok(config) if problems.is_empty() => {
            let _ = writeln!(io::stdout(), "{}", summary(&config));
            ExitCode::SUCCESS
        }
        _ => exit::fail(exit::CONFIGURATION, &problems.join("\n")),
    }
}

/// What is wrong with the record of the slot, if there is one. What is wrong with the directory has
/// been told.
fn record_problem(config: &Config, now_ms: u64) -> Option<String> {
    let key = SlotKey::new(&config.layout, config.slot);
    let mut records = file::list(&config.state.directory).ok()?.into_iter();
    let record = match records.find(|listed| listed.slot == key.slot)?.record {
        Ok(record) => record,
        Err(error) => return Some(error.to_string()),
    };
    if let Err(problem) = key.check(&record) {
        return Some(format!("the record of slot {} {problem}", key.slot));
    }
    let plausible = sanity::check_slot(now_ms, record.created_ms, record.written_ms);
    plausible.err().filter(|_| !config.state.accept_clock).map(|error| error.to_string())
}

fn summary(config: &Config) -> String {
    let Config { slot, listen, http, grpc, state, .. } = config;
    let or_none = |address: &Option<SocketAddr>| {
        address.map_or_else(|| "none".to_owned(), |address| address.to_string())
    };
    format!(
        "ok: datacenter {} worker {}, tcp {listen}, udp {}, http {}, grpc {}, shards {}, \
         state-dir {}",
        slot.datacenter_id(),
        slot.worker_id(),
        or_none(&Some(*listen).filter(|_| !config.udp_allow.is_empty())),
        or_none(http),
        or_none(grpc),
        config.plan.shards(),
        state.directory.display()
    )
}
