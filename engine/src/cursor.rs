//! Where a lane stands in the numbers of one kind.

use core::num::NonZeroU32;
use core::ops::Range;
use std::sync::Arc;

use coreflake_protocol::{Scale, Tick, TickError};

use crate::outcome::Refusal;
use crate::pool::Pool;

/// The share of the pool that a lane claims when it needs less: requests for one ID each then share
/// one atomic operation between many. What a lane leaves of a piece is lost with the tick, so a
/// piece is small against the pool: 48 numbers of the 3,072 of the default one.
const PIECES: u32 = 64;

/// A pool is idle when a tick took less than one part in this many of it.
const IDLE_PARTS: u32 = 16;

/// With this many numbers to choose from, a beginning is even modulo 2, 3, 4, 7, 8 and 16.
const SPREAD_MIN: u32 = SPREAD_UNIT + SPREAD_REST;

/// More are not passed over.
const SPREAD_MAX: u32 = 21 * SPREAD_UNIT + SPREAD_REST;

/// What makes a beginning even modulo 2, 4, 8 and 16, ...
const SPREAD_UNIT: u32 = 16;

/// ... modulo 3 and 7, and how much these two need besides.
const SPREAD_SMALL: [u32; 2] = [3, 7];
const SPREAD_REST: u32 = 8;

/// The numbers of one kind, tick by tick: first the home of the lane, then pieces of the pool.
/// `(tick, number)` only rises.
#[derive(Debug)]
pub(crate) struct Cursor {
    scale: Scale,
    /// The tick of the numbers below. All ticks up to it are used up or given up.
    tick: Tick,
    home: Range<u32>,
    home_left: Range<u32>,
    pool: Arc<Pool>,
    piece_left: Range<u32>,
    piece_size: u32,
    /// The pool has nothing more for this tick.
    pool_dry: bool,
    /// How many numbers of this tick were taken.
    taken: u32,
    /// The last tick that was found used up.
    overflowed: Tick,
    /// The first number that was not taken.
    next: (Tick, u32),
}

impl Cursor {
    /// A cursor at the end of the tick that `lo_ms` falls into: a tick belongs to who has its first
    /// millisecond.
    pub(crate) fn new(scale: Scale, home: Range<u32>, pool: Arc<Pool>, lo_ms: u64) -> Self {
        let piece_size = (pool.size() / PIECES).max(1);
        let mut cursor = Self {
            scale,
            tick: Tick::ZERO,
            home,
            home_left: 0..0,
            pool,
            piece_left: 0..0,
            piece_size,
            pool_dry: true,
            taken: 0,
            overflowed: Tick::ZERO,
            next: (Tick::ZERO, 0),
        };
        cursor.leave(lo_ms);
        cursor
    }

    /// Gives up every tick that begins at `unix_ms` or before. To be called before the first
    /// number is taken.
    pub(crate) fn leave(&mut self, unix_ms: u64) {
        assert!(self.next == (Tick::ZERO, 0), "a cursor that has not begun");
        // Before the epoch there is no tick but the first one to give up; past the end, the last.
        let end_ms = self.scale.end_ms();
        let tick = self.scale.tick(unix_ms.min(end_ms)).unwrap_or(Tick::ZERO);
        self.tick = tick;
        self.overflowed = tick;
    }

    pub(crate) const fn scale(&self) -> &Scale {
        &self.scale
    }

    /// When the tick of the numbers began, in milliseconds since the Unix epoch.
    pub(crate) const fn tick_ms(&self) -> u64 {
        self.scale.unix_ms(self.tick)
    }

    pub(crate) const fn tick(&self) -> Tick {
        self.tick
    }

    /// When the next one begins.
    pub(crate) const fn next_ms(&self) -> u64 {
        self.scale.unix_ms(self.tick.next())
    }

    /// Goes to the tick of `at_ms`, if it is a later one, to take `want` numbers. Counts what it
    /// claims from the pool in `claims`.
    pub(crate) fn enter(&mut self, at_ms: u64, want: u32, claims: &mut u64) -> Result<(), Refusal> {
        let tick = self.scale.tick(at_ms).map_err(|error| match error {
            TickError::AfterEnd { .. } => Refusal::TimestampExhausted,
            TickError::BeforeEpoch { unix_ms, epoch_ms } => {
                let behind_ms = epoch_ms - unix_ms;
                Refusal::ClockRegression { behind_ms, retry_after_ms: behind_ms }
            }
        })?;
        if tick == self.tick {
            return Ok(());
        }
        assert!(tick > self.tick, "a lane only moves forward");
        self.tick = tick;
        self.home_left = self.home.clone();
        self.piece_left = 0..0;
        self.pool_dry = false;
        let busy = self.taken.max(want).saturating_mul(2);
        self.taken = 0;
        self.begin_somewhere(want, busy, claims);
        Ok(())
    }

    /// Passes over some numbers. A lane that issues an ID now and then would otherwise always issue
    /// the same number, and tables that are sharded by IDs modulo something would be uneven.
    /// `busy`, twice of what the lane has needed or is asked for, stays in reach, so a lane that
    /// needs its home has it.
    fn begin_somewhere(&mut self, want: u32, busy: u32, claims: &mut u64) {
        let home_size = self.home.end - self.home.start;
        let free = home_size.saturating_sub(busy);
        // Lanes in the same tick do not pass over the same share of their homes.
        let hash = mix(self.tick.get() ^ u64::from(self.home.start) << 40);
        let is_small = free < SPREAD_MIN && home_size < 2 * SPREAD_MIN;
        if is_small && busy <= self.pool.size() / 4 {
            let size = self.pool.size();
            let skip_max = (size / 2).min(SPREAD_MAX);
            // What may be gone was enough for the tick before.
            let idle_max = (skip_max + size / IDLE_PARTS).min(size - skip_max);
            let skip = offset(hash, skip_max);
            let claim = |size| self.pool.claim_idle(self.tick, size, skip, idle_max);
            if let Some(piece) = NonZeroU32::new(want.max(self.piece_size)).and_then(claim) {
                // Numbers only rise, and the home is below the pool.
                self.home_left = 0..0;
                self.piece_left = piece;
                *claims += 1;
                return;
            }
        }
        self.home_left.start += offset(hash, free);
    }

    /// The next numbers of the tick, at most `want` and all of one slot, which has `space`. Counts
    /// what it claims from the pool in `claims`.
    pub(crate) fn take(
        &mut self,
        want: NonZeroU32,
        space: u32,
        claims: &mut u64,
    ) -> Option<Range<u32>> {
        let left = if !self.home_left.is_empty() {
            &mut self.home_left
        } else {
            if self.piece_left.is_empty() && !self.claim_piece(want, claims) {
                return None;
            }
            &mut self.piece_left
        };
        let space_left = space - left.start % space;
        let count = want.get().min(left.end - left.start).min(space_left);
        let numbers = left.start..left.start + count;
        left.start = numbers.end;
        assert!(self.next <= (self.tick, numbers.start), "the numbers of a lane only rise");
        self.next = (self.tick, numbers.end);
        self.taken += count;
        Some(numbers)
    }

    /// Whether the tick is found to be used up for the first time.
    pub(crate) fn overflows(&mut self) -> bool {
        let first = self.tick > self.overflowed;
        self.overflowed = self.tick;
        first
    }

    /// Fills `piece_left` from the pool; `false` when the pool has nothing for this tick.
    fn claim_piece(&mut self, want: NonZeroU32, claims: &mut u64) -> bool {
        if self.pool_dry {
            return false;
        }
        let size = want.get().max(self.piece_size);
        match NonZeroU32::new(size).and_then(|size| self.pool.claim(self.tick, size)) {
            Some(piece) => {
                self.piece_left = piece;
                *claims += 1;
            }
            None => self.pool_dry = true,
        }
        !self.pool_dry
    }
}

/// A number below `free`, or 0. The remainders of a sum are even when those of one part are,
/// whatever the other parts are.
#[allow(clippy::cast_possible_truncation)] // Parts of the hash.
fn offset(hash: u64, free: u32) -> u32 {
    let free = free.min(SPREAD_MAX);
    let part = (hash >> 32) as u32;
    if free < SPREAD_MIN {
        return free.checked_ilog2().map_or(0, |bits| part & ((1 << bits) - 1));
    }
    let coarse = part % ((free - SPREAD_REST) / SPREAD_UNIT * SPREAD_UNIT);
    let [three, seven] = SPREAD_SMALL;
    coarse + (hash as u32 & 0xffff) % three + (hash as u32 >> 16) % seven
}

/// A number that looks random and follows from `number`: the finalizer of SplitMix64 (Steele, Lea,
/// Flood: Fast splittable pseudorandom number generators, 2014).
const fn mix(number: u64) -> u64 {
    let number = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ number >> 31
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    #[test]
    fn an_offset_is_below_what_is_free_and_reaches_all_of_it() {
        for free in [0, 1, 2, 3, 23, 24, 25, 40, 62, 344, 345, u32::MAX] {
            let offsets = (0..100_000).map(|number| offset(mix(number), free));
            let highest = offsets.max().unwrap();
            assert!(highest == 0 || highest < free.min(SPREAD_MAX), "{free}: {highest}");
            assert!(free < SPREAD_MIN || highest >= free.min(SPREAD_MAX) - SPREAD_UNIT, "{free}");
        }
    }
}
