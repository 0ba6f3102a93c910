//! What the lanes and the doors in front of them count.

use core::fmt;
use std::sync::Arc;

use coreflake_protocol::Kind;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use crate::counters::{LaneCounters, REFUSALS, Reject};
use crate::latency::{BOUNDS_US, LatencySum};
use crate::metrics::Sources;
use crate::metrics::page::Page;

/// The lanes' counters, read when somebody asks.
#[derive(Debug)]
pub(super) struct Lanes {
    pub(super) sources: Arc<Sources>,
}

/// The doors of the shards, and those of the gateway.
const SHARD: (&str, &str) = ("plane", "shard");
const GATEWAY: (&str, &str) = ("plane", "gateway");

impl Lanes {
    fn shards(&self) -> &[Arc<LaneCounters>] {
        let shards = usize::from(self.sources.identity.plans.shards());
        &self.sources.lanes[..shards.min(self.sources.lanes.len())]
    }

    fn gateways(&self) -> &[Arc<LaneCounters>] {
        &self.sources.lanes[self.shards().len()..]
    }

    /// One sample per lane.
    fn by_lane<'a>(
        &'a self,
        names: &'a [String],
        count: fn(&LaneCounters) -> u64,
    ) -> impl Iterator<Item = ((&'a str, &'a str), u64)> {
        let lanes = names.iter().zip(self.sources.lanes.iter());
        lanes.map(move |(name, lane)| (("lane", name.as_str()), count(lane)))
    }

    /// One sample for the shards and one for the gateway.
    fn by_plane(
        &self,
        count: fn(&LaneCounters) -> u64,
    ) -> [((&'static str, &'static str), u64); 2] {
        let sum = |lanes: &[Arc<LaneCounters>]| lanes.iter().map(|lane| count(lane)).sum();
        [(SHARD, sum(self.shards())), (GATEWAY, sum(self.gateways()))]
    }

    fn sum(&self, count: impl Fn(&LaneCounters) -> u64) -> u64 {
        self.sources.lanes.iter().map(|lane| count(lane)).sum()
    }
}

impl Collector for Lanes {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page::new(encoder);
        let names: Vec<_> = (0..self.sources.lanes.len()).map(|lane| lane.to_string()).collect();

        page.counters("ids", "IDs issued", self.by_lane(&names, LaneCounters::ids))?;
        page.counters(
            "kind_ids",
            "IDs issued, by their kind",
            Kind::ALL.map(|kind| (("kind", kind.name()), self.sum(|lane| lane.ids_of(kind)))),
        )?;
        page.counters(
            "sequence_overflows",
            "Ticks whose sequence space was used up",
            self.by_lane(&names, LaneCounters::sequence_overflows),
        )?;
        page.counters(
            "lane_waits",
            "Times that somebody had to wait for sequence space",
            self.by_lane(&names, LaneCounters::waits),
        )?;
        page.counters(
            "pool_claims",
            "Pieces of the common sequence space that a lane has claimed",
            self.by_lane(&names, LaneCounters::pool_claims),
        )?;
        page.counters(
            "clock_regressions",
            "Times that a lane found the clock behind its last timestamp",
            self.by_lane(&names, LaneCounters::clock_regressions),
        )?;

        let refusals = REFUSALS.map(|code| (code, self.sum(|lane| lane.refusals(code))));
        let rejects = Reject::ALL.iter().map(|reason| (*reason, self.sum(|l| l.rejects(*reason))));
        let rejects: Vec<_> = rejects.collect();
        let errors = refusals.iter().map(|(_, count)| count).sum::<u64>()
            + rejects.iter().map(|(_, count)| count).sum::<u64>();
        page.counters(
            "refusals",
            "Good requests for IDs that were refused, by error code",
            refusals.iter().map(|(code, count)| (("code", code.name()), *count)),
        )?;
        page.counters(
            "rejects",
            "Frames, datagrams, requests and connections that were turned away, by reason",
            rejects.iter().map(|(reason, count)| (("reason", reason.name()), *count)),
        )?;
        #[allow(clippy::cast_precision_loss)] // Exact up to 2^53.
        page.counter("errors", "Refusals and rejects together", None, errors as f64)?;

        page.counters(
            "connections_accepted",
            "Connections accepted",
            self.by_plane(LaneCounters::connections_accepted),
        )?;
        let open = [
            (SHARD, self.sources.admission.open().into()),
            (GATEWAY, self.sources.gateway_admission.open().into()),
        ];
        page.gauges("connections", "Connections open", open)?;
        page.counters(
            "frames",
            "Frames received over TCP",
            [(SHARD, self.sum(|lane| lane.frames.get()))],
        )?;
        page.counters(
            "datagrams",
            "Datagrams received",
            [(SHARD, self.sum(|lane| lane.datagrams.get()))],
        )?;
        page.counters(
            "received_bytes",
            "Bytes received",
            self.by_plane(|lane| lane.received_bytes.get()),
        )?;
        page.counters("sent_bytes", "Bytes sent", self.by_plane(|lane| lane.sent_bytes.get()))?;

        page.histograms(
            "generation_latency",
            "From reading a request for IDs to the last of its IDs, waits included",
            [(SHARD, self.shards()), (GATEWAY, self.gateways())].map(|(plane, lanes)| {
                let mut sum = LatencySum::default();
                lanes.iter().for_each(|lane| sum.add(&lane.latencies));
                let (seconds, buckets) = in_seconds(&sum);
                (plane, seconds, buckets)
            }),
        )
    }
}

#[allow(clippy::cast_precision_loss)] // Microseconds, and a sum for people.
fn in_seconds(sum: &LatencySum) -> (f64, Vec<(f64, u64)>) {
    let bounds = BOUNDS_US.iter().map(|bound| *bound as f64 / 1e6).chain([f64::INFINITY]);
    (sum.sum_ns as f64 / 1e9, bounds.zip(sum.buckets).collect())
}
