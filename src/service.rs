//! The application of one shard: requests in, answers out, nothing else.

use core::cell::Cell;
use core::time::Duration;
use std::sync::Arc;
use std::time::Instant;

use coreflake_engine::{Demand, GateView, IdSink, Lane, LaneEnd, Outcome, Plans, Refusal};
use coreflake_protocol::frame::{DATAGRAM_SIZE_MAX, REQUEST_SIZE_MAX};
use coreflake_protocol::{
    AnyId, Count, ErrorCode, ErrorReply, Health, IdError, Info, Kind, Namespace, Parsed, Response,
    ServingState, Slot, WorkerIds,
};
use tracing::warn;

use crate::clock::WallTime;
use crate::clock_monitor::TrustedTime;
use crate::condition::Condition;
use crate::counters::LaneCounters;
use crate::tenure::Seat;

/// Between two turns of a shard, in milliseconds, before it asks whether the clock has jumped: less
/// than makes a jump suspect.
const REST_MS_MAX: u64 = 400;

// The limits of the protocol, as wide as INFO carries them.
#[allow(clippy::cast_possible_truncation)] // 1,024 and 1,200.
const REQUEST_SIZE: u32 = REQUEST_SIZE_MAX as u32;
#[allow(clippy::cast_possible_truncation)]
const DATAGRAM_SIZE: u16 = DATAGRAM_SIZE_MAX as u16;

/// What does not change while a server runs.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) namespace: Namespace,
    pub(crate) datacenter_id: u16,
    /// The slots that were asked for by their numbers, ascending; none when free ones are taken.
    pub(crate) fixed: Arc<[Slot]>,
    pub(crate) plans: Plans,
    pub(crate) started: Instant,
}

/// One look at the clock and at the gate: enough for everything that is answered in one turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    /// The time that is trusted.
    now: WallTime,
    /// The wall clock as it was read.
    begun: WallTime,
    gate: GateView,
    /// Which seat the gate stands in front of.
    seats: u64,
}

impl Turn {
    /// How long after the turn began it is `unix_ms`, by the time that is trusted.
    pub(crate) fn until(&self, unix_ms: u64) -> Duration {
        self.now.until(unix_ms)
    }

    /// When the turn began, by the wall clock.
    pub(crate) const fn begun(&self) -> WallTime {
        self.begun
    }
}

/// In front of no lane.
const NO_GATE: GateView = GateView { hi_ms: 0, ahead_ms: 0, refusal: Some(Refusal::Starting) };

/// Answers what a shard is asked. Owned by the shard's thread.
#[derive(Debug)]
pub(crate) struct Service {
    identity: Arc<Identity>,
    /// Nothing as long as no window is won.
    seat: Option<Seat>,
    /// How many there were before, and where the lane of the last one stood.
    seats: u64,
    before: Option<LaneEnd>,
    lane_index: u16,
    counters: Arc<LaneCounters>,
    all_counters: Arc<[Arc<LaneCounters>]>,
    condition: Arc<Condition>,
    time: TrustedTime,
    last_turn_ms: Cell<u64>,
    clock_regressions_logged: Cell<u64>,
    /// Requests met in the turn in which they came.
    met_at_once: Cell<u32>,
    draining: bool,
}

impl Service {
    pub(crate) fn new(
        identity: Arc<Identity>,
        lane_index: u16,
        all_counters: Arc<[Arc<LaneCounters>]>,
        condition: Arc<Condition>,
        time: TrustedTime,
    ) -> Self {
        let counters = Arc::clone(&all_counters[usize::from(lane_index)]);
        Self {
            identity,
            seat: None,
            seats: 0,
            before: None,
            lane_index,
            counters,
            all_counters,
            condition,
            time,
            last_turn_ms: Cell::new(0),
            clock_regressions_logged: Cell::new(0),
            met_at_once: Cell::new(0),
            draining: false,
        }
    }

    /// Issues from another seat from now on, or from none, and gives the lane back that it had. IDs
    /// go on rising.
    pub(crate) fn sit(&mut self, seat: Option<Seat>) -> Option<Lane> {
        let lane = self.seat.take().map(|seat| seat.lane);
        if let Some(lane) = &lane {
            self.counters.publish(lane);
            self.before = Some(lane.end());
        }
        self.seat = seat;
        self.seats += 1;
        if let (Some(seat), Some(before)) = (&mut self.seat, self.before) {
            seat.lane.succeed(before);
        }
        lane
    }

    /// Begins a turn. With the end of a turn, the only place where a lane's thread reads the clock.
    ///
    /// Time that has passed since the last turn may be a rest of this shard or a jump of the clock.
    /// When it is long, the shard asks: the clock monitor may not have seen the jump yet, and a
    /// lane that has followed it would have to refuse when the clock returns.
    pub(crate) fn turn(&self) -> Turn {
        let gate = self.seat.as_ref().map_or(NO_GATE, |seat| seat.gate.view());
        let begun = WallTime::now();
        let mut now = begun.minus_ms(gate.ahead_ms);
        if now.unix_ms().abs_diff(self.last_turn_ms.get()) > REST_MS_MAX {
            now = self.time.now();
        }
        self.last_turn_ms.set(now.unix_ms());
        Turn { now, begun, gate, seats: self.seats }
    }

    /// Notes that a request for IDs which came at `arrived` has been met.
    pub(crate) fn met(&self, turn: &Turn, arrived: WallTime) {
        if arrived == turn.begun {
            self.met_at_once.set(self.met_at_once.get() + 1);
        } else {
            self.counters.latencies.record(turn.begun.since(arrived), 1);
        }
    }

    /// Ends a turn: what was counted becomes visible.
    pub(crate) fn end_turn(&self, turn: &Turn) {
        let met = self.met_at_once.take();
        if met > 0 {
            self.counters.latencies.record(WallTime::now().since(turn.begun), met);
        }
        self.publish();
    }

    /// Makes visible what the lane has counted.
    fn publish(&self) {
        let Some(Seat { lane, .. }) = &self.seat else { return };
        let stats = lane.stats();
        self.counters.publish(lane);
        if stats.clock_regressions != self.clock_regressions_logged.get() {
            self.clock_regressions_logged.set(stats.clock_regressions);
            warn!(
                lane = self.lane_index,
                behind_ms = stats.clock_regression_ms,
                "the clock stands behind the last timestamp issued"
            );
        }
    }

    /// How the shard counts what it turns away.
    pub(crate) fn counters(&self) -> &LaneCounters {
        &self.counters
    }

    /// From now on every request for IDs is refused: the server shuts down.
    pub(crate) fn drain(&mut self) {
        self.draining = true;
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining
    }

    pub(crate) fn generate(
        &mut self,
        turn: &Turn,
        kind: Kind,
        demand: &mut Demand,
        sink: &mut impl IdSink,
    ) -> Outcome {
        let outcome = match (&mut self.seat, turn.gate.refusal) {
            (_, Some(refusal)) => Outcome::Refused(refusal),
            // A gate that stands in front of another lane says nothing about this one.
            (Some(seat), None) if turn.seats == self.seats => {
                seat.lane.generate(turn.now.unix_ms(), turn.gate.hi_ms, kind, demand, sink)
            }
            _ => Outcome::Refused(Refusal::Starting),
        };
        if let Outcome::Refused(refusal) = outcome {
            self.counters.refuse(refusal);
        }
        outcome
    }

    /// Ends the service: the lane issues nothing more.
    pub(crate) fn into_lane(self) -> Option<Lane> {
        self.seat.map(|seat| seat.lane)
    }

    pub(crate) fn parse(&self, id: AnyId) -> Result<Parsed, IdError> {
        self.identity.namespace.parse(id)
    }

    pub(crate) fn health(&self, turn: &Turn) -> Health {
        self.publish();
        let lane = self.seat.as_ref().map(|seat| &seat.lane);
        let of_lane = || lane?.refusal(turn.now.unix_ms(), turn.gate.hi_ms);
        let refusal = turn.gate.refusal.or_else(of_lane);
        let state = match refusal {
            _ if self.draining => ServingState::Draining,
            Some(refusal) => ServingState::Refusing(refusal.code().wire()),
            None => ServingState::Serving,
        };
        Health {
            state,
            datacenter_id: self.identity.datacenter_id,
            worker_id: self.slots().first().map(|slot| slot.worker_id()),
            uptime_seconds: self.identity.started.elapsed().as_secs(),
            ids_generated: self.all_counters.iter().map(|shard| shard.ids()).sum(),
            window_left_ms: self.window_left_ms(turn),
            clock: self.condition.clock(),
            clock_suspect: self.condition.clock_suspect(),
            store: self.condition.store(),
            clock_offset_us: self.condition.clock_offset_us(),
            clock_steps: self.condition.clock_steps(),
            clock_regressions: lane.map_or(0, |lane| lane.stats().clock_regressions),
        }
    }

    pub(crate) fn info(&self, turn: &Turn) -> Info {
        let Identity { namespace, datacenter_id, plans, .. } = &*self.identity;
        let plan = plans.of(Kind::Snowflake);
        let stats = self.seat.as_ref().map(|seat| *seat.lane.stats()).unwrap_or_default();
        let home = plan.home(self.lane_index);
        Info {
            namespace: *namespace,
            datacenter_id: *datacenter_id,
            worker_ids: self.worker_ids(),
            count_max: Count::MAX,
            request_size_max: REQUEST_SIZE,
            datagram_size_max: DATAGRAM_SIZE,
            shards: plan.shards(),
            lane: self.lane_index,
            home_size: home.end - home.start,
            pool_size: plan.pool_size(),
            window_left_ms: self.window_left_ms(turn),
            lane_ids: stats.ids_issued(),
            lane_waits: stats.waits,
            lane_pool_claims: stats.pool_claims,
        }
    }

    /// The slots that IDs are issued from, or will be.
    fn slots(&self) -> &[Slot] {
        self.seat.as_ref().map_or(&self.identity.fixed, |seat| &seat.slots)
    }

    /// Their worker parts.
    pub(crate) fn worker_ids(&self) -> WorkerIds {
        self.slots().iter().map(|slot| slot.worker_id()).collect()
    }

    fn window_left_ms(&self, turn: &Turn) -> u64 {
        turn.gate.hi_ms.saturating_sub(turn.now.unix_ms())
    }
}

/// The reply that says why there are no IDs.
pub(crate) fn refusal_reply(refusal: Refusal) -> Response<'static> {
    error_reply(refusal.code(), refusal.retry_after_ms(), refusal_text(refusal).as_bytes())
}

/// Why there are no IDs, in words.
pub(crate) fn refusal_text(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::ClockRegression { .. } => "the clock went back by a second or more",
        Refusal::WindowExhausted => "the reserved window is used up and was not extended",
        Refusal::TimestampExhausted => "the layout has no tick for this time",
        Refusal::Starting => "no window is reserved yet",
        Refusal::ClockDrift => "the clock is wrong by more than a second",
    }
}

/// An ERROR reply.
pub(crate) fn error_reply(code: ErrorCode, retry_after_ms: u32, text: &[u8]) -> Response<'_> {
    Response::Error(ErrorReply { code: code.wire(), retry_after_ms, text })
}
