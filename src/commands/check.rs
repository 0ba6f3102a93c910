//! `coreflake check`: what `serve` looks at before it touches anything.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

use coreflake_engine::sanity;
use coreflake_protocol::Slot;

use crate::args::ServeArgs;
use crate::clock::WallTime;
use crate::config::Config;
use crate::exit;
use crate::identity::directory::{self, Directory};
use crate::identity::file::{self, Listed, SlotKey};

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
            error.state.as_deref()
        }
    };
    // With a shared store no record lies there.
    let local = state.filter(|state| state.store.is_none());
    if let Some(Err(error)) =
        local.map(|state| directory::examine(&state.directory, &state.allowed_filesystems))
    {
        problems.push(error.to_string());
    }
    if let Err(error) = sanity::check_release(now_ms) {
        problems.push(error.to_string());
    }
    if let Ok(config) = &config {
        problems.extend(record_problems(config, now_ms));
    }
    match config {
        Ok(config) if problems.is_empty() => {
            let _ = writeln!(io::stdout(), "{}", summary(&config));
            ExitCode::SUCCESS
        }
        _ => exit::fail(exit::CONFIGURATION, &problems.join("\n")),
    }
}

/// What is wrong with the records of slots that were asked for, if there are some. What is wrong
/// with the directory has been told; a shared store is not asked.
fn record_problems(config: &Config, now_ms: u64) -> Vec<String> {
    if config.state.store.is_some() || !config.worker.fixed {
        return Vec::new();
    }
    let listed = Directory::existing(&config.state.directory).and_then(|path| file::list(&path));
    let listed = listed.unwrap_or_default();
    let keys = config.worker.pool.iter().map(|slot| SlotKey::new(&config.namespace, *slot));
    keys.filter_map(|key| {
        let listed = listed.iter().find(|listed| listed.slot == key.slot)?;
        record_problem(config, now_ms, key, listed)
    })
    .collect()
}

fn record_problem(config: &Config, now_ms: u64, key: SlotKey, listed: &Listed) -> Option<String> {
    let record = match &listed.record {
        Ok(record) => record,
        Err(error) => return Some(error.to_string()),
    };
    if let Err(problem) = key.check(record) {
        return Some(format!("the record of slot {} {problem}", key.slot));
    }
    let plausible = sanity::check_slot(now_ms, record.created_ms, record.written_ms);
    plausible.err().filter(|_| !config.state.accept_clock).map(|error| error.to_string())
}

fn summary(config: &Config) -> String {
    let Config { worker, listen, http, grpc, state, .. } = config;
    let or_none = |address: &Option<SocketAddr>| {
        address.map_or_else(|| "none".to_owned(), |address| address.to_string())
    };
    let workers = match (worker.fixed, worker.pool.as_slice()) {
        (true, [slot]) => slot.worker_id().to_string(),
        (_, pool) => {
            let end = |slot: Option<&Slot>| slot.map_or(0, |slot| slot.worker_id());
            let (first, last) = (end(pool.first()), end(pool.last()));
            let which = if worker.fixed { "all" } else { "free ones" };
            format!("{first}-{last} ({} of them, {which})", worker.count)
        }
    };
    let store = match &state.store {
        None => String::new(),
        Some(store) => {
            let endpoints = store.settings.endpoints.iter().map(ToString::to_string);
            format!(", {} {}", store.kind.name(), endpoints.collect::<Vec<_>>().join(","))
        }
    };
    format!(
        "ok: datacenter {} worker {workers}, tcp {listen}, udp {}, http {}, grpc {}, shards {}, \
         state-dir {}{store}",
        worker.datacenter_id,
        or_none(&Some(*listen).filter(|_| !config.udp_allow.is_empty())),
        or_none(http),
        or_none(grpc),
        config.plans.shards(),
        state.directory.display()
    )
}
