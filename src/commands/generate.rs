//! `coreflake generate`.

use core::time::Duration;
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use coreflake_client::{Client, Error};
use coreflake_protocol::{AnyId, Count};

use crate::args::GenerateArgs;
use crate::{auth, exit};

/// How long a call may take: who types a command can wait longer than who serves requests.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// IDs fetched in one call: a server with few numbers needs a while for more.
const BATCH_MAX: u32 = Count::MAX;

/// Why there are no more IDs.
enum Failure {
    /// The command line names no server.
    Usage(Error),
    Client(Error),
    Output(io::Error),
}

/// Fetches IDs and prints one a line.
pub fn run(args: &GenerateArgs) -> ExitCode {
    if let Err(error) = AnyId::check_form(Some(args.kind), args.encoding) {
        return exit::fail(exit::USAGE, &error.to_string());
    }
    let scheme = if args.udp { "udp" } else { "tcp" };
    let endpoint = match args.server.split_once("://") {
        None => format!("{scheme}://{}", args.server),
        Some(("tcp", _)) if args.udp => {
            return exit::fail(exit::USAGE, &format!("--udp: {} is a TCP address", args.server));
        }
        Some(_) => args.server.clone(),
    };
    let token = match args.token_file.as_deref().map(auth::first_token).transpose() {
        Ok(token) => token,
        Err(message) => return exit::fail(exit::CONFIGURATION, &message),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return exit::fail(exit::SOFTWARE, &error.to_string()),
    };
    match runtime.block_on(generate(&endpoint, token, args)) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read us has had enough.
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(Failure::Output(error)) => exit::fail(exit::CHECK_FAILED, &error.to_string()),
        Err(Failure::Usage(error)) => exit::fail(exit::USAGE, &error.to_string()),
        Err(Failure::Client(error)) => {
            exit::fail(exit::UNAVAILABLE, &format!("no IDs from {endpoint}: {error}"))
        }
    }
}

async fn generate(
    endpoint: &str,
    token: Option<Vec<u8>>,
    args: &GenerateArgs,
) -> Result<(), Failure> {
    let mut builder = Client::builder().endpoint(endpoint).call_timeout(CALL_TIMEOUT);
    if let Some(token) = token {
        builder = builder.token(token);
    }
    let client = builder.build().map_err(Failure::Usage)?;
    let mut out = BufWriter::new(io::stdout().lock());
    let mut left = args.count;
    while left > 0 {
        let batch = client.next_batch_of(args.kind, left.min(BATCH_MAX)).await;
        for id in batch.map_err(Failure::Client)? {
            writeln!(out, "{}", id.text(args.encoding.unwrap_or_default()))
                .map_err(Failure::Output)?;
        }
        left -= left.min(BATCH_MAX);
    }
    out.flush().map_err(Failure::Output)
}
