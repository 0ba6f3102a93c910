//! Exit codes, fixed for scripts and supervisors.

use std::io::{self, Write};
use std::process::ExitCode;

/// Something was checked and found wrong: an ID that is none, for instance.
pub const CHECK_FAILED: u8 = 1;

/// The command line makes no sense.
pub const USAGE: u8 = 2;

/// A server is not there, or cannot serve.
pub const UNAVAILABLE: u8 = 69;

/// The program itself is at fault.
pub const SOFTWARE: u8 = 70;

/// The configuration makes no sense.
pub const CONFIGURATION: u8 = 78;

/// Says `message`, and gives `code`.
pub fn fail(code: u8, message: &str) -> ExitCode {
    say(message);
    ExitCode::from(code)
}

/// Prints the lines of `message` on standard error, each with the name of the program. If nobody
/// reads it, that is no reason to fail.
pub fn say(message: &str) {
    let mut error = io::stderr().lock();
    for line in message.lines() {
        let _ = writeln!(error, "coreflake: {line}");
    }
}
