//! What a server is told, checked: values that came through here cannot be wrong.
//!
//! Flags and environment lie over the configuration file, and that over the defaults.

mod file;
mod keys;
mod listeners;
mod namespace;
mod problem;
mod state;
mod store;
mod value;
mod worker;
mod yaml;

use core::time::Duration;
use std::net::SocketAddr;
use std::sync::Arc;

use coreflake_engine::{PlanError, Plans, PoolShare};
use coreflake_protocol::{Kind, Namespace};
use ipnet::IpNet;

use self::file::ConfigFile;
use self::listeners::Listeners;
pub(crate) use self::namespace::{ending, of as namespace};
pub use self::problem::ConfigError;
pub(crate) use self::problem::Problem;
pub use self::state::{StateConfig, state_directory};
pub use self::worker::WorkerConfig;
use crate::args::{FileArgs, LogFormat, NamespaceArgs, ServeArgs, StateArgs, UdpAllow};
use crate::auth::Tokens;
use crate::limits::Limits;
use crate::ntp::{NtpMonitor, ServerName};

/// The configuration of a server.
#[derive(Clone, Debug)]
pub struct Config {
    /// How IDs are laid out.
    pub namespace: Namespace,
    /// The slots whose IDs are issued.
    pub worker: WorkerConfig,
    /// How the numbers of each kind are shared: one lane per shard and one per gateway thread.
    pub plans: Plans,
    /// The node of UUIDs of version 1, if it is not made of the slot.
    pub node: Option<u64>,
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
    /// Tokens of which a peer must show one.
    pub tokens: Option<Arc<Tokens>>,
    /// Bounds set by the operator.
    pub limits: Limits,
    /// Where the record of the slot lives.
    pub state: StateConfig,
    /// Whom the clock is compared with.
    pub ntp: NtpConfig,
    /// How log lines look.
    pub log_format: LogFormat,
}

/// Whom the clock is compared with.
#[derive(Clone, Debug)]
pub struct NtpConfig {
    /// Up to three time servers.
    pub servers: Vec<ServerName>,
    /// From one comparison to the next.
    pub interval: Duration,
}

impl Config {
    /// Puts the settings of flags and environment over those of the file that they name, if they
    /// name one, and checks all. `now_ms` is the time in Unix milliseconds.
    ///
    /// # Errors
    ///
    /// All problems at once, each with key, value and rule, and with its line in the file.
    pub fn load(args: &ServeArgs, now_ms: u64) -> Result<Self, ConfigError> {
        let Some(path) = &args.config else { return Self::new(args, now_ms) };
        let file = ConfigFile::read(path)?;
        let mut merged = args.clone().over(file.args.clone());
        // A number that is wrong in the file is one that was given.
        if file.is_told(&["datacenter_id"]) {
            merged.datacenter_id.get_or_insert(0);
        }
        if file.is_told(&["worker_id"]) {
            merged.worker_id.get_or_insert(0);
        }
        let result = Self::new(&merged, now_ms);
        let mut problems = file.problems.clone();
        let ConfigError { problems: found, state } = match result {
            Ok(config) if problems.is_empty() => return Ok(config),
            Ok(config) => ConfigError { problems: Vec::new(), state: Some(Box::new(config.state)) },
            Err(error) => error,
        };
        // What is wrong in the file is missing in what was checked: that is told already.
        for Problem { keys, text } in found.into_iter().filter(|found| !file.is_told(&found.keys)) {
            let from_file = keys.iter().find_map(|key| {
                let by_flag = keys::named(key).is_some_and(|key| (key.is_set)(args));
                if by_flag { None } else { file.origin(key) }
            });
            let text = from_file.map_or_else(|| text.clone(), |at| format!("{at}: {text}"));
            problems.push(Problem { keys, text });
        }
        let state = state.filter(|_| !file.is_told(&["state_dir", "allow_state_filesystem"]));
        Err(ConfigError { problems, state })
    }

    /// The settings of whoever looks at records: `args` over those of the file that they name.
    ///
    /// # Errors
    ///
    /// What is wrong in the file.
    pub(crate) fn merged(args: &ServeArgs) -> Result<ServeArgs, ConfigError> {
        let Some(path) = &args.config else { return Ok(args.clone()) };
        let file = ConfigFile::read(path)?;
        if file.problems.is_empty() {
            return Ok(args.clone().over(file.args));
        }
        Err(ConfigError { problems: file.problems, state: None })
    }

    /// The namespace of IDs to take apart or to look for, which nobody here makes: its epochs may
    /// be any.
    ///
    /// # Errors
    ///
    /// All problems at once: of the file, or else of the settings.
    pub(crate) fn namespace(
        file: &FileArgs,
        namespace: &NamespaceArgs,
    ) -> Result<Namespace, ConfigError> {
        let state = StateArgs { namespace: namespace.clone(), ..StateArgs::default() };
        let args = ServeArgs { config: file.config.clone(), state, ..ServeArgs::default() };
        let args = Self::merged(&args)?;
        namespace::of(&args.state.namespace, None).map_err(ConfigError::from)
    }

    /// Supplies defaults for what is missing in `args`, and checks everything. `now_ms` is the time
    /// in Unix milliseconds. A file that is named in `args` is not looked at.
    ///
    /// # Errors
    ///
    /// All problems at once, each with key, value and rule.
    pub fn new(args: &ServeArgs, now_ms: u64) -> Result<Self, ConfigError> {
        let mut problems = Vec::new();
        let listeners = Listeners::of(args);
        problems.extend(listeners.problems(args));
        let namespace = namespace::of(&args.state.namespace, Some(now_ms));
        let namespace = namespace.map_err(|found| problems.extend(found));
        let checked = namespace.as_ref().copied().unwrap_or(Namespace::DEFAULT);
        problems.extend(namespace::ends(&checked, now_ms));
        let widths = checked.layout();
        let node = namespace::node(args, &checked).map_err(|found| problems.push(found));
        let worker = WorkerConfig::of(args, widths).map_err(|found| problems.extend(found)).ok();
        let datacenter_id = worker.as_ref().map_or(0, |worker| worker.datacenter_id);
        let state = match StateConfig::of(args, widths, datacenter_id) {
            Ok(state) => Some(state),
            Err(error) => {
                problems.extend(error.problems);
                None
            }
        };
        let mut problem = |keys: &[&'static str], text| problems.push(Problem::of(keys, text));
        let gateway_threads = args.gateway_threads.unwrap_or(1);
        let gateways = if listeners.has_gateway() { gateway_threads } else { 0 };
        let pool_share = args.pool_share.unwrap_or(PoolShare::DEFAULT);
        let slots = args.worker_slots.unwrap_or(1);
        let plan = |shards| Plans::new(&checked, slots, shards, gateways, pool_share);
        let plans = match args.shards {
            Some(shards) => plan(shards),
            None => shared_by_cores(cores(), plan),
        };
        let plans = plans.map_err(|(kind, error)| match error {
            PlanError::TooManyGateways { gateways, gateways_max } => problem(
                &["gateway.threads", "sequence.pool_share"],
                format!(
                    "gateway-threads {gateways}: at most {gateways_max} have a home in the \
                     sequence space of {kind} at this pool-share"
                ),
            ),
            PlanError::SpaceTooLarge { .. } => problem(
                &["worker.slots", "layout"],
                format!("worker-slots {slots}: {error}, of kind {kind}"),
            ),
            PlanError::NoShard => problem(&["shards"], format!("shards 0: {error}")),
            PlanError::TooManyShards { shards, shards_max } => problem(
                &["shards", "sequence.pool_share", "gateway.threads"],
                format!(
                    "shards {shards}: beside gateway-threads {gateways} at most {shards_max} have \
                     a home in the sequence space of {kind} at this pool-share"
                ),
            ),
        });

        let tokens = match &args.auth_token_file {
            Some(path) => Tokens::read(path)
                .map(|tokens| Some(Arc::new(tokens)))
                .map_err(|error| problem(&["auth.token_file"], format!("auth-token-file {error}"))),
            None => Ok(None),
        };
        let udp_allow = match &args.udp_allow {
            Some(UdpAllow::None) => Vec::new(),
            Some(UdpAllow::Networks(networks)) => networks.clone(),
            None => loopback_networks(),
        };
        let servers = args.ntp_server.clone().unwrap_or_default();
        if let Err(error) = NtpMonitor::new(servers.clone(), Duration::ZERO) {
            problem(&["ntp.servers"], format!("ntp-server: {error}"));
        }
        match (namespace, worker, plans, tokens, state, node) {
            (Ok(namespace), Some(worker), Ok(plans), Ok(tokens), Some(state), Ok(node))
                if problems.is_empty() =>
            {
                let Listeners { listen, http, grpc } = listeners;
                let interval = Duration::from_millis(args.ntp_interval_ms.unwrap_or(10_000));
                Ok(Self {
                    namespace,
                    worker,
                    plans,
                    node,
                    listen,
                    http,
                    grpc,
                    gateway_threads,
                    udp_allow,
                    tokens,
                    limits: limits(args),
                    state,
                    ntp: NtpConfig { servers, interval },
                    log_format: args.log_format.unwrap_or(LogFormat::Text),
                })
            }
            (_, _, _, _, state, _) => Err(ConfigError { problems, state: state.map(Box::new) }),
        }
    }
}

fn limits(args: &ServeArgs) -> Limits {
    let default = Limits::default();
    Limits {
        connections_max: args.max_connections.unwrap_or(default.connections_max),
        connections_per_ip_max: args
            .max_connections_per_ip
            .unwrap_or(default.connections_per_ip_max),
        gateway_connections_max: args
            .max_gateway_connections
            .unwrap_or(default.gateway_connections_max),
        udp_rate_max: args.max_udp_rate.unwrap_or(default.udp_rate_max),
        udp_source_rate_max: args.max_udp_source_rate.unwrap_or(default.udp_source_rate_max),
    }
}

fn cores() -> u16 {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    u16::try_from(cores).unwrap_or(u16::MAX)
}

/// A shard for each core, as far as every kind has numbers for them.
fn shared_by_cores(
    cores: u16,
    plan: impl Fn(u16) -> Result<Plans, (Kind, PlanError)>,
) -> Result<Plans, (Kind, PlanError)> {
    let mut shards = cores;
    loop {
        match plan(shards) {
            // Each round has fewer.
            Err((_, PlanError::TooManyShards { shards_max, .. })) if shards_max > 0 => {
                shards = u16::try_from(shards_max).unwrap_or(u16::MAX).min(shards - 1);
            }
            plans => return plans,
        }
    }
}

fn loopback_networks() -> Vec<IpNet> {
    let v4 = ipnet::Ipv4Net::new_assert([127, 0, 0, 0].into(), 8);
    let v6 = ipnet::Ipv6Net::new_assert(core::net::Ipv6Addr::LOCALHOST, 128);
    vec![v4.into(), v6.into()]
}

#[cfg(test)]
mod tests;
