//! `coreflake range`.

use std::io::{self, Write};
use std::process::ExitCode;

use coreflake_protocol::AnyId;

use crate::args::RangeArgs;
use crate::commands::offline::namespace;
use crate::details::IdRange;
use crate::exit;

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

fn range(args: &RangeArgs) -> Result<IdRange, (u8, String)> {
    let usage = |message| (exit::USAGE, message);
    AnyId::check_form(Some(args.kind), args.encoding).map_err(|error| usage(error.to_string()))?;
    let namespace = namespace(&args.file, &args.namespace)?;
    IdRange::of(&namespace, args.kind, args.encoding, (args.from.0, args.to.0))
        .map_err(|error| usage(error.to_string()))
}
