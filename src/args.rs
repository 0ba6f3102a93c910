//! The command line.

use core::str::FromStr;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use ipnet::IpNet;

use crate::limits::Limits;

/// A distributed unique-ID service: 64-bit, time-ordered IDs without coordination.
///
/// Without a command it serves, as `coreflake serve` does.
#[derive(Debug, Parser)]
#[command(name = "coreflake", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// How to serve, when no command is given.
    #[command(flatten)]
    pub serve: ServeArgs,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve IDs over TCP and UDP
    Serve(ServeArgs),
    /// Fetch IDs from a server and print one a line
    Generate(GenerateArgs),
    /// Take IDs apart, offline, and print one JSON object a line
    Parse(ParseArgs),
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
    #[arg(long, env = "COREFLAKE_INSECURE")]
    pub insecure: bool,

    /// Networks whose datagrams are answered, or `none` for no UDP [default: loopback]
    #[arg(long, value_name = "NET,…|none", env = "COREFLAKE_UDP_ALLOW")]
    pub udp_allow: Option<UdpAllow>,

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
    let all = ["coreflake"].iter().chain(args);
    match Cli::try_parse_from(all) {
        Ok(cli) => cli.serve,
        Err(error) => panic!("{error}"),
    }
}
