//! What a server can be told. Every setting may be missing: flags and environment fill one of
//! these, the configuration file another one, and what neither has is a default of `config`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use clap::builder::BoolishValueParser;
use coreflake_engine::PoolShare;

use crate::args::state::StateArgs;
use crate::args::value::pool_share;
use crate::args::{Listener, LogFormat, Node, UdpAllow, WorkerMode, WorkerPool};
use crate::limits::{GATEWAY_THREADS, NTP_INTERVAL_MS, WINDOW_MS, WORKER_SLOTS};
use crate::ntp::ServerName;

/// How to serve.
#[derive(Clone, Debug, Default, PartialEq, Args)]
pub struct ServeArgs {
    /// A YAML file with settings; flags and environment override it
    #[arg(long, value_name = "FILE", env = "COREFLAKE_CONFIG")]
    pub config: Option<PathBuf>,

    /// Datacenter part of the slot, 0 to 31 unless the layout says otherwise [default: 0, on
    /// loopback only]
    #[arg(long, value_name = "N", env = "COREFLAKE_DATACENTER_ID")]
    pub datacenter_id: Option<u64>,

    /// Worker part of the slot, 0 to 31 unless the layout says otherwise, unique within the
    /// datacenter [default: 0, on loopback only]
    #[arg(long, value_name = "N", env = "COREFLAKE_WORKER_ID")]
    pub worker_id: Option<u64>,

    /// Whether the worker part is the one of --worker-id or any free one [default: static]
    #[arg(long, value_name = "MODE", value_enum, env = "COREFLAKE_WORKER_MODE")]
    pub worker_mode: Option<WorkerMode>,

    /// Worker parts of which free ones are taken, such as 0-9 [default: all]
    #[arg(long, value_name = "N-N", env = "COREFLAKE_WORKER_POOL")]
    pub worker_pool: Option<WorkerPool>,

    /// How many slots this server has, 1 to 32: each is worth 4096 IDs per millisecond; a fixed
    /// worker part is the first of them [default: 1]
    #[arg(long, value_name = "N", env = "COREFLAKE_WORKER_SLOTS",
          value_parser = clap::value_parser!(u16)
              .range(*WORKER_SLOTS.start() as i64..=*WORKER_SLOTS.end() as i64))]
    pub worker_slots: Option<u16>,

    /// Shards: one thread, pinned to one core, each [default: one per core]
    #[arg(long, value_name = "N", env = "COREFLAKE_SHARDS")]
    pub shards: Option<u16>,

    /// Address of the binary protocol, TCP and UDP; port 0 picks a free one [default:
    /// 127.0.0.1:4096]
    #[arg(long, value_name = "A:P", env = "COREFLAKE_LISTEN")]
    pub listen: Option<SocketAddr>,

    /// Address of REST, or `none` [default: 127.0.0.1:8080]
    #[arg(long, value_name = "A:P|none", env = "COREFLAKE_HTTP")]
    pub http: Option<Listener>,

    /// Address of gRPC, or `none` [default: 127.0.0.1:50051]
    #[arg(long, value_name = "A:P|none", env = "COREFLAKE_GRPC")]
    pub grpc: Option<Listener>,

    /// Threads that serve REST and gRPC, 1 to 8 [default: 1]
    #[arg(long, value_name = "N", env = "COREFLAKE_GATEWAY_THREADS",
          value_parser = clap::value_parser!(u16)
              .range(*GATEWAY_THREADS.start() as i64..=*GATEWAY_THREADS.end() as i64))]
    pub gateway_threads: Option<u16>,

    /// Require a token on TCP, REST and gRPC: a file, mode 600, with one accepted token a line
    #[arg(long, value_name = "FILE", env = "COREFLAKE_AUTH_TOKEN_FILE")]
    pub auth_token_file: Option<PathBuf>,

    /// Serve other hosts without a token: everybody who reaches the port can take IDs
    #[arg(long, value_name = "BOOL", env = "COREFLAKE_INSECURE", num_args = 0..=1,
          require_equals = true, default_missing_value = "true",
          value_parser = BoolishValueParser::new())]
    pub insecure: Option<bool>,

    /// Networks whose datagrams are answered, or `none` for no UDP [default: loopback]
    #[arg(long, value_name = "NET,…|none", env = "COREFLAKE_UDP_ALLOW")]
    pub udp_allow: Option<UdpAllow>,

    /// State directory and epoch.
    #[command(flatten)]
    pub state: StateArgs,

    /// Milliseconds of timestamps that are reserved ahead; a start after a crash waits for less
    /// [default: 3000, or 60000 with a shared store]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(WINDOW_MS),
          env = "COREFLAKE_WINDOW_MS")]
    pub window_ms: Option<u64>,

    /// Start although the slot was last used more than 30 days before what the clock says
    #[arg(long, value_name = "BOOL", env = "COREFLAKE_ACCEPT_CLOCK", num_args = 0..=1,
          require_equals = true, default_missing_value = "true",
          value_parser = BoolishValueParser::new())]
    pub accept_clock: Option<bool>,

    /// Share of the sequence space that all shards draw from, 0 to 0.9 [default: 0.75]
    #[arg(long, value_name = "F", value_parser = pool_share, env = "COREFLAKE_POOL_SHARE")]
    pub pool_share: Option<PoolShare>,

    /// Node of IDs of kind uuid1: made of the slot, the address of a network card, or six bytes; an
    /// address tells everybody which machine made an ID [default: slot]
    #[arg(long, value_name = "slot|mac|BYTES", env = "COREFLAKE_UUID1_NODE")]
    pub uuid1_node: Option<Node>,

    /// Time servers, up to three, that the clock is compared with [default: none]
    #[arg(long, value_name = "HOST[:PORT],…", env = "COREFLAKE_NTP_SERVER", value_delimiter = ',')]
    pub ntp_server: Option<Vec<ServerName>>,

    /// Milliseconds between two comparisons [default: 10000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(NTP_INTERVAL_MS),
          env = "COREFLAKE_NTP_INTERVAL_MS")]
    pub ntp_interval_ms: Option<u64>,

    /// How log lines look [default: text]
    #[arg(long, value_enum, env = "COREFLAKE_LOG_FORMAT")]
    pub log_format: Option<LogFormat>,

    /// Connections of all shards together [default: 10000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..),
          help_heading = "Limits", env = "COREFLAKE_MAX_CONNECTIONS")]
    pub max_connections: Option<u32>,

    /// Connections from one IP address [default: 1000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..),
          help_heading = "Limits", env = "COREFLAKE_MAX_CONNECTIONS_PER_IP")]
    pub max_connections_per_ip: Option<u32>,

    /// Connections of REST and gRPC together [default: 1000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..),
          help_heading = "Limits", env = "COREFLAKE_MAX_GATEWAY_CONNECTIONS")]
    pub max_gateway_connections: Option<u32>,

    /// Datagrams per second that one shard looks at [default: 2000000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..),
          help_heading = "Limits", env = "COREFLAKE_MAX_UDP_RATE")]
    pub max_udp_rate: Option<u64>,

    /// Datagrams per second from one IP address that one shard looks at [default: 1000000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..),
          help_heading = "Limits", env = "COREFLAKE_MAX_UDP_SOURCE_RATE")]
    pub max_udp_source_rate: Option<u64>,
}

/// A struct of which each field is the first of two that is there. The compiler sees to it that
/// none is left out.
macro_rules! first {
    ($over:ident, $below:ident, $($field:ident),+; $($group:ident),*) => {
        Self {
            $($field: $over.$field.or($below.$field),)+
            $($group: $over.$group.over($below.$group),)*
        }
    };
}

pub(crate) use first;

impl ServeArgs {
    /// These settings, and those of `below` where they say nothing.
    #[must_use]
    pub fn over(self, below: Self) -> Self {
        first!(
            self, below, config, datacenter_id, worker_id, worker_mode, worker_pool, worker_slots, shards, listen, http, grpc,
            gateway_threads, auth_token_file, insecure, udp_allow, window_ms, accept_clock,
            pool_share, uuid1_node, ntp_server, ntp_interval_ms, log_format, max_connections,
            max_connections_per_ip, max_gateway_connections, max_udp_rate, max_udp_source_rate;
            state
        )
    }
}

#[cfg(test)]
mod tests {
    use crate::args::parse_serve;

    #[test]
    fn what_lies_over_it_wins() {
        let over = parse_serve(&["--worker-id", "1", "--insecure=false", "--epoch", "5"]);
        let below = ["--worker-id", "2", "--shards", "3", "--insecure", "--state-dir", "/x"];
        let both = over.over(parse_serve(&below));
        assert_eq!((both.worker_id, both.shards, both.insecure), (Some(1), Some(3), Some(false)));
        assert_eq!(both.state.namespace.epoch, Some(5));
        assert_eq!(both.state.state_dir.unwrap().to_str(), Some("/x"));
        assert_eq!(both.datacenter_id, None);
    }
}
