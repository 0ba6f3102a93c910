//! A single-threaded generator: the hot path.

use core::num::NonZeroU32;
use core::ops::Range;
use std::sync::Arc;

use coreflake_protocol::{Id, Layout, Run, Slot, Tick, TickError};

use crate::clock::{self, HOLD_MS_MIN, Verdict};
use crate::outcome::{Demand, Outcome, Refusal, RunSink};
use crate::pool::Pool;

/// How many sequence numbers a lane claims from the pool when it needs fewer: requests for one ID
/// each then share one atomic operation between this many. What a lane leaves of a piece is lost
/// with the tick, so a piece is small against the pool (1/64 of the default one).
const PIECE_SIZE_MIN: u32 = 48;

/// A lane that holds goes on at the pace of the clock, less one tick in this many: it loses 6 % of
/// its rate and is back from a second ahead in 16 seconds.
const HOLD_TICKS_PER_STEP: u64 = 16;

/// One generator with its own sequence sub-ranges. It walks upwards through `(tick, sequence)` and
/// is owned by one thread; lanes of a node meet only in the [`Pool`].
///
/// A node with several slots has their sequence spaces one behind the other, in the order of the
/// slots: number `n` is sequence number `n mod 4096` of slot `n / 4096`. IDs rise with `n`, since
/// the slot stands above the sequence in an ID.
#[derive(Debug)]
pub struct Lane {
    layout: Layout,
    /// Ascending.
    slots: Arc<[Slot]>,
    /// The ticks up to here belong to somebody else.
    lo: Tick,
    /// The tick of the sub-ranges below. All ticks up to it are used up or given up.
    tick: Tick,
    home: Range<u32>,
    home_left: Range<u32>,
    pool: Arc<Pool>,
    piece_left: Range<u32>,
    /// The pool has nothing more for this tick.
    pool_dry: bool,
    /// The last tick that was found used up.
    overflowed: Tick,
    last: Option<Id>,
    /// The clock was behind when last looked at.
    behind: bool,
    /// The lane counts on without the clock.
    holding: bool,
    /// How far ahead of the clock it may get meanwhile, in ticks.
    lead_max: u64,
    /// Ticks entered since it was last brought nearer.
    ticks_held: u64,
    stats: LaneStats,
}

/// Where a lane stands when another one takes its place.
#[derive(Clone, Copy, Debug)]
pub struct LaneEnd {
    tick: Tick,
    last: Option<Id>,
    stats: LaneStats,
}

/// What a lane has done since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaneStats {
    /// IDs issued.
    pub ids: u64,
    /// How often somebody had to wait because the sequence space of a tick was used up.
    pub waits: u64,
    /// Ticks whose sequence space was used up, as far as the lane may draw.
    pub sequence_overflows: u64,
    /// Pieces claimed from the pool.
    pub pool_claims: u64,
    /// How often the clock was found behind the last tick, having been past it before.
    pub clock_regressions: u64,
    /// How far it was back when last found so, in milliseconds.
    pub clock_regression_ms: u64,
}

impl Lane {
    pub(crate) fn new(
        layout: Layout,
        slots: Arc<[Slot]>,
        home: Range<u32>,
        pool: Arc<Pool>,
        lo: Tick,
    ) -> Self {
        Self {
            layout,
            slots,
            lo,
            tick: lo,
            home,
            home_left: 0..0,
            pool,
            piece_left: 0..0,
            pool_dry: true,
            overflowed: lo,
            last: None,
            behind: false,
            holding: false,
            lead_max: 0,
            ticks_held: 0,
            stats: LaneStats::default(),
        }
    }

    /// Issues up to `demand` IDs into `sink`, in ascending order. `now_ms` is the wall clock in
    /// milliseconds since the Unix epoch; `hi` is what the [`Gate`](crate::Gate) says.
    ///
    /// What was issued before a `Wait` or a `Refused` is in the sink and stays issued.
    pub fn generate(
        &mut self,
        now_ms: u64,
        hi: Tick,
        demand: &mut Demand,
        sink: &mut impl RunSink,
    ) -> Outcome {
        let (now, verdict) = match self.look(now_ms, hi) {
            Ok(look) => look,
            Err(refusal) => {
                self.note_regression_of(refusal);
                return Outcome::Refused(refusal);
            }
        };
        match verdict {
            Verdict::Advance => self.enter(now),
            Verdict::WaitOut => {
                self.note_regression(self.tick.since(now));
                return Outcome::Wait { until: self.tick };
            }
            Verdict::Hold => {
                let lead = self.tick.since(now);
                self.note_regression(lead);
                // The second case: the clock has gone back once more.
                if !self.holding || lead > self.lead_max + HOLD_MS_MIN {
                    self.lead_max = lead;
                }
            }
            Verdict::Stay => {}
        }
        self.holding = verdict == Verdict::Hold;
        self.behind &= self.holding;
        // Ends: every round issues an ID, or enters a tick no further than `lead_max` from `now`.
        while let Some(want) = NonZeroU32::new(demand.remaining()).filter(|_| sink.has_room()) {
            if let Some(run) = self.take(want, hi) {
                demand.meet(run.count().get());
                sink.push(run);
                continue;
            }
            let next = self.tick.next();
            if !self.holding || next.since(now) > self.lead_max {
                self.stats.waits += 1;
                self.note_overflow();
                let until = if self.holding { next.minus(self.lead_max) } else { next };
                return Outcome::Wait { until };
            }
            if let Err(refusal) = self.reserved(next, hi) {
                return Outcome::Refused(refusal);
            }
            self.note_overflow();
            self.enter(next);
            self.shrink_lead();
        }
        Outcome::Done
    }

    /// Takes the place of a lane of an earlier incarnation: goes on behind its last ID, and counts
    /// on from what it has counted. Whoever is served by the one and then by the other sees IDs
    /// that rise.
    pub fn succeed(&mut self, before: LaneEnd) {
        assert!(self.last.is_none() && self.tick == self.lo, "a lane that has not begun");
        self.lo = self.lo.max(before.tick);
        self.tick = self.lo;
        self.overflowed = self.lo;
        self.last = before.last;
        self.stats = before.stats;
    }

    /// Where the lane stands: what its successor has to know.
    pub const fn end(&self) -> LaneEnd {
        LaneEnd { tick: self.tick, last: self.last, stats: self.stats }
    }

    /// Why a request would be refused at this moment, if it would.
    pub fn refusal(&self, now_ms: u64, hi: Tick) -> Option<Refusal> {
        self.look(now_ms, hi).err()
    }

    /// The highest tick the lane has entered, if it has entered one.
    pub(crate) fn last_tick(&self) -> Option<Tick> {
        (self.tick > self.lo).then_some(self.tick)
    }

    /// The last ID issued, which is the highest.
    pub const fn last_id(&self) -> Option<Id> {
        self.last
    }

    /// What the lane has done so far.
    pub const fn stats(&self) -> &LaneStats {
        &self.stats
    }

    /// Brings a holding lane nearer to the clock, one tick in [`HOLD_TICKS_PER_STEP`]. Without it a
    /// lane under full load would stay ahead for ever, and a lane that is ahead keeps the others
    /// from the pool.
    fn shrink_lead(&mut self) {
        self.ticks_held += 1;
        if self.ticks_held == HOLD_TICKS_PER_STEP {
            self.ticks_held = 0;
            self.lead_max = self.lead_max.saturating_sub(1);
        }
    }

    /// The tick of the clock and what its distance from the last tick asks for.
    fn look(&self, now_ms: u64, hi: Tick) -> Result<(Tick, Verdict), Refusal> {
        let now = match self.layout.tick(now_ms) {
            Ok(now) => now,
            // A clock before the epoch has gone back, as far as the lane is concerned.
            Err(TickError::BeforeEpoch { .. }) => Tick::ZERO,
            Err(TickError::AfterEnd { .. }) => return Err(Refusal::TimestampExhausted),
        };
        let verdict = clock::judge(now, self.tick)?;
        if verdict == Verdict::Advance {
            self.reserved(now, hi)?;
        }
        Ok((now, verdict))
    }

    /// Whether `tick` may be entered.
    fn reserved(&self, tick: Tick, hi: Tick) -> Result<(), Refusal> {
        if tick > self.layout.tick_max() {
            return Err(Refusal::TimestampExhausted);
        }
        if tick > hi { Err(Refusal::WindowExhausted) } else { Ok(()) }
    }

    /// Counts the current tick among those that had too few numbers, once.
    fn note_overflow(&mut self) {
        if self.tick > self.overflowed {
            self.overflowed = self.tick;
            self.stats.sequence_overflows += 1;
        }
    }

    /// Leaves the current tick for a later one.
    fn enter(&mut self, tick: Tick) {
        assert!(tick > self.tick, "a lane only moves forward");
        self.tick = tick;
        self.home_left = self.home.clone();
        self.piece_left = 0..0;
        self.pool_dry = false;
    }

    /// The next run of the current tick, of at most `want` IDs: home first, then pieces of the
    /// pool.
    fn take(&mut self, want: NonZeroU32, hi: Tick) -> Option<Run> {
        let left = if !self.home_left.is_empty() {
            &mut self.home_left
        } else {
            if self.piece_left.is_empty() && !self.claim_piece(want) {
                return None;
            }
            &mut self.piece_left
        };
        let count = NonZeroU32::new(want.get().min(left.end - left.start))?;
        // A run lies in one slot.
        let space = self.layout.sequence_space();
        let (place, first) = (left.start / space, left.start % space);
        let count = count.min(NonZeroU32::new(space - first)?);
        left.start += count.get();

        assert!(self.lo < self.tick && self.tick <= hi, "tick {} is not reserved", self.tick);
        let sequence = self.layout.sequence(first).expect("the plan lies in the sequence space");
        let run = self.layout.pack_run(self.tick, self.slots[place as usize], sequence, count);
        assert!(self.last < Some(run.first()), "a lane's IDs only rise");
        self.last = Some(run.last());
        self.stats.ids += u64::from(count.get());
        Some(run)
    }

    /// Fills `piece_left` from the pool; `false` when the pool has nothing for this tick.
    fn claim_piece(&mut self, want: NonZeroU32) -> bool {
        if self.pool_dry {
            return false;
        }
        let size = want.get().max(PIECE_SIZE_MIN);
        match NonZeroU32::new(size).and_then(|size| self.pool.claim(self.tick, size)) {
            Some(piece) => {
                self.piece_left = piece;
                self.stats.pool_claims += 1;
            }
            None => self.pool_dry = true,
        }
        !self.pool_dry
    }

    #[cold]
    fn note_regression(&mut self, behind_ms: u64) {
        // A lane that has issued nothing stands at the end of somebody else's window: a start, not
        // a clock that was seen to go back.
        if !self.behind && self.last.is_some() {
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
