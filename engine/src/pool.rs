//! The common part of a tick's sequence space: one atomic word, claimed in pieces.

use core::num::NonZeroU32;
use core::ops::Range;

use coreflake_protocol::Tick;
use crossbeam_utils::CachePadded;

use crate::sync::{AtomicU64, Ordering};

/// Gives each piece of the pool to one lane. The word holds `(tick, next)` and only ever rises in
/// that order, so no sequence number of a tick is given twice, whatever the lanes' clocks say.
///
/// `Relaxed` is enough throughout: the pieces follow from the order of changes of this one word,
/// and no other memory is published through it.
#[derive(Debug)]
pub struct Pool {
    word: CachePadded<AtomicU64>,
    range: Range<u32>,
    next_bits: u32,
}

impl Pool {
    /// A pool that hands out `range` once per tick, from tick 1 on.
    ///
    /// # Panics
    ///
    /// When the range ends above 2^23: the word could not hold it beside a tick.
    pub fn new(range: Range<u32>) -> Self {
        assert!(range.start <= range.end && range.end <= 1 << 23, "a sequence space");
        // `next` takes the values up to and including `end`, one more than a sequence number.
        let next_bits = u32::BITS - range.end.leading_zeros();
        let word = u64::from(range.end);
        Self { word: CachePadded::new(AtomicU64::new(word)), range, next_bits }
    }

    /// How many numbers a tick has.
    pub(crate) const fn size(&self) -> u32 {
        self.range.end - self.range.start
    }

    /// Claims up to `want` sequence numbers of `tick`: at least one, or `None` when the pool of
    /// this tick is used up or some lane is already in a later tick.
    ///
    /// # Panics
    ///
    /// When the word could not hold the tick (the layout's widths exclude it).
    pub fn claim(&self, tick: Tick, want: NonZeroU32) -> Option<Range<u32>> {
        assert!(tick.get() <= u64::MAX >> self.next_bits, "tick {tick} does not fit the pool word");
        let mut word = self.word.load(Ordering::Relaxed);
        // A round fails when another lane has moved the word up, which within one tick happens at
        // most once per number of the pool. A lane that is outrun in tick after tick gives up, and
        // waits like one that finds the pool empty.
        for _ in 0..=self.range.end - self.range.start + 1 {
            let (word_tick, word_next) = self.unpack(word);
            if word_tick > tick {
                return None;
            }
            let next = if word_tick == tick { word_next } else { self.range.start };
            let size = want.get().min(self.range.end - next);
            if size == 0 {
                return None;
            }
            let claimed = self.pack(tick, next + size);
            assert!(claimed > word, "the pool word only rises");
            match self.word.compare_exchange(word, claimed, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Some(next..next + size),
                Err(current) => word = current,
            }
        }
        None
    }

    /// As [`claim`](Self::claim), but `skip` numbers behind the first one, and only when the pool
    /// is idle: when nobody has claimed in this tick, and in the one before no more than the first
    /// `idle_max` numbers, those that were passed over there among them. Then it is unlikely that
    /// anybody misses what is passed over.
    ///
    /// # Panics
    ///
    /// As [`claim`](Self::claim).
    pub fn claim_idle(
        &self,
        tick: Tick,
        want: NonZeroU32,
        skip: u32,
        idle_max: u32,
    ) -> Option<Range<u32>> {
        assert!(tick.get() <= u64::MAX >> self.next_bits, "tick {tick} does not fit the pool word");
        let word = self.word.load(Ordering::Relaxed);
        let (word_tick, word_next) = self.unpack(word);
        let was_busy =
            word_tick.next() == tick && word_next.saturating_sub(self.range.start) > idle_max;
        if word_tick >= tick || was_busy {
            return None;
        }
        let next = self.range.start.saturating_add(skip).min(self.range.end);
        let size = want.get().min(self.range.end - next);
        if size == 0 {
            return None;
        }
        let claimed = self.pack(tick, next + size);
        assert!(claimed > word, "the pool word only rises");
        // Who is outrun is not alone.
        let result =
            self.word.compare_exchange(word, claimed, Ordering::Relaxed, Ordering::Relaxed);
        result.ok().map(|_| next..next + size)
    }

    fn pack(&self, tick: Tick, next: u32) -> u64 {
        tick.get() << self.next_bits | u64::from(next)
    }

    #[allow(clippy::cast_possible_truncation)] // `next` was packed from a u32.
    fn unpack(&self, word: u64) -> (Tick, u32) {
        let next = word & ((1 << self.next_bits) - 1);
        (Tick::new(word >> self.next_bits), next as u32)
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    fn want(size: u32) -> NonZeroU32 {
        NonZeroU32::new(size).unwrap()
    }

    #[test]
    fn pieces_of_a_tick_ascend_until_it_is_used_up() {
        let pool = Pool::new(1024..4096);
        let tick = Tick::new(7);
        assert_eq!(pool.claim(tick, want(48)), Some(1024..1072));
        assert_eq!(pool.claim(tick, want(4096)), Some(1072..4096));
        assert_eq!(pool.claim(tick, want(1)), None);
        assert_eq!(pool.claim(tick.next(), want(1)), Some(1024..1025));
    }

    #[test]
    fn a_tick_that_was_left_is_never_entered_again() {
        let pool = Pool::new(0..64);
        assert!(pool.claim(Tick::new(9), want(1)).is_some());
        assert_eq!(pool.claim(Tick::new(8), want(1)), None);
        assert_eq!(pool.claim(Tick::ZERO, want(1)), None);
    }

    #[test]
    fn an_empty_pool_gives_nothing() {
        assert_eq!(Pool::new(64..64).claim(Tick::new(1), want(1)), None);
        assert_eq!(Pool::new(64..64).claim_idle(Tick::new(9), want(1), 0, 0), None);
    }

    #[test]
    fn numbers_are_passed_over_only_while_nobody_claims() {
        let pool = Pool::new(16..64);
        let claim_idle = |tick, size, skip| pool.claim_idle(Tick::new(tick), want(size), skip, 27);
        assert_eq!(claim_idle(5, 2, 20), Some(36..38));
        assert_eq!(claim_idle(5, 1, 20), None, "claimed in this tick");
        assert_eq!(pool.claim(Tick::new(5), want(5)), Some(38..43));
        assert_eq!(claim_idle(6, 1, 20), Some(36..37), "27 numbers of the last one are gone");
        assert_eq!(pool.claim(Tick::new(6), want(7)), Some(37..44));
        assert_eq!(claim_idle(7, 1, 20), None, "28 numbers of the last one are gone");
        assert_eq!(claim_idle(5, 1, 20), None, "a tick that was left");
        assert_eq!(pool.claim(Tick::new(7), want(99)), Some(16..64));
        assert_eq!(claim_idle(9, 9, 47), Some(63..64));
        assert_eq!(claim_idle(12, 1, 48), None, "nothing is left behind it");
        assert_eq!(claim_idle(12, 1, u32::MAX), None);
    }

    #[test]
    fn the_last_tick_of_the_widest_layouts_fits() {
        let pool = Pool::new(1 << 20..1 << 22);
        assert!(pool.claim(Tick::new((1 << 41) - 1), want(9)).is_some());
        let pool = Pool::new(1024..4096);
        assert!(pool.claim(Tick::new((1 << 51) - 1), want(9)).is_some());
    }
}
