//! How the node is: identity, window, clock, store, runtimes.

use core::fmt;
use core::sync::atomic::Ordering;
use std::sync::Arc;

use coreflake_protocol::{ClockState, Kind, StoreState};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::registry::Unit;

use crate::metrics::page::Page;
use crate::metrics::{Sources, Watched};

/// The state of the node, read when somebody asks.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) sources: Arc<Sources>,
    pub(super) watched: Arc<Watched>,
}

const SECONDS: Option<&Unit> = Some(&Unit::Seconds);

impl Node {
    fn identity(&self, page: &mut Page<'_>) -> fmt::Result {
        let identity = &self.sources.identity;
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        page.info("build", "The version of the server", &version)?;
        page.slots(
            "slot_info",
            "1 for each slot whose IDs are issued",
            &self.sources.tenure.slots(),
        )?;
        let shards = f64::from(identity.plans.shards());
        page.gauge("shards", "Shards of the server", None, shards)?;
        let end = |kind: Kind| seconds(identity.namespace.scale(kind).end_ms());
        let ends = Kind::ALL.map(|kind| (("kind", kind.name()), end(kind)));
        let help = "When the kind has no more timestamps, since the Unix epoch";
        page.gauges_of("layout_end_timestamp", help, SECONDS, ends)
    }

    fn serving(&self, page: &mut Page<'_>) -> fmt::Result {
        let Sources { identity, tenure, time, lanes, .. } = &*self.sources;
        let uptime = identity.started.elapsed().as_secs_f64();
        page.gauge("uptime", "Time since the server was started", SECONDS, uptime)?;
        let ready = u8::from(self.watched.ready.load(Ordering::Relaxed));
        page.gauge("ready", "1 when IDs can be had, else 0", None, ready.into())?;
        let rate = self.watched.rate.per_second();
        page.gauge("ids_per_second", "IDs issued in the last second", None, rate)?;
        let last = lanes.iter().map(|lane| lane.issued_ms()).max().unwrap_or(0);
        let help = "The timestamp in the last ID issued, since the Unix epoch; 0 before the first";
        page.gauge("last_id_timestamp", help, SECONDS, seconds(last))?;
        let hi_ms = tenure.hi_ms().unwrap_or(0);
        let left = seconds(hi_ms.saturating_sub(time.now_ms()));
        page.gauge("window_left", "How far the reserved window reaches", SECONDS, left)?;
        let whole = seconds(self.sources.window_ms);
        page.gauge("window", "How far it reaches when it has just been reserved", SECONDS, whole)
    }

    fn clock_and_store(&self, page: &mut Page<'_>) -> fmt::Result {
        let condition = &self.sources.condition;
        let clock = condition.clock();
        #[allow(clippy::cast_precision_loss)] // Microseconds of some years.
        let drift = condition.clock_offset_us() as f64 / 1e6;
        let drift = if clock == ClockState::Unknown { f64::NAN } else { drift };
        let help = "How far the time servers are ahead of the clock; NaN when they say nothing";
        page.gauge("clock_drift", help, SECONDS, drift)?;
        let states =
            ClockState::ALL.map(|state| (("state", state.name()), u64::from(state == clock)));
        page.gauges("clock_state", "How the clock compares with the time servers", states)?;
        let synchronized = u8::from(clock == ClockState::Good);
        let help = "1 when the time servers agree with the clock to 100 ms, else 0";
        page.gauge("ntp_synchronized", help, None, synchronized.into())?;
        let suspect = u8::from(condition.clock_suspect());
        let help = "1 when the clock has jumped ahead and is not believed, else 0";
        page.gauge("clock_suspect", help, None, suspect.into())?;
        #[allow(clippy::cast_precision_loss)] // Exact up to 2^53.
        let steps = condition.clock_steps() as f64;
        page.counter("clock_steps", "Times that the clock was seen to be set", None, steps)?;
        let store = condition.store();
        let states =
            StoreState::ALL.map(|state| (("state", state.name()), u64::from(state == store)));
        page.gauges("store_state", "How the store of the windows is", states)
    }

    fn slots(&self, page: &mut Page<'_>) -> fmt::Result {
        let condition = &self.sources.condition;
        let slots = condition.slots().map(|(state, count)| (("state", state), count));
        let help = "Slots of the pool when last looked at: nobody has them, others have them, this \
                    server has them, nobody can use them";
        page.gauges("slots", help, slots)?;
        let (claims, conflicts) = condition.claims();
        #[allow(clippy::cast_precision_loss)] // Exact up to 2^53.
        for (name, help, count) in [
            ("slot_claims", "Claims of a slot that were tried", claims),
            ("slot_claim_conflicts", "Claims that somebody else was before", conflicts),
            ("slot_losses", "Slots lost to somebody else", condition.losses()),
        ] {
            page.counter(name, help, None, count as f64)?;
        }
        Ok(())
    }

    fn runtimes(&self, page: &mut Page<'_>) -> fmt::Result {
        let running = self.sources.runtimes.iter().filter_map(|(name, runtime)| {
            let tasks = runtime.get()?.metrics().num_alive_tasks();
            Some((("thread", name.as_str()), tasks as u64))
        });
        page.gauges("runtime_tasks", "Tasks alive, by thread", running)
    }
}

impl Collector for Node {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page::new(encoder);
        self.identity(&mut page)?;
        self.serving(&mut page)?;
        self.clock_and_store(&mut page)?;
        self.slots(&mut page)?;
        self.runtimes(&mut page)
    }
}

#[allow(clippy::cast_precision_loss)] // Exact up to 2^53 ms.
fn seconds(ms: u64) -> f64 {
    ms as f64 / 1e3
}
