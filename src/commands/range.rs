//! `coreflake range`.

use std::io::{self, Write};
use std::process::ExitCode;

use coreflake_protocol::{AnyId, Encoding, IdError, Kind};
use serde::Serialize;
use serde_json::Value;

use crate::args::RangeArgs;
use crate::config::{ConfigError, namespace};
use crate::{exit, timestamp};

/// What is printed of a stretch of time.
#[derive(Debug, Serialize)]
struct Range {
    kind: &'static str,
    from: String,
    to: String,
    min_id: Value,
    max_id: Value,
    min_id_str: String,
    max_id_str: String,
}

/// Prints the smallest and the largest ID of a stretch of time.
pub fn run(args: &RangeArgs) -> ExitCode {
    let range = match range(args) {
        Ok(range) => range,
        Err(message) => return exit::fail(exit::USAGE, &message),
    };
    let line = serde_json::to_string(&range).expect("texts and numbers");
    match writeln!(io::stdout().lock(), "{line}") {
        // Whoever read us has had enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            exit::fail(exit::CHECK_FAILED, &error.to_string())
        }
        _ => ExitCode::SUCCESS,
    }
}

fn range(args: &RangeArgs) -> Result<Range, String> {
    check_encoding(args.kind, args.encoding)?;
    let namespace = namespace(&args.namespace, None);
    let namespace = namespace.map_err(|problems| ConfigError::from(problems).to_string())?;
    let bounds = namespace.bounds(args.kind, args.from.0, args.to.0);
    let bounds = bounds.map_err(|error| error.to_string())?;
    Ok(Range {
        kind: args.kind.name(),
        from: timestamp::rfc3339(args.from.0),
        to: timestamp::rfc3339(args.to.0),
        min_id: value(bounds.min),
        max_id: value(bounds.max),
        min_id_str: text(bounds.min, args.encoding),
        max_id_str: text(bounds.max, args.encoding),
    })
}

/// Whether IDs of this kind can be written so.
pub(crate) fn check_encoding(kind: Kind, encoding: Option<Encoding>) -> Result<(), String> {
    if kind.is_wide() && encoding.is_some() {
        return Err(IdError::NoEncoding(kind).to_string());
    }
    Ok(())
}

/// An ID as text.
pub(crate) fn text(id: AnyId, encoding: Option<Encoding>) -> String {
    match id.id() {
        Some(id) => encoding.unwrap_or_default().text(id).to_string(),
        None => id.to_string(),
    }
}

/// An ID in JSON: a number if it has 64 bits, else its text.
pub(crate) fn value(id: AnyId) -> Value {
    id.id().map_or_else(|| id.to_string().into(), |id| id.get().into())
}
