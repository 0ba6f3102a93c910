//! The whole server: the only file that knows all parts.

use core::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Instant;

use coreflake_engine::Incarnation;
use coreflake_protocol::TickError;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::admission::Admission;
use crate::clock::WallTime;
use crate::config::Config;
use crate::counters::ShardCounters;
use crate::identity::memory::MemoryStore;
use crate::keeper::{Keeper, reserve_ahead_ticks};
use crate::limits::KEEPER_INTERVAL;
use crate::net::socket;
use crate::service::{Identity, Service};
use crate::shard::ShardSeed;

/// A server that holds a window and its sockets, and serves nobody yet.
#[derive(Debug)]
pub struct Server {
    seeds: Vec<ShardSeed>,
    keeper: Keeper,
    counters: Arc<[Arc<ShardCounters>]>,
    stopping: CancellationToken,
    tcp: SocketAddr,
    udp: Option<SocketAddr>,
    identity: Arc<Identity>,
}

/// Why a server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The clock shows a time without a tick.
    #[error(transparent)]
    Clock(#[from] TickError),
    /// The address cannot be had.
    #[error("cannot listen on {address}: {error}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
}

/// Why a server that ran has ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A shard could not be built.
    #[error("cannot start a shard: {0}")]
    Build(io::Error),
    /// A shard ended before it was told to.
    #[error("shard {0} ended by itself")]
    ShardEnded(usize),
    /// The control plane has no runtime.
    #[error("cannot start the control plane: {0}")]
    Control(io::Error),
}

impl Server {
    /// Claims a window and binds the sockets.
    ///
    /// # Errors
    ///
    /// When the clock shows a time outside the layout, or the address cannot be had.
    pub fn bind(config: Config) -> Result<Self, StartError> {
        let Config { layout, slot, plan, listen, udp_allow, tokens, limits } = config;
        let now = layout.tick(WallTime::now().unix_ms())?;
        let mut store = MemoryStore::new(now);
        let window = store.claim(now.plus(reserve_ahead_ticks()));
        let sockets = socket::bind(listen, plan.lanes(), !udp_allow.is_empty())
            .map_err(|error| StartError::Bind { address: listen, error })?;
        let address = |error| StartError::Bind { address: listen, error };
        let tcp = sockets[0].tcp.local_addr().map_err(address)?;
        let udp = sockets[0].udp.as_ref().map(std::net::UdpSocket::local_addr).transpose();
        let udp = udp.map_err(address)?;

        let Incarnation { lanes, gate } = Incarnation::begin(layout, slot, &plan, window);
        let identity = Arc::new(Identity { layout, slot, plan, started: Instant::now() });
        let counters: Arc<[_]> = lanes.iter().map(|_| Arc::new(ShardCounters::new())).collect();
        let admission = Arc::new(Admission::new(limits));
        let cores = core_affinity::get_core_ids().unwrap_or_default();
        let stopping = CancellationToken::new();
        let seeds = (0..)
            .zip(lanes)
            .zip(sockets)
            .map(|((index, lane), sockets)| ShardSeed {
                core: cores.get(usize::from(index) % cores.len().max(1)).copied(),
                service: Service::new(
                    Arc::clone(&identity),
                    lane,
                    index,
                    Arc::clone(&gate),
                    Arc::clone(&counters),
                ),
                counters: Arc::clone(&counters[usize::from(index)]),
                sockets,
                tokens: tokens.clone(),
                admission: Arc::clone(&admission),
                udp_allow: udp_allow.clone(),
                limits,
                // A token of its own: its waiting tasks share no lock with those of other shards.
                stopping: stopping.child_token(),
            })
            .collect();
        let keeper = Keeper::new(layout, store, gate);
        Ok(Self { seeds, keeper, counters, stopping, tcp, udp, identity })
    }

    /// Where TCP listens.
    pub fn tcp(&self) -> SocketAddr {
        self.tcp
    }

    /// Where UDP listens, if it does.
    pub fn udp(&self) -> Option<SocketAddr> {
        self.udp
    }

    /// The counters of the shards, in their order.
    pub fn counters(&self) -> Arc<[Arc<ShardCounters>]> {
        Arc::clone(&self.counters)
    }

    /// The line that says that everything is bound and a window is held.
    pub fn ready_line(&self) -> String {
        let udp = self.udp.map(|udp| format!(" udp={udp}")).unwrap_or_default();
        let slot = self.identity.slot;
        format!(
            "ready tcp={}{udp} datacenter={} worker={} shards={}",
            self.tcp,
            slot.datacenter_id(),
            slot.worker_id(),
            self.identity.plan.lanes()
        )
    }

    /// Serves until `stop` is ready, then drains and returns. `ready` is called once, when all
    /// shards serve.
    ///
    /// # Errors
    ///
    /// When a shard cannot be built, or ends by itself.
    pub fn run(self, ready: impl FnOnce(), stop: impl Future<Output = ()>) -> Result<(), RunError> {
        let Self { seeds, keeper, counters, stopping, .. } = self;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(RunError::Control)?;
        warn!(
            "the window store is memory, not durable yet: IDs can come twice after a restart with a \
             clock that stands earlier, or when another server has the same slot"
        );
        // However this ends, no shard is left behind.
        let _stop = stopping.clone().drop_guard();
        let (threads, mut ended) = start(seeds)?;
        ready();
        let result = runtime.block_on(control(keeper, &mut ended, stop));
        info!("stopping");
        stopping.cancel();
        for thread in threads {
            if thread.join().is_err() {
                error!("a shard panicked");
            }
        }
        for (index, shard) in counters.iter().enumerate() {
            for (counter, count) in shard.nonzero() {
                info!(shard = index, counter, count, "counted");
            }
        }
        info!("stopped");
        result
    }
}

/// Starts a thread per shard and waits until all are built.
fn start(
    seeds: Vec<ShardSeed>,
) -> Result<(Vec<thread::JoinHandle<()>>, UnboundedReceiver<usize>), RunError> {
    let (built_sender, built) = mpsc::channel();
    let (ended_sender, ended) = tokio::sync::mpsc::unbounded_channel();
    let mut threads = Vec::new();
    for (index, seed) in seeds.into_iter().enumerate() {
        let (built, ended) = (built_sender.clone(), ended_sender.clone());
        let thread = thread::Builder::new().name(format!("shard-{index}")).spawn(move || {
            if let Err(error) = seed.run(&built) {
                error!(shard = index, %error, "a shard failed");
            }
            let _ = ended.send(index);
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

/// The control plane: keeps the lanes supplied until it is time to stop.
async fn control(
    mut keeper: Keeper,
    ended: &mut UnboundedReceiver<usize>,
    stop: impl Future<Output = ()>,
) -> Result<(), RunError> {
    let mut interval = tokio::time::interval(KEEPER_INTERVAL);
    // After a pause of the process one look is enough.
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut stop = core::pin::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => return Ok(()),
            Some(shard) = ended.recv() => return Err(RunError::ShardEnded(shard)),
            _ = interval.tick() => keeper.look(WallTime::now()),
        }
    }
}
