//! The metrics: what the lanes count, merged when somebody asks, and how the node is.
//!
//! Nothing here is touched by a shard. A scrape reads the counters that the lanes' threads publish
//! anyway; what only the gateway counts, it counts here.

mod lanes;
mod node;
mod page;
mod process;
mod rate;

use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use prometheus_client::encoding::{EncodeLabelSet, prometheus_text, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use tokio::runtime::Handle;

use crate::admission::Admission;
use crate::clock_monitor::TrustedTime;
use crate::condition::Condition;
use crate::counters::LaneCounters;
use crate::service::Identity;
use crate::tenure::Tenure;
use rate::Rate;

/// Everything that is measured.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    http: Family<HttpLabels, Counter>,
    grpc: Family<GrpcLabels, Counter>,
    watched: Arc<Watched>,
}

/// Where the figures come from.
#[derive(Debug)]
pub(crate) struct Sources {
    pub(crate) identity: Arc<Identity>,
    pub(crate) tenure: Tenure,
    pub(crate) condition: Arc<Condition>,
    pub(crate) time: TrustedTime,
    /// How far ahead a window is reserved.
    pub(crate) window_ms: u64,
    /// Those of the shards first.
    pub(crate) lanes: Arc<[Arc<LaneCounters>]>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) gateway_admission: Arc<Admission>,
    /// The runtimes of the threads, by name, once they run.
    pub(crate) runtimes: Vec<(String, Arc<OnceLock<Handle>>)>,
}

/// What the gateway sees when it looks, several times a second.
#[derive(Debug, Default)]
struct Watched {
    ready: AtomicBool,
    rate: Rate,
}

/// How the page is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Prometheus text, version 0.0.4.
    Text,
    /// OpenMetrics text, version 1.0.0.
    OpenMetrics,
}

impl Format {
    /// What stands in `Content-Type`.
    pub(crate) const fn media_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct HttpLabels {
    path: &'static str,
    status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct GrpcLabels {
    method: &'static str,
    code: &'static str,
}

impl Metrics {
    pub(crate) fn new(sources: Sources) -> Self {
        let (http, grpc) = (Family::default(), Family::default());
        let watched = Arc::new(Watched::default());
        let mut registry = Registry::default();
        registry.register_collector(Box::new(process::Process));
        let own = registry.sub_registry_with_prefix("coreflake");
        let help = "REST requests by path and status";
        own.register("http_requests", help, Family::clone(&http));
        let help = "gRPC calls by method and status code";
        own.register("grpc_requests", help, Family::clone(&grpc));
        let sources = Arc::new(sources);
        own.register_collector(Box::new(lanes::Lanes { sources: Arc::clone(&sources) }));
        own.register_collector(Box::new(node::Node { sources, watched: Arc::clone(&watched) }));
        Self { registry, http, grpc, watched }
    }

    /// Counts a REST request that has been answered.
    pub(crate) fn count_http(&self, path: &'static str, status: u16) {
        self.http.get_or_create(&HttpLabels { path, status }).inc();
    }

    /// Counts a gRPC call that has been answered.
    pub(crate) fn count_grpc(&self, method: &'static str, code: &'static str) {
        self.grpc.get_or_create(&GrpcLabels { method, code }).inc();
    }

    /// Notes whether IDs can be had at `now`, and how many have been issued by then.
    pub(crate) fn watch(&self, ready: bool, ids: u64, now: Instant) {
        self.watched.ready.store(ready, Ordering::Relaxed);
        self.watched.rate.sample(ids, now);
    }

    /// All metrics on one page.
    pub(crate) fn page(&self, format: Format) -> Result<String, fmt::Error> {
        let mut page = String::new();
        match format {
            Format::Text => prometheus_text::encode(&mut page, &self.registry)?,
            Format::OpenMetrics => text::encode(&mut page, &self.registry)?,
        }
        Ok(page)
    }
}
