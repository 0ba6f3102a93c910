//! Slots, as people and programs read them.

use coreflake_engine::record::Record;
use coreflake_protocol::{Layout, Namespace};
use serde::Serialize;

use crate::identity::{Holder, Seen};
use crate::timestamp;

pub(crate) const HEADER: &str = "slot  dc  worker  state    term  bound                     \
                                 age       host";

/// How a slot is, in one word.
fn state(layout: &Layout, now_ms: u64, record: &Record, holder: Option<&Holder>) -> &'static str {
    if record.bound_ms >= layout.end_ms() {
        "retired"
    } else if holder.is_some() {
        "held"
    } else if record.bound_ms > now_ms {
        // Nobody has it, and it cannot be had before its last window is over.
        "ending"
    } else {
        "free"
    }
}

/// Whether a record is one of this namespace: what its slot and bound mean follows from that.
///
/// # Errors
///
/// What is to be done.
fn check(namespace: &Namespace, record: &Record) -> Result<(), String> {
    if record.fingerprint == namespace.fingerprint() {
        return Ok(());
    }
    Err(format!(
        "is of namespace {:016x}, and these settings are of {:016x}: name its layout, ticks and epochs",
        record.fingerprint,
        namespace.fingerprint()
    ))
}

/// One line of a table. `host` is that of the holder, or who wrote the record last.
pub(crate) fn row(namespace: &Namespace, now_ms: u64, seen: &Seen) -> String {
    let layout = namespace.layout();
    let (datacenter, worker) = layout.slot_parts(seen.slot);
    let begin = format!("{:>4}  {datacenter:>2}  {worker:>6}", seen.slot);
    let record = match &seen.record {
        Ok(record) => record,
        Err(error) => return format!("{begin}  damaged  {error}"),
    };
    if let Err(error) = check(namespace, record) {
        return format!("{:>4}   -       -  foreign  {error}", seen.slot);
    }
    let state = state(layout, now_ms, record, seen.holder.as_ref());
    let host = match &seen.holder {
        Some(Holder::Other(text)) => text.split_whitespace().next().unwrap_or("?").to_owned(),
        _ => record.host.to_string(),
    };
    let bound =
        if state == "retired" { "-".to_owned() } else { timestamp::rfc3339(record.bound_ms) };
    let age = age(now_ms.saturating_sub(record.written_ms));
    format!("{begin}  {state:<7}  {:>4}  {bound:<24}  {age:<8}  {host}", record.term)
}

/// How long ago, roughly.
fn age(ms: u64) -> String {
    match ms / 1_000 {
        seconds @ 0..=119 => format!("{seconds} s"),
        seconds @ 120..=7_199 => format!("{} min", seconds / 60),
        seconds @ 7_200..=172_799 => format!("{} h", seconds / 3_600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

#[derive(Serialize)]
struct Object<'a> {
    slot: u16,
    datacenter_id: u16,
    worker_id: u16,
    state: &'a str,
    term: u64,
    bound: String,
    bound_ms: u64,
    written: String,
    created: String,
    host: &'a str,
    holder: String,
    namespace: String,
    live_marker: Option<&'a str>,
}

/// Everything about a slot.
///
/// # Errors
///
/// When its record cannot be used, or is of another namespace.
pub(crate) fn object(namespace: &Namespace, now_ms: u64, seen: &Seen) -> Result<String, String> {
    let record = seen.record.as_ref().map_err(ToString::to_string)?;
    check(namespace, record).map_err(|error| format!("slot {} {error}", seen.slot))?;
    let layout = namespace.layout();
    let (datacenter_id, worker_id) = layout.slot_parts(seen.slot);
    let live_marker = match &seen.holder {
        Some(Holder::Other(text)) => Some(text.as_str()),
        _ => None,
    };
    let object = Object {
        slot: seen.slot,
        datacenter_id,
        worker_id,
        state: state(layout, now_ms, record, seen.holder.as_ref()),
        term: record.term,
        bound: timestamp::rfc3339(record.bound_ms),
        bound_ms: record.bound_ms,
        written: timestamp::rfc3339(record.written_ms),
        created: timestamp::rfc3339(record.created_ms),
        host: record.host.as_str(),
        holder: format!("{:032x}", record.holder),
        namespace: format!("{:016x}", record.fingerprint),
        live_marker,
    };
    serde_json::to_string(&object).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_rough() {
        let ages = [(0, "0 s"), (119_999, "119 s"), (120_000, "2 min"), (7_200_000, "2 h")];
        for (ms, text) in ages {
            assert_eq!(age(ms), text);
        }
        assert_eq!(age(200_000_000), "2 d");
    }
}
