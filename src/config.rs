//! What a server is told, checked: values that came through here cannot be wrong.

use core::fmt;
use core::time::Duration;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use coreflake_engine::{PoolShare, SequencePlan};
use coreflake_protocol::{Layout, Slot};
use ipnet::IpNet;

use crate::args::{ServeArgs, UdpAllow};
use crate::auth::Tokens;
use crate::limits::Limits;
use crate::ntp::{NtpMonitor, ServerName};

/// The configuration of a server.
#[derive(Clone, Debug)]
pub struct Config {
    /// How IDs are laid out.
    pub layout: Layout,
    /// The slot whose IDs are issued.
    pub slot: Slot,
    /// How the sequence space is shared: one lane per shard.
    pub plan: SequencePlan,
    /// Where TCP and UDP listen.
    pub listen: SocketAddr,
    /// Where REST listens, if it does.
    pub http: Option<SocketAddr>,
    /// Where gRPC listens, if it does.
    pub grpc: Option<SocketAddr>,
    /// Threads that serve REST and gRPC, if one of them listens.
    pub gateway_threads: u16,
    /// Networks whose datagrams are answered; without any, UDP is off.
    pub udp_allow: Vec<IpNet>,
    /// Tokens of which a TCP peer must show one.
    pub tokens: Option<Arc<Tokens>>,
    /// Bounds set by the operator.
    pub limits: Limits,
    /// Where the record of the slot lives.
    pub state: StateConfig,
    /// Whom the clock is compared with.
    pub ntp: NtpConfig,
}

/// Whom the clock is compared with.
#[derive(Clone, Debug)]
pub struct NtpConfig {
    /// Up to three time servers.
    pub servers: Vec<ServerName>,
    /// From one comparison to the next.
    pub interval: Duration,
}

/// Where the record of the slot lives, and how it is used.
#[derive(Clone, Debug)]
pub struct StateConfig {
    /// The directory, an absolute path.
    pub directory: PathBuf,
    /// File systems accepted for it although they may forget.
    pub allowed_filesystems: Vec<String>,
    /// How far ahead timestamps are reserved, in milliseconds.
    pub window_ms: u64,
    /// Whether a clock far from the record's last write is accepted.
    pub accept_clock: bool,
}

/// Everything that is wrong with a configuration, one line each.
#[derive(Debug)]
pub struct ConfigError {
    problems: Vec<String>,
}

impl Config {
    /// Checks what was given on the command line and in the environment.
    ///
    /// # Errors
    ///
    /// All problems at once, each with key, value and rule.
    pub fn new(args: &ServeArgs) -> Result<Self, ConfigError> {
        let layout = Layout::SNOWFLAKE;
        let mut problems = Vec::new();
        let mut problem = |text: String| problems.push(text);

        let loopback = args.listen.ip().to_canonical().is_loopback();
        if !loopback {
            let listen = args.listen;
            if args.datacenter_id.is_none() || args.worker_id.is_none() {
                problem(format!(
                    "listen {listen} can be reached from other hosts: name the slot with \
                     --datacenter-id and --worker-id, which must be unique among all servers"
                ));
            }
            if args.auth_token_file.is_none() && !args.insecure {
                problem(format!(
                    "listen {listen} can be reached from other hosts: require a token with \
                     --auth-token-file, or allow everybody with --insecure"
                ));
            }
            if args.udp_allow.is_none() {
                problem(format!(
                    "listen {listen} can be reached from other hosts: name the networks whose \
                     datagrams are answered with --udp-allow, or switch UDP off with \
                     --udp-allow none"
                ));
            }
        }
        if loopback && args.auth_token_file.is_some() && args.udp_allow.is_none() {
            problem(
                "auth-token-file: a datagram carries no token; name the networks whose datagrams \
                 are answered with --udp-allow, or switch UDP off with --udp-allow none"
                    .to_owned(),
            );
        }
        let slot = layout
            .slot(args.datacenter_id.unwrap_or(0), args.worker_id.unwrap_or(0))
            .map_err(|error| problem(error.to_string()));
        let shards = args.shards.unwrap_or_else(default_shards);
        let plan = SequencePlan::new(layout.sequence_space(), shards, 1, PoolShare::DEFAULT)
            .map_err(|error| problem(format!("shards {shards}: {error}")));
        let tokens = match &args.auth_token_file {
            Some(path) => Tokens::read(path)
                .map(|tokens| Some(Arc::new(tokens)))
                .map_err(|error| problem(format!("auth-token-file {error}"))),
            None => Ok(None),
        };
        let udp_allow = match &args.udp_allow {
            Some(UdpAllow::None) => Vec::new(),
            Some(UdpAllow::Networks(networks)) => networks.clone(),
            None => loopback_networks(),
        };
        if let Err(error) = NtpMonitor::new(args.ntp_server.clone(), Duration::ZERO) {
            problem(format!("ntp-server: {error}"));
        }
        let directory = state_directory(args.state_dir.as_deref()).map_err(&mut problem);
        let limits = Limits {
            connections_max: args.max_connections,
            connections_per_ip_max: args.max_connections_per_ip,
            gateway_connections_max: 1_000,
            udp_rate_max: args.max_udp_rate,
            udp_source_rate_max: args.max_udp_source_rate,
        };
        match (slot, plan, tokens, directory) {
            (Ok(slot), Ok(plan), Ok(tokens), Ok(directory)) if problems.is_empty() => {
                let state = StateConfig {
                    directory,
                    allowed_filesystems: args.allow_state_filesystem.clone(),
                    window_ms: args.window_ms,
                    accept_clock: args.accept_clock,
                };
                let ntp = NtpConfig {
                    servers: args.ntp_server.clone(),
                    interval: Duration::from_millis(args.ntp_interval_ms),
                };
                let listen = args.listen;
                let door = |name, default: &str| {
                    let text = std::env::var(name).unwrap_or_else(|_| default.to_owned());
                    text.parse().ok()
                };
                let http = door("COREFLAKE_HTTP", "127.0.0.1:8080");
                let grpc = door("COREFLAKE_GRPC", "127.0.0.1:50051");
                let gateway_threads = 1;
                Ok(Self {
                    http,
                    grpc,
                    gateway_threads,
                    layout,
                    slot,
                    plan,
                    listen,
                    udp_allow,
                    tokens,
                    limits,
                    state,
                    ntp,
                })
            }
            _ => Err(ConfigError { problems }),
        }
    }
}

/// The state directory: as given, else systemd's, else the user's.
///
/// # Errors
///
/// When none of them is there, or the one that is has no absolute path.
pub fn state_directory(given: Option<&Path>) -> Result<PathBuf, String> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let of_user = || {
        let state = variable("XDG_STATE_HOME").map(PathBuf::from);
        state
            .or_else(|| variable("HOME").map(|home| Path::new(&home).join(".local/state")))
            .map(|state| state.join("coreflake"))
    };
    let directory = given
        .map(Path::to_owned)
        .or_else(|| {
            // systemd puts a colon between several.
            let several = variable("STATE_DIRECTORY")?.into_encoded_bytes();
            let first = several.split(|byte| *byte == b':').next()?.to_vec();
            Some(PathBuf::from(OsString::from_vec(first)))
        })
        .or_else(of_user)
        .ok_or("state-dir: neither STATE_DIRECTORY nor HOME is set; name one with --state-dir")?;
    if directory.is_relative() {
        let shown = directory.display();
        return Err(format!("state-dir {shown}: an absolute path is needed"));
    }
    Ok(directory)
}

fn default_shards() -> u16 {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    u16::try_from(cores).unwrap_or(u16::MAX)
}

fn loopback_networks() -> Vec<IpNet> {
    let v4 = ipnet::Ipv4Net::new_assert([127, 0, 0, 0].into(), 8);
    let v6 = ipnet::Ipv6Net::new_assert(core::net::Ipv6Addr::LOCALHOST, 128);
    vec![v4.into(), v6.into()]
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problems.join("\n"))
    }
}

impl core::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::parse_serve;

    fn problems(args: &[&str]) -> Vec<String> {
        Config::new(&parse_serve(args)).unwrap_err().problems
    }

    #[test]
    fn nothing_given_serves_slot_0_on_loopback() {
        let config = Config::new(&parse_serve(&[])).unwrap();
        assert_eq!(config.listen.to_string(), "127.0.0.1:4096");
        assert_eq!((config.slot.datacenter_id(), config.slot.worker_id()), (0, 0));
        assert!(config.tokens.is_none() && config.udp_allow.len() == 2);
    }

    #[test]
    fn a_listener_others_can_reach_needs_identity_token_and_networks() {
        let all = problems(&["--listen", "0.0.0.0:4096"]);
        assert_eq!(all.len(), 3, "{all:?}");
        let mapped = problems(&["--listen", "[::]:4096", "--datacenter-id", "1"]);
        assert_eq!(mapped.len(), 3);
        let identity = ["--listen", "0.0.0.0:4096", "--datacenter-id", "1", "--worker-id", "2"];
        let open = [&identity[..], &["--insecure", "--udp-allow", "none"]].concat();
        assert!(Config::new(&parse_serve(&open)).unwrap().udp_allow.is_empty());
        let networks = [&identity[..], &["--insecure", "--udp-allow", "10.0.0.0/8"]].concat();
        assert_eq!(Config::new(&parse_serve(&networks)).unwrap().udp_allow.len(), 1);
    }

    #[test]
    fn every_problem_is_named_at_once() {
        let args = ["--worker-id", "32", "--shards", "2000", "--auth-token-file", "/nowhere"];
        let all = problems(&args);
        assert_eq!(all.len(), 4, "{all:?}");
        assert!(all[0].starts_with("auth-token-file: a datagram carries no token"));
        assert_eq!(all[1], "worker_id 32 is out of range: 0 to 31 are allowed");
        assert!(all[2].starts_with("shards 2000:") && all[3].contains("/nowhere"));
    }
}
