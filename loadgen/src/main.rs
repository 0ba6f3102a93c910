//! Load generator for coreflake.
//!
//! Requests leave by a plan that does not wait for replies, and latency counts from when the plan
//! said to send: a server that stalls cannot hide it. Every ID received can be proved to have come
//! once. The doors of the server it speaks to are the binary protocol over TCP and UDP, REST and
//! gRPC.
#![forbid(unsafe_code)]

mod again;
mod args;
mod clock;
mod grpc;
mod intervals;
mod lanes;
mod ledger;
mod plan;
mod progress;
mod report;
mod rest;
mod run;
mod schedule;
mod span;
mod stats;
mod stop;
mod stream;
mod target;
mod tcp;
mod text;
mod udp;
mod verify;
mod worker;

use std::fs::{self, File};
use std::io::{self, Write, stdout};
use std::path::Path;
use std::process::ExitCode;

use args::Args;
use coreflake_protocol::Request;
use report::Report;
use run::RunError;
use stop::Stop;
use target::Scheme;

/// An objective was missed, uniqueness or order broke, or nothing was answered.
const EXIT_FAILED: u8 = 1;
const EXIT_USAGE: u8 = 2;
/// The target could not be reached.
const EXIT_UNAVAILABLE: u8 = 69;

fn main() -> ExitCode {
    let args = Args::read();
    let files = token(args.token_file.as_deref(), args.target.scheme)
        .and_then(|token| Ok((token, json_output(args.json.as_deref())?)));
    let (token, json) = match files {
        Ok(files) => files,
        Err(message) => return fail(&message, EXIT_USAGE),
    };
    let stop = match Stop::on_interrupt() {
        Ok(stop) => stop,
        Err(error) => return fail(&error.to_string(), EXIT_FAILED),
    };
    let findings = match run::run(&args, token.as_deref(), &stop) {
        Ok(findings) => findings,
        Err(RunError::Unreachable(message)) => return fail(&message, EXIT_UNAVAILABLE),
        Err(RunError::System(error)) => return fail(&error.to_string(), EXIT_FAILED),
    };
    let is_unreachable = findings.tally.whole_run.requests == 0 && findings.answering == 0;
    let report = Report::new(&args, findings);
    if let Err(error) = write(&report, json) {
        return fail(&format!("cannot write the report: {error}"), EXIT_FAILED);
    }
    if is_unreachable {
        let cause = report.warnings.first().map_or("no answer", String::as_str);
        return fail(&format!("lost {}: {cause}", report.target), EXIT_UNAVAILABLE);
    }
    ExitCode::from(if report.failures.is_empty() { 0 } else { EXIT_FAILED })
}

/// Where the JSON goes.
enum Json {
    Nowhere,
    Stdout,
    File(File),
}

/// Opens the file before the run: a wrong path costs no measurement.
fn json_output(path: Option<&Path>) -> Result<Json, String> {
    match path {
        None => Ok(Json::Nowhere),
        Some(path) if path == Path::new("-") => Ok(Json::Stdout),
        Some(path) => File::create(path)
            .map(Json::File)
            .map_err(|error| format!("--json {}: {error}", path.display())),
    }
}

/// The token without the line ends around it.
fn token(path: Option<&Path>, scheme: Scheme) -> Result<Option<Vec<u8>>, String> {
    let Some(path) = path else {
        return Ok(None);
    };
    let named = |problem: String| format!("--token-file {}: {problem}", path.display());
    let bytes = fs::read(path).map_err(|error| named(error.to_string()))?;
    let token = bytes.trim_ascii().to_vec();
    if token.is_empty() || token.len() > Request::TOKEN_SIZE_MAX {
        return Err(named(format!("a token has 1 to {} bytes", Request::TOKEN_SIZE_MAX)));
    }
    if scheme.has_headers() && !token.iter().all(u8::is_ascii_graphic) {
        return Err(named("a token in a header is made of visible ASCII characters".to_owned()));
    }
    Ok(Some(token))
}

fn write(report: &Report, json: Json) -> io::Result<()> {
    let mut stdout = stdout().lock();
    match json {
        Json::Nowhere => write!(stdout, "{report}"),
        Json::Stdout => write_json(report, &mut stdout),
        Json::File(mut file) => {
            write_json(report, &mut file)?;
            write!(stdout, "{report}")
        }
    }
}

fn write_json(report: &Report, out: &mut impl Write) -> io::Result<()> {
    let mut text = serde_json::to_vec_pretty(report)?;
    text.push(b'\n');
    out.write_all(&text)?;
    out.flush()
}

fn fail(message: &str, code: u8) -> ExitCode {
    eprintln!("loadgen: {message}");
    ExitCode::from(code)
}
