//! `coreflake slots`: looks at records, makes them and repairs them. A bound is never lowered.

use std::io::{self, Write};
use std::process::ExitCode;

use coreflake_engine::record::Record;
use coreflake_engine::sanity;
use coreflake_protocol::{Namespace, Slot};

use crate::args::{
    FloorArgs, LogFormat, RecordsArgs, ServeArgs, SlotArgs, SlotsArgs, SlotsCommand,
};
use crate::clock::WallTime;
use crate::commands::records::Records;
use crate::commands::slot_table;
use crate::config::{Config, ConfigError, StateConfig, namespace};
use crate::identity::StoreError;
use crate::identity::file::SlotKey;
use crate::limits::WINDOW_MS;
use crate::{exit, logging};

/// What has gone wrong, and the exit code that says so.
type Failure = (u8, String);

/// Looks at records, makes them, or repairs them.
pub fn run(args: &SlotsArgs) -> ExitCode {
    // What the record itself has to say, a damaged copy for instance.
    logging::start(LogFormat::Text);
    let result = match &args.command {
        SlotsCommand::List(records) => list(records),
        SlotsCommand::Show(slot) => show(slot),
        SlotsCommand::Init(floor) => init(floor),
        SlotsCommand::Adopt(slot) => repair(slot, false),
        SlotsCommand::Retire(slot) => repair(slot, true),
        SlotsCommand::Fence(floor) => fence(floor),
    };
    match result {
        Ok(output) => print(&output),
        Err((code, message)) => exit::fail(code, &message),
    }
}

/// What the commands have in common.
struct Place {
    now_ms: u64,
    namespace: Namespace,
    datacenter_id: u16,
    worker_id: Option<u64>,
    window_ms: u64,
    records: Records,
}

impl Place {
    fn open(args: &RecordsArgs, worker_id: Option<u64>) -> Result<Self, Failure> {
        let RecordsArgs { config, datacenter_id, state } = args;
        let (config, datacenter_id, state) = (config.clone(), *datacenter_id, state.clone());
        let args = ServeArgs { config, datacenter_id, worker_id, state, ..ServeArgs::default() };
        let configuration = |error: ConfigError| (exit::CONFIGURATION, error.to_string());
        let args = Config::merged(&args).map_err(configuration)?;
        let now_ms = WallTime::now().unix_ms();
        let usage = |message: String| (exit::USAGE, message);
        let namespace = namespace(&args.state.namespace, Some(now_ms))
            .map_err(|problems| usage(ConfigError::from(problems).to_string()))?;
        let layout = namespace.layout();
        let datacenter = layout.slot(args.datacenter_id.unwrap_or(0), 0);
        let datacenter_id = datacenter.map_err(|error| usage(error.to_string()))?.datacenter_id();
        let state = StateConfig::of(&args, layout, datacenter_id).map_err(configuration)?;
        let window_ms = state.window_ms;
        let records = Records::open(state, namespace, datacenter_id)
            .map_err(|error| (exit::CONFIGURATION, error.to_string()))?;
        Ok(Self { now_ms, namespace, datacenter_id, worker_id: args.worker_id, window_ms, records })
    }

    fn slot(&self) -> Result<Slot, Failure> {
        let usage = |message: String| (exit::USAGE, message);
        let worker_id = self
            .worker_id
            .ok_or_else(|| usage("which slot? name it with --worker-id".to_owned()))?;
        self.namespace
            .layout()
            .slot(self.datacenter_id.into(), worker_id)
            .map_err(|error| usage(error.to_string()))
    }

    /// What a store has refused, or that it is not there.
    fn failed(&self, error: &StoreError) -> Failure {
        let code = if self.records.is_away() { exit::UNAVAILABLE } else { exit::CHECK_FAILED };
        (code, error.to_string())
    }

    /// A bound that a wrong clock has raised stays.
    fn check_clock(&self) -> Result<(), Failure> {
        sanity::check_release(self.now_ms).map_err(|error| (exit::CHECK_FAILED, error.to_string()))
    }
}

fn list(args: &RecordsArgs) -> Result<Output, Failure> {
    let place = Place::open(args, None)?;
    let seen = place.records.list().map_err(|error| place.failed(&error))?;
    let rows = seen.iter().map(|seen| slot_table::row(&place.namespace, place.now_ms, seen));
    let text = [slot_table::HEADER.to_owned()].into_iter().chain(rows).collect::<Vec<_>>();
    Ok(Output { text: text.join("\n"), damaged: seen.iter().any(|seen| seen.record.is_err()) })
}

fn show(args: &SlotArgs) -> Result<Output, Failure> {
    let place = Place::open(&args.records, args.worker_id)?;
    let slot = place.namespace.layout().slot_number(place.slot()?);
    let seen = place.records.list().map_err(|error| place.failed(&error))?;
    let seen = seen.iter().find(|seen| seen.slot == slot);
    let seen = seen.ok_or_else(|| (exit::CHECK_FAILED, format!("slot {slot} has no record")))?;
    let text = slot_table::object(&place.namespace, place.now_ms, seen);
    let text = text.map_err(|error| (exit::CHECK_FAILED, error))?;
    Ok(Output { text, damaged: false })
}

fn init(args: &FloorArgs) -> Result<Output, Failure> {
    let place = Place::open(&args.records, None)?;
    place.check_clock()?;
    let bound_ms = args.floor.map_or(place.now_ms, |floor| floor.unix_ms(place.now_ms));
    let made = place.records.init(place.now_ms, bound_ms.max(place.now_ms));
    let made = made.map_err(|error| place.failed(&error))?;
    let datacenter_id = place.datacenter_id;
    Ok(Output { text: format!("datacenter {datacenter_id}: {made} records made"), damaged: false })
}

/// Raises the bound of a record that may not be usable, or to the end of the layout.
fn repair(args: &SlotArgs, retire: bool) -> Result<Output, Failure> {
    let place = Place::open(&args.records, args.worker_id)?;
    let key = SlotKey::new(&place.namespace, place.slot()?);
    place.check_clock()?;
    let window_ms = args.window_ms.unwrap_or(place.window_ms);
    let behind_ms = place.now_ms.saturating_add(window_ms);
    let bound_ms = if retire { key.end_ms } else { behind_ms };
    // Nobody knows how far ahead the last server had reserved, unless it is said.
    let unknown_ms = place.now_ms.saturating_add(args.window_ms.unwrap_or(*WINDOW_MS.end()));
    let unknown_ms = unknown_ms.max(bound_ms);
    let adopted = place.records.adopt(key, place.now_ms, bound_ms, unknown_ms);
    let record = adopted.map_err(|error| place.failed(&error))?;
    Ok(rows(&place, [(record.slot, Ok(record))]))
}

fn fence(args: &FloorArgs) -> Result<Output, Failure> {
    let place = Place::open(&args.records, None)?;
    place.check_clock()?;
    let floor = args.floor.ok_or_else(|| {
        (exit::USAGE, "up to where may IDs have been issued? name it with --floor".to_owned())
    })?;
    let bound_ms = floor.unix_ms(place.now_ms);
    let end_ms = place.namespace.layout().end_ms();
    if bound_ms >= end_ms {
        let text = "--floor lies behind the end of the layout: every slot would be retired";
        return Err((exit::USAGE, text.to_owned()));
    }
    let before = place.records.list().map_err(|error| place.failed(&error))?;
    let lower = |seen: &crate::identity::Seen| {
        seen.record.as_ref().is_ok_and(|record| record.bound_ms < bound_ms)
    };
    if !before.iter().any(lower) {
        let text = "no bound is below --floor, and a bound is never lowered: nothing was done";
        return Err((exit::CHECK_FAILED, text.to_owned()));
    }
    let fenced = place.records.fence(place.now_ms, bound_ms);
    let fenced = fenced.map_err(|error| place.failed(&error))?;
    Ok(rows(&place, fenced))
}

fn rows(
    place: &Place,
    records: impl IntoIterator<Item = (u16, Result<Record, StoreError>)>,
) -> Output {
    let mut damaged = false;
    let mut text = slot_table::HEADER.to_owned();
    for (slot, record) in records {
        damaged |= record.is_err();
        let seen = crate::identity::Seen { slot, record, holder: None };
        text.push('\n');
        text.push_str(&slot_table::row(&place.namespace, place.now_ms, &seen));
    }
    Output { text, damaged }
}

/// What is printed, and whether something in it is wrong.
struct Output {
    text: String,
    damaged: bool,
}

fn print(output: &Output) -> ExitCode {
    match writeln!(io::stdout(), "{}", output.text) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            exit::fail(exit::CHECK_FAILED, &error.to_string())
        }
        _ if output.damaged => ExitCode::from(exit::CHECK_FAILED),
        _ => ExitCode::SUCCESS,
    }
}
