//! `coreflake slots`: looks at records in a state directory, and repairs them. A bound is never
//! lowered.

use std::io::{self, Write};
use std::process::ExitCode;

use coreflake_engine::record::Record;
use coreflake_engine::sanity;
use coreflake_protocol::Layout;
use jiff::Timestamp;

use crate::args::{LogFormat, SlotArgs, SlotsArgs, SlotsCommand};
use crate::clock::WallTime;
use crate::config::state_directory;
use crate::identity::StoreError;
use crate::identity::file::{FileStore, Listed, SlotKey, list};
use crate::{exit, logging};

/// Looks at records, or repairs one.
pub fn run(args: &SlotsArgs) -> ExitCode {
    // What the record itself has to say, a damaged copy for instance.
    logging::start(LogFormat::Text);
    match &args.command {
        SlotsCommand::Show { state_dir } => match state_directory(state_dir.as_deref()) {
            Ok(directory) => show(&directory),
            Err(message) => exit::fail(exit::CONFIGURATION, &message),
        },
        SlotsCommand::Adopt(slot) => {
            let now_ms = WallTime::now().unix_ms();
            repair(slot, now_ms, now_ms.saturating_add(slot.window_ms))
        }
        SlotsCommand::Retire(slot) => {
            let layout = Layout::SNOWFLAKE;
            repair(slot, WallTime::now().unix_ms(), layout.unix_ms(layout.tick_max()))
        }
    }
}

fn show(directory: &std::path::Path) -> ExitCode {
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
            Ok(record) => writeln!(out, "{}", row(&record)),
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

fn row(record: &Record) -> String {
    let layout = Layout::SNOWFLAKE;
    let (datacenter, worker) = layout.slot_parts(record.slot);
    let retired = record.bound_ms >= layout.unix_ms(layout.tick_max());
    let bound = if retired { "retired".to_owned() } else { time(record.bound_ms) };
    format!(
        "{:>4}  {datacenter:>2}  {worker:>6}  {:>4}  {bound:<24}  {:<24}  {}",
        record.slot,
        record.term,
        time(record.written_ms),
        record.host
    )
}

fn time(unix_ms: u64) -> String {
    let time = i64::try_from(unix_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    time.map_or_else(|| unix_ms.to_string(), |time| format!("{time:.3}"))
}

/// Raises the bound of a record, which becomes that of the file it lies in.
fn repair(args: &SlotArgs, now_ms: u64, bound_ms: u64) -> ExitCode {
    let layout = Layout::SNOWFLAKE;
    let slot = match layout.slot(args.datacenter_id, args.worker_id) {
        Ok(slot) => slot,
        Err(error) => return exit::fail(exit::USAGE, &error.to_string()),
    };
    // A bound that a wrong clock has raised stays.
    if let Err(error) = sanity::check_release(now_ms) {
        return exit::fail(exit::CHECK_FAILED, &error.to_string());
    }
    let key = SlotKey::new(&layout, slot);
    let result = state_directory(args.state_dir.as_deref()).map_err(StoreError).and_then(|path| {
        FileStore::adopt(&path, &args.allow_state_filesystem, key, now_ms, bound_ms)
    });
    match result {
        Ok(record) => {
            let _ = writeln!(io::stdout(), "{}", row(&record));
            ExitCode::SUCCESS
        }
        Err(error) => exit::fail(exit::CHECK_FAILED, &error.to_string()),
    }
}
