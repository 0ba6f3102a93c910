//! A thread of the gateway: a runtime, its doors and its lane.

use std::io;
use std::net::TcpListener;
use std::sync::mpsc::Sender;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use coreflake_protocol::ServingState;
use tokio::runtime::{Builder, Handle, LocalOptions};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic_health::server::HealthReporter;
use tracing::warn;

use crate::admission::Admission;
use crate::auth::Tokens;
use crate::counters::LaneCounters;
use crate::gateway::desk::Desk;
use crate::gateway::door::Porter;
use crate::gateway::generator::Generator;
use crate::gateway::{grpc, rest};
use crate::limits::{DRAIN_TIMEOUT, GATEWAY_WATCH_INTERVAL};
use crate::metrics::Metrics;
use crate::service::{Identity, Service};
use crate::tenure::{self, Handover, Left};

/// Where a gateway thread listens.
#[derive(Debug)]
pub(crate) struct Doors {
    pub(crate) http: Option<TcpListener>,
    pub(crate) grpc: Option<TcpListener>,
}

/// Everything a gateway thread needs, made before it starts.
#[derive(Debug)]
pub(crate) struct GatewaySeed {
    pub(crate) core: Option<core_affinity::CoreId>,
    pub(crate) service: Service,
    pub(crate) counters: Arc<LaneCounters>,
    pub(crate) identity: Arc<Identity>,
    pub(crate) doors: Doors,
    pub(crate) tokens: Option<Arc<Tokens>>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) runtime: Arc<OnceLock<Handle>>,
    pub(crate) stopping: CancellationToken,
    pub(crate) orders: UnboundedReceiver<Handover>,
}

impl GatewaySeed {
    /// Runs the gateway on the current thread until the server stops, and gives its lane back.
    /// Tells `built` once whether it could be built; before that nothing is served.
    pub(crate) fn run(self, built: &Sender<io::Result<()>>) -> Left {
        if let Some(core) = self.core
            && !core_affinity::set_for_current(core)
        {
            warn!(core = core.id, "cannot pin the gateway to its core");
        }
        let runtime =
            Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
        let result = runtime.and_then(|runtime| {
            let _ = self.runtime.set(runtime.handle().clone());
            let desk = runtime.block_on(self.serve(built));
            // With the runtime go all tasks, and with them every other reference to the desk.
            drop(runtime);
            desk
        });
        match result {
            Ok(desk) => Arc::into_inner(desk).map(|desk| desk.generator.into_lane()),
            Err(error) => {
                let _ = built.send(Err(error));
                None
            }
        }
    }

    async fn serve(self, built: &Sender<io::Result<()>>) -> io::Result<Arc<Desk>> {
        let Self { service, counters, identity, tokens, admission, metrics, stopping, .. } = self;
        let orders = self.orders;
        let generator = Generator::new(service)?;
        let desk = Arc::new(Desk { generator, identity, tokens, metrics });
        let Doors { http, grpc } = self.doors;
        let http = http.map(tokio::net::TcpListener::from_std).transpose()?;
        let grpc = grpc.map(tokio::net::TcpListener::from_std).transpose()?;
        let (grpc_router, reporter) = grpc::router(&desk)?;
        let _ = built.send(Ok(()));

        let tasks = TaskTracker::new();
        let porter = Porter { admission, counters, tasks: tasks.clone(), stopping };
        let rest = async {
            if let Some(listener) = http {
                porter.serve_http1(listener, rest::router(&desk)).await;
            }
        };
        let calls = async {
            if let Some(listener) = grpc {
                porter.serve_http2(listener, grpc_router).await;
            }
        };
        let doors = async {
            tokio::join!(rest, calls, porter.stopping.cancelled());
            desk.generator.drain();
            grpc::end_watches(reporter.clone()).await;
            tasks.close();
            if tokio::time::timeout(DRAIN_TIMEOUT, tasks.wait()).await.is_err() {
                warn!(left = tasks.len(), "connections of the gateway did not finish in time");
            }
        };
        tokio::select! {
            () = doors => {}
            () = watch(&desk, &reporter) => {}
            () = tenure::obey(orders, |seat| desk.generator.sit(seat)) => {}
        }
        Ok(desk)
    }
}

/// Looks at the server, for those who watch it, for ever.
async fn watch(desk: &Desk, reporter: &HealthReporter) {
    let mut told = None;
    loop {
        let health = desk.generator.health();
        let serving = health.state == ServingState::Serving;
        desk.metrics.watch(serving, health.ids_generated, Instant::now());
        if told != Some(serving) {
            told = Some(serving);
            grpc::report(reporter, serving).await;
        }
        tokio::time::sleep(GATEWAY_WATCH_INTERVAL).await;
    }
}
