//! One core: a thread, a runtime, its sockets and its lane. It shares nothing on the request path.

use core::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::mpsc::Sender;
use std::sync::{Arc, OnceLock};

use ipnet::IpNet;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Handle, LocalOptions};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, warn};

use crate::admission::Admission;
use crate::auth::Tokens;
use crate::counters::{LaneCounters, Reject};
use crate::limits::{DRAIN_TIMEOUT, Limits};
use crate::net::acceptor::Acceptor;
use crate::net::deadline::CoarseClock;
use crate::net::socket::ShardSockets;
use crate::net::source::SourceFilter;
use crate::net::udp::UdpDoor;
use crate::service::Service;
use crate::tenure::{self, Handover, Left};
use crate::tick_queue::TickQueues;

/// What the tasks of one shard have in common.
#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) service: RefCell<Service>,
    pub(crate) counters: Arc<LaneCounters>,
    pub(crate) tokens: Option<Arc<Tokens>>,
    pub(crate) coarse_clock: CoarseClock,
    /// Cancelled when the server stops.
    pub(crate) stopping: CancellationToken,
    /// Who waits for sequence space.
    pub(crate) queues: TickQueues,
}

/// Everything a shard needs, made before its thread starts.
#[derive(Debug)]
pub(crate) struct ShardSeed {
    pub(crate) core: Option<core_affinity::CoreId>,
    pub(crate) service: Service,
    pub(crate) counters: Arc<LaneCounters>,
    pub(crate) sockets: ShardSockets,
    pub(crate) tokens: Option<Arc<Tokens>>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) udp_allow: Vec<IpNet>,
    pub(crate) limits: Limits,
    pub(crate) runtime: Arc<OnceLock<Handle>>,
    pub(crate) stopping: CancellationToken,
    pub(crate) orders: UnboundedReceiver<Handover>,
}

impl ShardSeed {
    /// Runs the shard on the current thread until the server stops, and gives its lane back. Tells
    /// `built` once whether it could be built; before that nothing is served.
    pub(crate) fn run(self, built: &Sender<io::Result<()>>) -> Left {
        if let Some(core) = self.core
            && !core_affinity::set_for_current(core)
        {
            warn!(core = core.id, "cannot pin the shard to its core");
        }
        let runtime =
            Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => {
                let _ = built.send(Err(error));
                return None;
            }
        };
        let _ = self.runtime.set(runtime.handle().clone());
        let shard = runtime.block_on(async {
            let doors = match self.build() {
                Ok(doors) => doors,
                Err(error) => {
                    let _ = built.send(Err(error));
                    return None;
                }
            };
            let _ = built.send(Ok(()));
            let shard = Rc::clone(&doors.shard);
            if let Err(error) = doors.serve().await {
                error!(%error, "a shard failed");
            }
            Some(shard)
        });
        // With the runtime go all tasks, and with them every other reference to the shard.
        drop(runtime);
        Rc::try_unwrap(shard?).ok().map(|shard| shard.service.into_inner().into_lane())
    }

    fn build(self) -> io::Result<Doors> {
        let shard = Rc::new(Shard {
            service: RefCell::new(self.service),
            counters: self.counters,
            tokens: self.tokens,
            coarse_clock: CoarseClock::new(),
            stopping: self.stopping,
            queues: TickQueues::new()?,
        });
        let port = self.sockets.tcp.local_addr()?.port();
        let udp = match self.sockets.udp {
            Some(socket) => {
                let filter = SourceFilter::new(port, self.udp_allow, &self.limits);
                Some(UdpDoor::new(socket, filter, Rc::clone(&shard))?)
            }
            None => None,
        };
        let tasks = TaskTracker::new();
        let acceptor = Acceptor {
            listener: TcpListener::from_std(self.sockets.tcp)?,
            admission: self.admission,
            tasks: tasks.clone(),
            shard: Rc::clone(&shard),
        };
        Ok(Doors { shard, acceptor, udp, tasks, orders: self.orders })
    }
}

/// A shard that can serve.
struct Doors {
    shard: Rc<Shard>,
    acceptor: Acceptor,
    udp: Option<UdpDoor>,
    tasks: TaskTracker,
    orders: UnboundedReceiver<Handover>,
}

impl Doors {
    async fn serve(self) -> io::Result<()> {
        let Self { shard, acceptor, udp, tasks, orders } = self;
        let streams = async {
            tasks.spawn_local(acceptor.run());
            shard.stopping.cancelled().await;
            shard.service.borrow_mut().drain();
            tasks.close();
            if tokio::time::timeout(DRAIN_TIMEOUT, tasks.wait()).await.is_err() {
                warn!(left = tasks.len(), "connections did not finish in time");
            }
            Ok(())
        };
        let datagrams = async {
            match udp {
                Some(udp) => udp.run().await,
                None => Ok(()),
            }
        };
        // A door that fails ends the shard, and the shard the process.
        let doors = async { tokio::try_join!(streams, datagrams).map(|_| ()) };
        let clock = shard.coarse_clock.run();
        let seats = tenure::obey(orders, |seat| shard.service.borrow_mut().sit(seat));
        tokio::select! {
            result = doors => result,
            result = shard.queues.run() => result,
            () = clock => Ok(()),
            () = seats => Ok(()),
        }
    }
}

impl Shard {
    pub(crate) fn reject(&self, reason: Reject) {
        self.counters.reject(reason);
    }
}
