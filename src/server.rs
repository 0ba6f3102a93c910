//! The whole server: the only file that knows all parts.

use core::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, OnceLock, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use coreflake_engine::sanity::{self, ImplausibleClock};
use coreflake_engine::{Claimant, Lane};
use coreflake_protocol::{Namespace, Slot, TickError};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::admission::Admission;
use crate::clock::WallTime;
use crate::clock_monitor::TrustedTime;
use crate::condition::Condition;
use crate::config::{self, Config, StateConfig, WorkerConfig};
use crate::control::{Control, RunError};
use crate::counters::LaneCounters;
use crate::gateway::{Doors, GatewaySeed};
use crate::identity::file::SlotKey;
use crate::identity::local::LocalStore;
use crate::identity::shared::SharedStore;
use crate::identity::{StoreError, WindowStore, host};
use crate::keeper::{KeeperEvent, KeeperThread, Wanted};
use crate::limits::RELEASE_TIMEOUT;
use crate::metrics::{Metrics, Sources};
use crate::net::socket;
use crate::ntp::{NtpMonitor, ServersError};
use crate::service::{Identity, Service};
use crate::shard::ShardSeed;
use crate::tenure::{Left, Tenure};
use crate::timestamp;

/// A server that holds the record of its slot and its sockets, and serves nobody yet.
#[derive(Debug)]
pub struct Server {
    /// By the name of the thread.
    seeds: Vec<(String, Seed)>,
    keeper: KeeperThread,
    keeper_events: UnboundedReceiver<KeeperEvent>,
    keeper_stop: mpsc::Sender<Option<Vec<Lane>>>,
    counters: Arc<[Arc<LaneCounters>]>,
    stopping: CancellationToken,
    tcp: SocketAddr,
    udp: Option<SocketAddr>,
    http: Option<SocketAddr>,
    grpc: Option<SocketAddr>,
    identity: Arc<Identity>,
    ntp: NtpMonitor,
}

/// Why a server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The clock shows a time without a tick.
    #[error("the clock says an impossible time: {0}")]
    Clock(#[from] TickError),
    /// The clock cannot be right.
    #[error(transparent)]
    ImplausibleClock(#[from] ImplausibleClock),
    /// The time servers cannot be watched together.
    #[error(transparent)]
    TimeServers(#[from] ServersError),
    /// The record of the slot cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The address cannot be had.
    #[error("cannot listen on {address}: {error}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
    /// The system gives no random numbers.
    #[error("no random numbers: {0}")]
    Random(io::Error),
}

impl Server {
    /// Takes the record of the slot and binds the sockets.
    ///
    /// # Errors
    ///
    /// When the clock cannot be right, the record cannot be used, or the address cannot be had.
    pub fn bind(config: Config) -> Result<Self, StartError> {
        let Config {
            namespace, worker, plans, node, udp_allow, tokens, limits, state, ntp, ..
        } = config;
        let Config { listen, http, grpc, .. } = config;
        let ntp = NtpMonitor::new(ntp.servers, ntp.interval)?;
        let now_ms = WallTime::now().unix_ms();
        namespace.layout().tick(now_ms)?;
        if let Some((kind, end_ms)) = config::ending(&namespace, now_ms) {
            let end = timestamp::rfc3339(end_ms);
            warn!(kind = kind.name(), end, "the timestamps of a kind end within five years");
        }
        sanity::check_release(now_ms)?;
        // First the record of a slot that was asked for: whoever has it is the only one, and nobody
        // else gets to the port.
        let StateConfig { window_ms, accept_clock, .. } = state;
        let WorkerConfig { datacenter_id, pool, count, fixed } = worker;
        let wanted = Wanted {
            pool: pool.iter().map(|slot| SlotKey::new(&namespace, *slot)).collect(),
            count: count.into(),
            fixed,
            stale_after: stale_after(&state),
        };
        let holder = host::new_holder().map_err(StartError::Random)?;
        let claimant = Claimant { holder, host: host::name(), ahead_ms: window_ms };
        let store = open(&state, &namespace, &wanted, &claimant)?;

        let udp_on = !udp_allow.is_empty();
        let sockets = socket::bind(listen, plans.shards(), udp_on).map_err(at(listen))?;
        let tcp = sockets[0].tcp.local_addr().map_err(at(listen))?;
        let udp = sockets[0].udp.as_ref().map(std::net::UdpSocket::local_addr).transpose();
        let udp = udp.map_err(at(listen))?;
        let gateways = plans.lanes() - plans.shards();
        let (http, http_listeners) = door(http, gateways)?;
        let (grpc, grpc_listeners) = door(grpc, gateways)?;

        let shards = plans.shards();
        let names = (0..shards).map(|index| format!("shard-{index}"));
        let names: Vec<_> = names.chain((0..gateways).map(|i| format!("gateway-{i}"))).collect();
        let runtimes: Vec<_> = names.iter().map(|_| Arc::new(OnceLock::new())).collect();
        let fixed: Arc<[_]> = if fixed { pool.into() } else { Arc::default() };
        let started = Instant::now();
        let kept = plans.clone();
        let identity = Arc::new(Identity { namespace, datacenter_id, fixed, plans, started });
        let tenure = Tenure::default();
        let (threads, orders): (Vec<_>, Vec<_>) = names.iter().map(|_| unbounded_channel()).unzip();
        let counters: Arc<[_]> = names.iter().map(|_| Arc::new(LaneCounters::new())).collect();
        let condition = Arc::new(Condition::default());
        let time = TrustedTime::new();
        let admission = Arc::new(Admission::of_shards(&limits));
        let gateway_admission = Arc::new(Admission::of_gateway(&limits));
        let metrics = Arc::new(Metrics::new(Sources {
            identity: Arc::clone(&identity),
            tenure: tenure.clone(),
            condition: Arc::clone(&condition),
            time: time.clone(),
            window_ms,
            lanes: Arc::clone(&counters),
            admission: Arc::clone(&admission),
            gateway_admission: Arc::clone(&gateway_admission),
            runtimes: names.iter().cloned().zip(runtimes.iter().cloned()).collect(),
        }));
        let cores = core_affinity::get_core_ids().unwrap_or_default();
        let stopping = CancellationToken::new();
        let service = |index| {
            Service::new(
                Arc::clone(&identity),
                index,
                Arc::clone(&counters),
                Arc::clone(&condition),
                time.clone(),
            )
        };
        let mut orders = orders;
        let gateway_orders = orders.split_off(usize::from(shards));
        let shard_seeds = (0..).zip(orders).zip(sockets).map(|((index, orders), sockets)| {
            let place = usize::from(index);
            Seed::Shard(ShardSeed {
                core: cores.get(place % cores.len().max(1)).copied(),
                service: service(index),
                counters: Arc::clone(&counters[place]),
                sockets,
                tokens: tokens.clone(),
                admission: Arc::clone(&admission),
                udp_allow: udp_allow.clone(),
                limits,
                runtime: Arc::clone(&runtimes[place]),
                // A token of its own: its waiting tasks share no lock with those of other shards.
                stopping: stopping.child_token(),
                orders,
            })
        });
        let doors = http_listeners.into_iter().zip(grpc_listeners);
        let gateway_seeds = (shards..).zip(gateway_orders).zip(doors);
        let gateway_seeds = gateway_seeds.map(|((index, orders), (http, grpc))| {
            let place = usize::from(index);
            Seed::Gateway(GatewaySeed {
                // A core that no shard has, if there is one.
                core: cores.get(place).copied(),
                service: service(index),
                counters: Arc::clone(&counters[place]),
                identity: Arc::clone(&identity),
                doors: Doors { http, grpc },
                tokens: tokens.clone(),
                admission: Arc::clone(&gateway_admission),
                metrics: Arc::clone(&metrics),
                runtime: Arc::clone(&runtimes[place]),
                stopping: stopping.child_token(),
                orders,
            })
        });
        let seeds = names.iter().cloned().zip(shard_seeds.chain(gateway_seeds)).collect();
        let (events, keeper_events) = unbounded_channel();
        let (keeper_stop, stop) = mpsc::channel();
        let keeper = KeeperThread {
            store,
            namespace,
            plans: kept,
            node,
            wanted,
            claimant,
            accept_clock,
            time,
            condition,
            tenure,
            threads,
            events,
            stop,
            mistrusted: None,
            mixed: false,
            opened: false,
        };
        Ok(Self {
            seeds,
            keeper,
            keeper_events,
            keeper_stop,
            counters,
            stopping,
            tcp,
            udp,
            http,
            grpc,
            identity,
            ntp,
        })
    }

    /// Where TCP listens.
    pub fn tcp(&self) -> SocketAddr {
        self.tcp
    }

    /// Where UDP listens, if it does.
    pub fn udp(&self) -> Option<SocketAddr> {
        self.udp
    }

    /// Where REST listens, if it does.
    pub fn http(&self) -> Option<SocketAddr> {
        self.http
    }

    /// Where gRPC listens, if it does.
    pub fn grpc(&self) -> Option<SocketAddr> {
        self.grpc
    }

    /// The counters of the lanes, those of the shards first.
    pub fn counters(&self) -> Arc<[Arc<LaneCounters>]> {
        Arc::clone(&self.counters)
    }

    /// The line that says that everything is bound and a window is held, without the workers.
    fn doors(&self) -> String {
        let doors = [("udp", self.udp), ("http", self.http), ("grpc", self.grpc)];
        let doors: String = doors
            .into_iter()
            .filter_map(|(name, door)| door.map(|door| format!(" {name}={door}")))
            .collect();
        format!("ready tcp={}{doors} datacenter={}", self.tcp, self.identity.datacenter_id)
    }

    /// Serves until `stop` is ready, then drains and returns. `ready` is called once, when all
    /// shards serve and a window is held, with the line that says so.
    ///
    /// # Errors
    ///
    /// When a shard cannot be built or ends by itself, or no window can be reserved any more.
    pub fn run(
        self,
        ready: impl FnOnce(&str),
        stop: impl Future<Output = ()>,
    ) -> Result<(), RunError> {
        let doors = self.doors();
        let shards = self.identity.plans.shards();
        let ready = |slots: &[Slot]| ready(&ready_line(&doors, slots, shards));
        let Self { seeds, keeper, keeper_events, keeper_stop, counters, stopping, ntp, .. } = self;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(RunError::Control)?;
        // However this ends, no shard is left behind.
        let _stop = stopping.clone().drop_guard();
        let (threads, ended) = start(seeds)?;
        let control = Control {
            tenure: keeper.tenure.clone(),
            time: keeper.time.clone(),
            condition: Arc::clone(&keeper.condition),
            keeper_events,
            ended,
            ntp,
        };
        let (released_sender, released) = mpsc::channel();
        let keeping = thread::Builder::new().name("keeper".into()).spawn(move || {
            keeper.run();
            let _ = released_sender.send(());
        });
        keeping.map_err(RunError::Build)?;

        let result = runtime.block_on(control.run(ready, stop));
        // A name that is being resolved is not waited for.
        runtime.shutdown_background();
        info!("stopping");
        stopping.cancel();
        let lanes: Vec<_> = threads.into_iter().map(JoinHandle::join).collect();
        let left: Option<Vec<_>> = lanes.into_iter().map(|joined| joined.unwrap_or(None)).collect();
        let lanes = left.map(|left| left.into_iter().flatten().collect());
        // A store that does not answer does not hold up the end: it costs the next start a wait.
        if keeper_stop.send(lanes).is_ok() && released.recv_timeout(RELEASE_TIMEOUT).is_err() {
            warn!("the store does not answer: the rest of the window is not given back");
        }
        for (index, lane) in counters.iter().enumerate() {
            for (counter, count) in lane.nonzero() {
                info!(lane = index, counter, count, "counted");
            }
        }
        info!("stopped");
        result
    }
}

/// What a thread with a lane is made from.
#[derive(Debug)]
enum Seed {
    Shard(ShardSeed),
    Gateway(GatewaySeed),
}

impl Seed {
    fn run(self, built: &mpsc::Sender<io::Result<()>>) -> Left {
        match self {
            Self::Shard(seed) => seed.run(built),
            Self::Gateway(seed) => seed.run(built),
        }
    }
}

fn ready_line(doors: &str, slots: &[Slot], shards: u16) -> String {
    let workers: Vec<_> = slots.iter().map(|slot| slot.worker_id().to_string()).collect();
    let first = workers.first().map_or("", String::as_str);
    let all = match workers.len() {
        1 => String::new(),
        _ => format!(" workers={}", workers.join(",")),
    };
    format!("{doors} worker={first}{all} shards={shards}")
}

/// The store of the windows. One of this machine is locked at once.
fn open(
    state: &StateConfig,
    namespace: &Namespace,
    wanted: &Wanted,
    claimant: &Claimant,
) -> Result<Box<dyn WindowStore>, StartError> {
    let StateConfig { directory, allowed_filesystems, .. } = state;
    let Wanted { pool, count, fixed, .. } = wanted;
    if let Some(store) = &state.store {
        let holder = claimant.holder;
        let store = SharedStore::new(store, *namespace, pool.clone(), directory, holder)?;
        return Ok(Box::new(store));
    }
    let store = LocalStore::open(directory, allowed_filesystems, pool.clone(), *count, *fixed)?;
    Ok(Box::new(store))
}

/// How long the marker of a process that was killed may outlive it: a store may take twice the
/// session to notice, and some more when its leader changes.
fn stale_after(state: &StateConfig) -> Duration {
    state.store.as_ref().map_or(Duration::ZERO, |store| store.settings.session * 3)
}

/// Binds a door of the gateway, once per thread; without an address it has none.
fn door(
    address: Option<SocketAddr>,
    threads: u16,
) -> Result<(Option<SocketAddr>, Vec<Option<TcpListener>>), StartError> {
    let Some(address) = address else {
        return Ok((None, (0..threads).map(|_| None).collect()));
    };
    let sockets = socket::bind(address, threads, false).map_err(at(address))?;
    let bound = sockets.first().map(|sockets| sockets.tcp.local_addr()).transpose();
    let bound = bound.map_err(at(address))?;
    Ok((bound, sockets.into_iter().map(|sockets| Some(sockets.tcp)).collect()))
}

fn at(address: SocketAddr) -> impl Fn(io::Error) -> StartError {
    move |error| StartError::Bind { address, error }
}

/// The threads, and the names of those that have ended.
type Threads = (Vec<JoinHandle<Left>>, UnboundedReceiver<String>);

/// Starts a thread per seed and waits until all are built.
fn start(seeds: Vec<(String, Seed)>) -> Result<Threads, RunError> {
    let (built_sender, built) = mpsc::channel();
    let (ended_sender, ended) = unbounded_channel();
    let mut threads = Vec::new();
    for (name, seed) in seeds {
        let (built, ended) = (built_sender.clone(), ended_sender.clone());
        let thread = thread::Builder::new().name(name.clone()).spawn(move || {
            let lane = seed.run(&built);
            if lane.is_none() {
                error!(thread = name, "the lane was not given back");
            }
            let _ = ended.send(name);
            lane
        });
        threads.push(thread.map_err(RunError::Build)?);
    }
    drop(built_sender);
    for _ in &threads {
        let result = built.recv().map_err(|_| RunError::Build(io::ErrorKind::Other.into()))?;
        result.map_err(RunError::Build)?;
    }
    Ok((threads, ended))
}
