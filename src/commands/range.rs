//! `coreflake range`.

use std::io::{self, Write};
use std::process::ExitCode;

use coreflake_protocol::AnyId;
use serde::Serialize;

use crate::args::RangeArgs;
use crate::commands::offline::namespace;
use crate::details::Bare;
use crate::{exit, timestamp};

/// What is printed of a stretch of time.
#[derive(Debug, Serialize)]
struct Range {
    kind: &'static str,
    from: Option<String>,
    to: Option<String>,
    from_ms: u64,
    to_ms: u64,
    min_id: Bare,
    max_id: Bare,
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
    AnyId::check_form(Some(args.kind), args.encoding).map_err(|error| usage(error.to_string()))?;
    let written = |id: AnyId| id.text(args.encoding.unwrap_or_default()).to_string();
    let namespace = namespace(&args.file, &args.namespace)?;
    let bounds = namespace.bounds(args.kind, args.from.0, args.to.0);
    let bounds = bounds.map_err(|error| usage(error.to_string()))?;
    Ok(Range {
        kind: args.kind.name(),
        from: timestamp::rfc3339_of(args.from.0),
        to: timestamp::rfc3339_of(args.to.0),
        from_ms: args.from.0,
        to_ms: args.to.0,
        min_id: Bare(bounds.min),
        max_id: Bare(bounds.max),
        min_id_str: written(bounds.min),
        max_id_str: written(bounds.max),
    })
}
