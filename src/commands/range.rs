//! `coreflake range`.

use std::io::{self, Write};
use std::process::ExitCode;

use coreflake_protocol::{AnyId, Encoding, IdError, Kind, Namespace};
use serde::Serialize;
use serde_json::Value;

use crate::args::{FileArgs, NamespaceArgs, RangeArgs};
use crate::config::Config;
use crate::{exit, timestamp};

/// What is printed of a stretch of time.
#[derive(Debug, Serialize)]
struct Range {
    kind: &'static str,
    from: Option<String>,
    to: Option<String>,
    from_ms: u64,
    to_ms: u64,
    min_id: Value,
    max_id: Value,
    min_id_str: String,
    max_id_str: String,
}

/// Prints the smallest and the largest ID of a stretch of time.
pub fn run(args: &RangeArgs) -> ExitCode {
    let range = match range(args) {
        Ok(range) => range,
        Err((code, message)) => return exit::fail(code, &message),
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

fn range(args: &RangeArgs) -> Result<Range, (u8, String)> {
    let usage = |message| (exit::USAGE, message);
    check_encoding(args.kind, args.encoding).map_err(usage)?;
    let namespace = namespace(&args.file, &args.namespace)?;
    let bounds = namespace.bounds(args.kind, args.from.0, args.to.0);
    let bounds = bounds.map_err(|error| usage(error.to_string()))?;
    Ok(Range {
        kind: args.kind.name(),
        from: timestamp::rfc3339_of(args.from.0),
        to: timestamp::rfc3339_of(args.to.0),
        from_ms: args.from.0,
        to_ms: args.to.0,
        min_id: value(bounds.min),
        max_id: value(bounds.max),
        min_id_str: text(bounds.min, args.encoding),
        max_id_str: text(bounds.max, args.encoding),
    })
}

/// The namespace that is named.
///
/// # Errors
///
/// What is wrong with the settings, and the exit code: where a file is named, it may be the file.
pub(crate) fn namespace(
    file: &FileArgs,
    namespace: &NamespaceArgs,
) -> Result<Namespace, (u8, String)> {
    let code = if file.config.is_some() { exit::CONFIGURATION } else { exit::USAGE };
    Config::namespace(file, namespace).map_err(|error| (code, error.to_string()))
}

/// Whether IDs of this kind can be written so.
pub(crate) fn check_encoding(kind: Kind, encoding: Option<Encoding>) -> Result<(), String> {
    match encoding {
        Some(encoding) if kind.is_wide() => Err(IdError::NoEncoding(kind, encoding).to_string()),
        _ => Ok(()),
    }
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
