//! The command line.

use core::str::FromStr;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::builder::{BoolishValueParser, PossibleValuesParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use ipnet::IpNet;

use crate::identity::filesystem::unfit_names;
use crate::limits::Limits;
use crate::ntp::ServerName;

/// A distributed unique-ID service: 64-bit, time-ordered IDs without coordination.
///
/// Without a command it serves: `coreflake --shards 4` is `coreflake serve --shards 4`.
#[derive(Debug, Parser)]
#[command(
    name = "coreflake",
    version,
    after_help = "Serving is set up with --listen, --shards, --datacenter-id, --worker-id and more: \
                  see `coreflake serve --help`."
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
        Self::parse_from(with_command(args))
    }
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
    /// Serve IDs over TCP and UDP (the default)
    Serve(ServeArgs),
    /// Fetch IDs from a server and print one a line
    Generate(GenerateArgs),
    /// Take IDs apart, offline, and print one JSON object a line
    Parse(ParseArgs),
    /// Look at the records of slots in a state directory, and repair them
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
    /// Print the records in a state directory
    Show {
        /// The directory [default: as for serve]
        #[arg(long, value_name = "DIR", env = "COREFLAKE_STATE_DIR")]
        state_dir: Option<PathBuf>,
    },
    /// Take over a record that was copied or lost: its slot begins anew behind now
    ///
    /// Only when nobody else uses the slot any more: IDs that another server issues from the
    /// original of a copied record come twice.
    Adopt(SlotArgs),
    /// Take a slot out of use for ever: its bound is raised to the end of the layout
    Retire(SlotArgs),
}

/// A slot in a state directory.
#[derive(Debug, Args)]
pub struct SlotArgs {
    /// Datacenter part of the slot, 0 to 31
    #[arg(long, value_name = "N", env = "COREFLAKE_DATACENTER_ID")]
    pub datacenter_id: u64,

    /// Worker part of the slot, 0 to 31
    #[arg(long, value_name = "N", env = "COREFLAKE_WORKER_ID")]
    pub worker_id: u64,

    /// The directory [default: as for serve]
    #[arg(long, value_name = "DIR", env = "COREFLAKE_STATE_DIR")]
    pub state_dir: Option<PathBuf>,

    /// As for serve
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(unfit_names()),
          env = "COREFLAKE_ALLOW_STATE_FILESYSTEM", value_delimiter = ',')]
    pub allow_state_filesystem: Vec<String>,

    /// Milliseconds that the server which last had the slot reserved ahead
    #[arg(long, value_name = "N", default_value_t = 3_000,
          value_parser = clap::value_parser!(u64).range(100..=600_000))]
    pub window_ms: u64,
}

/// How to serve.
#[derive(Clone, Debug, Args)]
pub struct ServeArgs {
    /// Datacenter part of the slot, 0 to 31 [default: 0, on loopback only]
    #[arg(long, value_name = "N", env = "COREFLAKE_DATACENTER_ID")]
    pub datacenter_id: Option<u64>,

    /// Worker part of the slot, 0 to 31, unique within the datacenter [default: 0, on loopback
    /// only]
    #[arg(long, value_name = "N", env = "COREFLAKE_WORKER_ID")]
    pub worker_id: Option<u64>,

    /// Shards: one thread, pinned to one core, each [default: one per core]
    #[arg(long, value_name = "N", env = "COREFLAKE_SHARDS")]
    pub shards: Option<u16>,

    /// Address of the binary protocol, TCP and UDP; port 0 picks a free one
    #[arg(long, value_name = "A:P", default_value = "127.0.0.1:4096", env = "COREFLAKE_LISTEN")]
    pub listen: SocketAddr,

    /// Require a token on TCP: a file, mode 600, with one accepted token a line
    #[arg(long, value_name = "FILE", env = "COREFLAKE_AUTH_TOKEN_FILE")]
    pub auth_token_file: Option<PathBuf>,

    /// Serve other hosts without a token: everybody who reaches the port can take IDs
    #[arg(long, env = "COREFLAKE_INSECURE", value_parser = BoolishValueParser::new())]
    pub insecure: bool,

    /// Networks whose datagrams are answered, or `none` for no UDP [default: loopback]
    #[arg(long, value_name = "NET,…|none", env = "COREFLAKE_UDP_ALLOW")]
    pub udp_allow: Option<UdpAllow>,

    /// Where the record of the slot lives [default: $STATE_DIRECTORY, or coreflake in the user's
    /// XDG state directory]
    #[arg(long, value_name = "DIR", env = "COREFLAKE_STATE_DIR")]
    pub state_dir: Option<PathBuf>,

    /// Accept a state directory on a file system that may forget what it has acknowledged
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(unfit_names()),
          env = "COREFLAKE_ALLOW_STATE_FILESYSTEM", value_delimiter = ',')]
    pub allow_state_filesystem: Vec<String>,

    /// Milliseconds of timestamps that are reserved ahead; a start after a crash waits for less
    #[arg(long, value_name = "N", default_value_t = 3_000,
          value_parser = clap::value_parser!(u64).range(100..=600_000),
          env = "COREFLAKE_WINDOW_MS")]
    pub window_ms: u64,

    /// Start although the slot was last used more than 30 days before what the clock says
    #[arg(long, env = "COREFLAKE_ACCEPT_CLOCK", value_parser = BoolishValueParser::new())]
    pub accept_clock: bool,

    /// Time servers, up to three, that the clock is compared with [default: none]
    #[arg(long, value_name = "HOST[:PORT],…", env = "COREFLAKE_NTP_SERVER", value_delimiter = ',')]
    pub ntp_server: Vec<ServerName>,

    /// Milliseconds between two comparisons
    #[arg(long, value_name = "N", default_value_t = 10_000,
          value_parser = clap::value_parser!(u64).range(100..=3_600_000),
          env = "COREFLAKE_NTP_INTERVAL_MS")]
    pub ntp_interval_ms: u64,

    /// How log lines look
    #[arg(long, value_enum, default_value_t = LogFormat::Text, env = "COREFLAKE_LOG_FORMAT")]
    pub log_format: LogFormat,

    /// Connections of all shards together
    #[arg(long, value_name = "N", default_value_t = Limits::default().connections_max,
          value_parser = clap::value_parser!(u32).range(1..), help_heading = "Limits",
          env = "COREFLAKE_MAX_CONNECTIONS")]
    pub max_connections: u32,

    /// Connections from one IP address
    #[arg(long, value_name = "N", default_value_t = Limits::default().connections_per_ip_max,
          value_parser = clap::value_parser!(u32).range(1..), help_heading = "Limits",
          env = "COREFLAKE_MAX_CONNECTIONS_PER_IP")]
    pub max_connections_per_ip: u32,

    /// Datagrams per second that one shard looks at
    #[arg(long, value_name = "N", default_value_t = Limits::default().udp_rate_max,
          value_parser = clap::value_parser!(u64).range(1..), help_heading = "Limits",
          env = "COREFLAKE_MAX_UDP_RATE")]
    pub max_udp_rate: u64,

    /// Datagrams per second from one IP address that one shard looks at
    #[arg(long, value_name = "N", default_value_t = Limits::default().udp_source_rate_max,
          value_parser = clap::value_parser!(u64).range(1..), help_heading = "Limits",
          env = "COREFLAKE_MAX_UDP_SOURCE_RATE")]
    pub max_udp_source_rate: u64,
}

/// Whose datagrams are answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UdpAllow {
    /// Nobody's: UDP is off.
    None,
    /// Those of these networks.
    Networks(Vec<IpNet>),
}

impl FromStr for UdpAllow {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self::None);
        }
        let network = |part: &str| {
            let part = part.trim();
            let host = part.parse::<core::net::IpAddr>().map(IpNet::from);
            host.or_else(|_| part.parse()).map_err(|_| {
                format!("`{part}` is no network such as 10.0.0.0/8 or fd00::/8, and not `none`")
            })
        };
        text.split(',').map(network).collect::<Result<_, _>>().map(Self::Networks)
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

/// Which IDs to fetch.
#[derive(Debug, Args)]
pub struct GenerateArgs {
    /// The server
    #[arg(long, value_name = "A:P", default_value = "127.0.0.1:4096", env = "COREFLAKE_SERVER")]
    pub server: String,

    /// Use UDP instead of TCP
    #[arg(long)]
    pub udp: bool,

    /// The kind of ID
    #[arg(long, value_enum, default_value_t = KindArg::Snowflake)]
    pub kind: KindArg,

    /// How many
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000_000))]
    pub count: u32,

    /// Show the first token of this file (TCP)
    #[arg(long, value_name = "FILE", env = "COREFLAKE_TOKEN_FILE", conflicts_with = "udp")]
    pub token_file: Option<PathBuf>,
}

/// The kind of ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum KindArg {
    /// 64-bit: time, datacenter, worker, sequence
    Snowflake,
}

/// Which IDs to take apart.
#[derive(Debug, Args)]
pub struct ParseArgs {
    /// IDs in decimal; without any, or for `-`, they are read from standard input, one a line
    #[arg(value_name = "ID")]
    pub ids: Vec<String>,
}

/// The arguments of `serve` in `args`.
///
/// # Panics
///
/// When they are not valid: for tests.
pub fn parse_serve(args: &[&str]) -> ServeArgs {
    let all = ["coreflake"].iter().chain(args).map(OsString::from);
    match Cli::try_parse_from(with_command(all)) {
        Ok(Cli { command: Command::Serve(serve) }) => serve,
        Ok(other) => panic!("not serve: {other:?}"),
        Err(error) => panic!("{error}"),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

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
