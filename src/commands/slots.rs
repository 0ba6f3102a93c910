//! `coreflake slots`: looks at records in a state directory, and repairs them. A bound is never
//! lowered.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use coreflake_engine::record::Record;
use coreflake_engine::sanity;
use coreflake_protocol::Layout;

use crate::args::{LogFormat, SlotArgs, SlotsArgs, SlotsCommand};
use crate::clock::WallTime;
use crate::config::{layout, state_directory};
use crate::identity::StoreError;
use crate::identity::file::{FileStore, Listed, SlotKey, list};
use crate::{exit, logging, timestamp};

/// Looks at records, or repairs one.
pub fn run(args: &SlotsArgs) -> ExitCode {
    // What the record itself has to say, a damaged copy for instance.
    logging::start(LogFormat::Text);
    let now_ms = WallTime::now().unix_ms();
    let (SlotsCommand::Show(state)
    | SlotsCommand::Adopt(SlotArgs { state, .. })
    | SlotsCommand::Retire(SlotArgs { state, .. })) = &args.command;
    let layout = match layout(state.epoch, now_ms) {
        Ok(layout) => layout,
        Err(message) => return exit::fail(exit::USAGE, &message),
    };
    match &args.command {
        SlotsCommand::Show(state) => match state_directory(state.state_dir.as_deref()) {
            Ok(directory) => show(&layout, &directory),
            Err(message) => exit::fail(exit::CONFIGURATION, &message),
        },
        SlotsCommand::Adopt(slot) => {
            repair(&layout, slot, now_ms, now_ms.saturating_add(slot.window_ms))
        }
        SlotsCommand::Retire(slot) => {
            repair(&layout, slot, now_ms, layout.unix_ms(layout.tick_max()))
        }
    }
}

fn show(layout: &Layout, directory: &Path) -> ExitCode {
    let records = match list(directory) {
        Ok(records) => records,
        Err(error) => return exit::fail(exit::CHECK_FAILED, &error.to_string()),
    };
    let mut out = io::stdout().lock();
    let mut damaged = false;
    let header = "slot  dc  worker  term  bound                     written                   host";
    let mut written = writeln!(out, "{header}");
    for Listed { slot, record } in records {
        written = written.and_then(|()| match record {
            Ok(record) => writeln!(out, "{}", row(layout, &record)),
            Err(error) => {
                damaged = true;
                writeln!(out, "{slot:>4}  {error}")
            }
        });
    }
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            exit::fail(exit::CHECK_FAILED, &error.to_string())
        }
        _ if damaged => ExitCode::from(exit::CHECK_FAILED),
        _ => ExitCode::SUCCESS,
    }
}

fn row(layout: &Layout, record: &Record) -> String {
    let (datacenter, worker) = layout.slot_parts(record.slot);
    let retired = record.bound_ms >= layout.unix_ms(layout.tick_max());
    let bound = if retired { "retired".to_owned() } else { timestamp::rfc3339(record.bound_ms) };
    format!(
        "{:>4}  {datacenter:>2}  {worker:>6}  {:>4}  {bound:<24}  {:<24}  {}",
        record.slot,
        record.term,
        timestamp::rfc3339(record.written_ms),
        record.host
    )
}

/// Raises the bound of a record, which becomes that of the file it lies in.
fn repair(layout: &Layout, args: &SlotArgs, now_ms: u64, bound_ms: u64) -> ExitCode {
    let slot = match layout.slot(args.datacenter_id, args.worker_id) {
        Ok(slot) => slot,
        Err(error) => return exit::fail(exit::USAGE, &error.to_string()),
    };
    // A bound that a wrong clock has raised stays.
    if let Err(error) = sanity::check_release(now_ms) {
        return exit::fail(exit::CHECK_FAILED, &error.to_string());
    }
    let key = SlotKey::new(layout, slot);
    let state = &args.state;
    let result = state_directory(state.state_dir.as_deref()).map_err(StoreError).and_then(|path| {
        FileStore::adopt(&path, state.allowed_filesystems(), key, now_ms, bound_ms)
    });
    match result {
        Ok(record) => {
            let _ = writeln!(io::stdout(), "{}", row(layout, &record));
            ExitCode::SUCCESS
        }
        Err(error) => exit::fail(exit::CHECK_FAILED, &error.to_string()),
    }
}
