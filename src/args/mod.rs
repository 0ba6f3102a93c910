//! The command line.

mod ids;
mod namespace;
mod serve;
mod state;
mod value;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Arg, Args, CommandFactory, FromArgMatches, Parser, Subcommand};

pub use self::ids::{FileArgs, GenerateArgs, ParseArgs, RangeArgs, Time};
pub use self::namespace::{LayoutArg, NamespaceArgs, Node};
pub use self::serve::ServeArgs;
pub use self::state::{StateArgs, StoreArgs, StoreKind};
pub use self::value::{Floor, Listener, LogFormat, UdpAllow, WorkerMode, WorkerPool};
pub(crate) use self::value::{POOL_SHARE_RULE, network, pool_share};
pub use crate::identity::shared::{Endpoint, GivenEndpoint};
use crate::limits::WINDOW_MS;

/// A distributed unique-ID service: 64-bit, time-ordered IDs without coordination.
///
/// Without a command it serves: `coreflake --shards 4` is `coreflake serve --shards 4`.
#[derive(Debug, Parser)]
#[command(
    name = "coreflake",
    version,
    after_help = "Serving is set up with --config, --listen, --shards, --worker-id and more: see \
                  `coreflake serve --help`."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// Reads a command line, with the name of the program first. Ends the process when there is
    /// nothing to do: 0 after `--help` and `--version`, 2 when it makes no sense.
    pub fn read(args: impl IntoIterator<Item = OsString>) -> Self {
        Self::try_read(args).unwrap_or_else(|error| error.exit())
    }

    fn try_read(args: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let args = with_command(args);
        let mut command = Self::command();
        if names_preset(&args) {
            // What the environment says is about the IDs of this system, right or wrong.
            let without = |arg: Arg| arg.env(None::<&'static str>);
            command = command.mut_subcommand("parse", |parse| parse.mut_args(without));
        }
        let matches = command.try_get_matches_from_mut(args)?;
        Self::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
    }
}

/// Whether IDs of another system are to be taken apart.
fn names_preset(args: &[OsString]) -> bool {
    args.iter().take_while(|arg| *arg != "--").any(|arg| {
        let name = arg.as_encoded_bytes();
        name == b"--preset" || name.starts_with(b"--preset=")
    })
}

/// Puts `serve` where no command stands.
fn with_command(args: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut args: Vec<_> = args.into_iter().collect();
    let about_all = ["-h", "--help", "-V", "--version"];
    let serves = args.get(1).is_none_or(|first| {
        let flag = first.as_encoded_bytes().starts_with(b"-");
        flag && !about_all.iter().any(|known| first == known)
    });
    if serves {
        args.insert(1.min(args.len()), "serve".into());
    }
    args
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve IDs over TCP, UDP, REST and gRPC (the default)
    Serve(ServeArgs),
    /// Check what a server would be told, and name every problem; takes the flags of serve
    Check(ServeArgs),
    /// Fetch IDs from a server and print one a line
    Generate(GenerateArgs),
    /// Take IDs apart, offline, and print one JSON object a line
    Parse(ParseArgs),
    /// Print the smallest and the largest ID of a stretch of time, offline
    Range(RangeArgs),
    /// Look at the records of slots, and make or repair them
    Slots(SlotsArgs),
}

/// What to do with records.
#[derive(Debug, Args)]
pub struct SlotsArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: SlotsCommand,
}

/// What to do with records.
#[derive(Debug, Subcommand)]
pub enum SlotsCommand {
    /// Print a table of the slots that have a record: who has them, and up to when
    List(RecordsArgs),
    /// Print everything about one slot, as one JSON object
    Show(SlotArgs),
    /// Make the records of a datacenter in a shared store that is new
    Init(FloorArgs),
    /// Take over a record that was copied, lost or damaged: its slot begins anew behind now
    ///
    /// Only when nobody else uses the slot any more: IDs that another server issues from the
    /// original of a copied record come twice.
    Adopt(SlotArgs),
    /// Take a slot out of use for ever: its bound is raised to the end of the layout
    Retire(SlotArgs),
    /// Raise the bounds of all slots, after a store was restored from a backup or has lost writes
    Fence(FloorArgs),
}

/// The records of a datacenter.
#[derive(Debug, Args)]
pub struct RecordsArgs {
    /// A YAML file with settings, as for serve; flags and environment override it
    #[arg(long, value_name = "FILE", env = "COREFLAKE_CONFIG")]
    pub config: Option<PathBuf>,

    /// Datacenter part of the slots, 0 to 31 unless the layout says otherwise [default: 0]
    #[arg(long, value_name = "N", env = "COREFLAKE_DATACENTER_ID")]
    pub datacenter_id: Option<u64>,

    /// Where the records live.
    #[command(flatten)]
    pub state: StateArgs,
}

/// One slot.
#[derive(Debug, Args)]
pub struct SlotArgs {
    /// Worker part of the slot, 0 to 31 unless the layout says otherwise
    #[arg(long, value_name = "N", env = "COREFLAKE_WORKER_ID")]
    pub worker_id: Option<u64>,

    /// The others.
    #[command(flatten)]
    pub records: RecordsArgs,

    /// Milliseconds that the server which last had the slot reserved ahead [default: as for serve;
    /// if the record of a shared store is lost, the most that is allowed]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(WINDOW_MS))]
    pub window_ms: Option<u64>,
}

/// All slots of a datacenter, and a bound.
#[derive(Debug, Args)]
pub struct FloorArgs {
    /// Up to where IDs may have been issued: `now`, `now+60s`, a time such as
    /// 2026-11-24T12:00:00Z, or Unix milliseconds
    #[arg(long, value_name = "T")]
    pub floor: Option<Floor>,

    /// The records.
    #[command(flatten)]
    pub records: RecordsArgs,
}

/// The arguments of `serve` in `args`.
///
/// # Panics
///
/// When they are not valid: for tests.
pub fn parse_serve(args: &[&str]) -> ServeArgs {
    let all = ["coreflake"].iter().chain(args).map(OsString::from);
    match Cli::try_read(all) {
        Ok(Cli { command: Command::Serve(serve) }) => serve,
        Ok(other) => panic!("not serve: {other:?}"),
        Err(error) => panic!("{error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn serve_is_what_is_meant_when_nothing_is_said() {
        let with = |line: &str| {
            let args = with_command(line.split_whitespace().map(OsString::from));
            args.join(&OsString::from(" ")).into_string().unwrap()
        };
        assert_eq!(with("coreflake"), "coreflake serve");
        assert_eq!(with("coreflake --shards 2"), "coreflake serve --shards 2");
        for line in ["coreflake parse 1", "coreflake --help", "coreflake -V", "coreflake nonsense"]
        {
            assert_eq!(with(line), line);
        }
    }
}
