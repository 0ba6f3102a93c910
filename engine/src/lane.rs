//! A single-threaded generator: the hot path.

use core::num::NonZeroU32;
use std::sync::Arc;

use coreflake_protocol::{Id, Kind, Namespace, Run, Slot};

use crate::clock::{self, HOLD_MS_MIN, Verdict};
use crate::cursor::Cursor;
use crate::entropy::{Entropy, LaneEntropy};
use crate::outcome::{Demand, IdSink, Outcome, Refusal};

/// A lane that holds goes on at the pace of the clock, less one part in this many: it loses 6 % of
/// its rate and is back from a second ahead in 16 seconds.
const HOLD_PARTS: u64 = 16;

/// One generator with its own numbers of every kind. It walks upwards through time, and through the
/// numbers of each tick, and is owned by one thread; lanes of a node meet only in the pools.
///
/// A node with several slots has their numbers one behind the other, in the order of the slots:
/// number `n` is sequence number `n mod 4096` of slot `n / 4096`. IDs rise with `n`, since the slot
/// stands above the sequence in an ID.
#[derive(Debug)]
pub struct Lane {
    namespace: Namespace,
    /// Ascending.
    slots: Arc<[Slot]>,
    /// The time up to here belongs to somebody else.
    lo_ms: u64,
    /// The time the lane is at. Everything before it is used up or given up.
    at_ms: u64,
    cursors: [Cursor; Kind::ALL.len()],
    entropy: LaneEntropy,
    /// The last ID of kind `snowflake`.
    last: Option<Id>,
    /// The time in the last ID of any kind; 0 when nothing was issued.
    issued_ms: u64,
    /// The clock was behind when last looked at.
    behind: bool,
    /// The lane counts on without the clock.
    holding: bool,
    /// How far ahead of the clock it may get meanwhile, in milliseconds.
    lead_ms_max: u64,
    /// How far it went on since it was last brought nearer, in milliseconds.
    held_ms: u64,
    stats: LaneStats,
}

/// Where a lane stands when another one takes its place.
#[derive(Clone, Copy, Debug)]
pub struct LaneEnd {
    at_ms: u64,
    last: Option<Id>,
    issued_ms: u64,
    stats: LaneStats,
}

/// What a lane has done since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaneStats {
    /// IDs issued, by kind, in the order of [`Kind::ALL`].
    pub ids: [u64; Kind::ALL.len()],
    /// How often somebody had to wait because the sequence space of a tick was used up.
    pub waits: u64,
    /// Ticks whose sequence space was used up, as far as the lane may draw, of all kinds.
    pub sequence_overflows: u64,
    /// Pieces claimed from the pool.
    pub pool_claims: u64,
    /// How often the clock was found behind the last tick, having been past it before.
    pub clock_regressions: u64,
    /// How far it was back when last found so, in milliseconds.
    pub clock_regression_ms: u64,
}

impl LaneStats {
    /// IDs of all kinds.
    pub fn ids_issued(&self) -> u64 {
        self.ids.iter().sum()
    }
}

impl Lane {
    pub(crate) fn new(
        namespace: Namespace,
        slots: Arc<[Slot]>,
        cursors: [Cursor; Kind::ALL.len()],
        lo_ms: u64,
        entropy: &Entropy,
        number: u16,
    ) -> Self {
        let entropy = entropy.of_lane(number, namespace.layout(), slots[0]);
        Self {
            namespace,
            slots,
            lo_ms,
            at_ms: lo_ms,
            cursors,
            entropy,
            last: None,
            issued_ms: 0,
            behind: false,
            holding: false,
            lead_ms_max: 0,
            held_ms: 0,
            stats: LaneStats::default(),
        }
    }

    /// Issues up to `demand` IDs of `kind` into `sink`, in ascending order. `now_ms` is the wall
    /// clock in milliseconds since the Unix epoch; `hi_ms` is what the [`Gate`](crate::Gate) says.
    ///
    /// What was issued before a `Wait` or a `Refused` is in the sink and stays issued.
    pub fn generate(
        &mut self,
        now_ms: u64,
        hi_ms: u64,
        kind: Kind,
        demand: &mut Demand,
        sink: &mut impl IdSink,
    ) -> Outcome {
        let verdict = match self.look(now_ms, hi_ms, kind) {
            Ok(verdict) => verdict,
            Err(refusal) => {
                self.note_regression_of(refusal);
                return Outcome::Refused(refusal);
            }
        };
        match verdict {
            Verdict::Advance => self.at_ms = now_ms,
            Verdict::WaitOut => {
                self.note_regression(self.at_ms - now_ms);
                return Outcome::Wait { until_ms: self.at_ms };
            }
            Verdict::Hold => {
                let lead_ms = self.at_ms - now_ms;
                self.note_regression(lead_ms);
                // The second case: the clock has gone back once more.
                if !self.holding || lead_ms > self.lead_ms_max + HOLD_MS_MIN {
                    self.lead_ms_max = lead_ms;
                }
            }
            Verdict::Stay => {}
        }
        self.holding = verdict == Verdict::Hold;
        self.behind &= self.holding;
        let at_ms = self.at_ms;
        if let Err(refusal) = self.enter(kind, at_ms, demand.remaining()) {
            return Outcome::Refused(refusal);
        }
        // Ends: every round issues an ID, or enters a tick no further than the lead from `now_ms`.
        while let Some(want) = NonZeroU32::new(demand.remaining().min(sink.room())) {
            if let Some(count) = self.issue(kind, want, hi_ms, sink) {
                demand.meet(count);
                continue;
            }
            let next_ms = self.cursors[kind.index()].next_ms();
            if !self.holding || next_ms.saturating_sub(now_ms) > self.lead_ms_max {
                self.stats.waits += 1;
                self.note_overflow(kind);
                let lead_ms = if self.holding { self.lead_ms_max } else { 0 };
                return Outcome::Wait { until_ms: next_ms - lead_ms };
            }
            if let Err(refusal) = self.reserved(next_ms, hi_ms, kind) {
                return Outcome::Refused(refusal);
            }
            self.note_overflow(kind);
            self.shrink_lead(next_ms - self.at_ms);
            self.at_ms = next_ms;
            if let Err(refusal) = self.enter(kind, next_ms, demand.remaining()) {
                return Outcome::Refused(refusal);
            }
        }
        Outcome::Done
    }

    /// Takes the place of a lane of an earlier incarnation: goes on behind its last ID, and counts
    /// on from what it has counted. Whoever is served by the one and then by the other sees IDs
    /// that rise.
    pub fn succeed(&mut self, before: LaneEnd) {
        assert!(self.issued_ms == 0 && self.at_ms == self.lo_ms, "a lane that has not begun");
        self.lo_ms = self.lo_ms.max(before.at_ms);
        self.at_ms = self.lo_ms;
        self.cursors.iter_mut().for_each(|cursor| cursor.leave(self.lo_ms));
        self.last = before.last;
        self.issued_ms = before.issued_ms;
        self.stats = before.stats;
    }

    /// Where the lane stands: what its successor has to know.
    pub const fn end(&self) -> LaneEnd {
        LaneEnd { at_ms: self.at_ms, last: self.last, issued_ms: self.issued_ms, stats: self.stats }
    }

    /// Why a request for a `snowflake` would be refused at this moment, if it would.
    pub fn refusal(&self, now_ms: u64, hi_ms: u64) -> Option<Refusal> {
        self.look(now_ms, hi_ms, Kind::Snowflake).err()
    }

    /// The highest millisecond the lane has entered, if it has entered one.
    pub(crate) fn last_ms(&self) -> Option<u64> {
        (self.at_ms > self.lo_ms).then_some(self.at_ms)
    }

    /// The time in the last ID of any kind, in milliseconds since the Unix epoch: the highest there
    /// is. 0 when nothing was issued.
    pub const fn issued_ms(&self) -> u64 {
        self.issued_ms
    }

    /// What the lane has done so far.
    pub const fn stats(&self) -> &LaneStats {
        &self.stats
    }

    /// Brings a holding lane that goes on by `by_ms` nearer to the clock, by one part in
    /// [`HOLD_PARTS`] of that. Without it a lane under full load would stay ahead for ever, and a
    /// lane that is ahead keeps the others from the pool.
    fn shrink_lead(&mut self, by_ms: u64) {
        self.held_ms += by_ms;
        self.lead_ms_max = self.lead_ms_max.saturating_sub(self.held_ms / HOLD_PARTS);
        self.held_ms %= HOLD_PARTS;
    }

    fn enter(&mut self, kind: Kind, at_ms: u64, want: u32) -> Result<(), Refusal> {
        self.cursors[kind.index()].enter(at_ms, want, &mut self.stats.pool_claims)
    }

    /// What the distance between the clock and where the lane is asks for.
    fn look(&self, now_ms: u64, hi_ms: u64, kind: Kind) -> Result<Verdict, Refusal> {
        if now_ms > self.cursors[kind.index()].scale().end_ms() {
            return Err(Refusal::TimestampExhausted);
        }
        let verdict = clock::judge(now_ms, self.at_ms)?;
        if verdict == Verdict::Advance {
            self.reserved(now_ms, hi_ms, kind)?;
        }
        Ok(verdict)
    }

    /// Whether `unix_ms` may be entered.
    fn reserved(&self, unix_ms: u64, hi_ms: u64, kind: Kind) -> Result<(), Refusal> {
        if unix_ms > self.cursors[kind.index()].scale().end_ms() {
            return Err(Refusal::TimestampExhausted);
        }
        if unix_ms > hi_ms { Err(Refusal::WindowExhausted) } else { Ok(()) }
    }

    /// Counts the current tick among those that had too few numbers, once.
    fn note_overflow(&mut self, kind: Kind) {
        if self.cursors[kind.index()].overflows() {
            self.stats.sequence_overflows += 1;
        }
    }

    /// Issues the next IDs of the current tick, at most `want`; `None` when it is used up.
    fn issue(
        &mut self,
        kind: Kind,
        want: NonZeroU32,
        hi_ms: u64,
        sink: &mut impl IdSink,
    ) -> Option<u32> {
        let space = self.namespace.space(kind);
        let cursor = &mut self.cursors[kind.index()];
        // Numbers that are taken at once lie in one slot.
        let numbers = cursor.take(want, space, &mut self.stats.pool_claims)?;
        let (tick, tick_ms) = (cursor.tick(), cursor.tick_ms());
        assert!(self.lo_ms < tick_ms && self.at_ms <= hi_ms, "{tick_ms} ms is not reserved");
        let slot = self.slots[(numbers.start / space) as usize];
        let first = numbers.start % space;
        let count = NonZeroU32::new(numbers.end - numbers.start)?;
        if kind.is_wide() {
            for number in first..first + count.get() {
                // A `uuid1` has nothing random but its node.
                let random = if kind == Kind::Uuid1 { 0 } else { self.entropy.next() };
                let node = self.entropy.node();
                sink.push_wide(self.namespace.pack_wide(kind, tick_ms, slot, number, random, node));
            }
        } else {
            let run = self.namespace.pack_run(kind, tick, slot, first, count);
            self.note_run(kind, run);
            sink.push(run);
        }
        self.issued_ms = self.issued_ms.max(tick_ms);
        self.stats.ids[kind.index()] += u64::from(count.get());
        Some(count.get())
    }

    fn note_run(&mut self, kind: Kind, run: Run) {
        if kind == Kind::Snowflake {
            assert!(self.last < Some(run.first()), "a lane's IDs only rise");
            self.last = Some(run.last());
        }
    }

    #[cold]
    fn note_regression(&mut self, behind_ms: u64) {
        // A lane that has issued nothing stands at the end of somebody else's window: a start, not
        // a clock that was seen to go back.
        if !self.behind && self.issued_ms > 0 {
            self.stats.clock_regressions += 1;
            self.stats.clock_regression_ms = behind_ms;
        }
        self.behind = true;
    }

    #[cold]
    fn note_regression_of(&mut self, refusal: Refusal) {
        if let Refusal::ClockRegression { behind_ms, .. } = refusal {
            self.note_regression(behind_ms);
        }
    }
}
