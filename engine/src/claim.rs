//! How a slot's record may change: claimed, extended, released. Nothing else is ever written.

use crate::clock::REFUSE_MS_MIN;
use crate::record::{Host, Record};
use crate::window::Window;

/// Who claims, and for how long ahead.
#[derive(Clone, Copy, Debug)]
pub struct Claimant {
    /// This process: random, chosen at its start. Not zero.
    pub holder: u128,
    /// The host, for people.
    pub host: Host,
    /// How far ahead of the clock time is reserved, in milliseconds.
    pub ahead_ms: u64,
}

/// A record that is to take the place of another, by compare-and-swap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swap {
    /// What the record is, to the byte.
    pub from: Record,
    /// What it shall be.
    pub to: Record,
}

/// The slot cannot be claimed yet: its bound lies too far ahead of the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotYet {
    /// How long it takes until it can, in milliseconds, if the clock goes on at its pace.
    pub wait_ms: u64,
}

impl Claimant {
    /// The claim of a slot at `now_ms`, a time that is trusted. `attempt` is random.
    ///
    /// A bound ahead of the clock is treated as a clock that went back to before it: up to a second
    /// the slot is claimed and the lanes hold; beyond that nothing is reserved, or a crash loop
    /// would walk into the future.
    ///
    /// # Errors
    ///
    /// [`NotYet`] when the bound is a second or more ahead, or a third of the window.
    pub fn claim(&self, from: Record, now_ms: u64, attempt: u64) -> Result<Swap, NotYet> {
        let bound_ms = now_ms.saturating_add(self.ahead_ms);
        // A third of the window at most: what is won must last until the next extension.
        let lead_ms_max = REFUSE_MS_MIN.min(self.ahead_ms / 3);
        let latest_ms = now_ms.saturating_add(lead_ms_max);
        if from.bound_ms >= latest_ms {
            return Err(NotYet { wait_ms: from.bound_ms - latest_ms + 1 });
        }
        let to = Record {
            term: from.term.saturating_add(1),
            holder: self.holder,
            host: self.host,
            bound_ms,
            written_ms: now_ms,
            attempt,
            ..from.clone()
        };
        Ok(Swap { from, to })
    }
}

impl Swap {
    /// More time for the holder of `from`.
    ///
    /// # Panics
    ///
    /// When the bound would not rise.
    pub fn extend(from: Record, bound_ms: u64, now_ms: u64, attempt: u64) -> Self {
        assert!(bound_ms > from.bound_ms, "a bound only rises");
        let to = Record { bound_ms, written_ms: now_ms, attempt, ..from.clone() };
        Self { from, to }
    }

    /// The unused rest of the last window, given back by its holder after all lanes are gone:
    /// `issued_ms` is the highest millisecond that any of them has entered, if one has.
    ///
    /// The only write that lowers a bound. It raises the term, so that `(term, bound)` of a record
    /// only ever rises: a record that is lower than one seen before comes from a backup.
    ///
    /// # Panics
    ///
    /// When a lane has been beyond the bound.
    pub fn release(
        from: Record,
        lo_ms: u64,
        issued_ms: Option<u64>,
        now_ms: u64,
        attempt: u64,
    ) -> Self {
        let bound_ms = issued_ms.unwrap_or(lo_ms).max(lo_ms);
        assert!(bound_ms <= from.bound_ms, "time beyond the bound was used");
        let term = from.term.saturating_add(1);
        let to = Record { term, bound_ms, written_ms: now_ms, attempt, ..from.clone() };
        Self { from, to }
    }

    /// The window that a claim wins. To be called once, when the store has said that it did.
    pub fn won(&self) -> Window {
        assert!(self.to.term > self.from.term, "a window is won by a claim");
        Window::won(self.from.bound_ms, self.to.bound_ms)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn free(bound_ms: u64) -> Record {
        Record {
            slot: 1,
            fingerprint: 2,
            term: 1,
            created_ms: 1,
            bound_ms,
            written_ms: bound_ms,
            holder: 3,
            attempt: 4,
            host: Host::new("before"),
        }
    }

    fn claimant(ahead_ms: u64) -> Claimant {
        Claimant { holder: 9, host: Host::new("here"), ahead_ms }
    }

    #[test]
    fn the_bound_follows_the_clock_and_never_the_bound() {
        let swap = claimant(3_000).claim(free(10_000), 20_000, 5).unwrap();
        assert_eq!((swap.to.bound_ms, swap.to.term, swap.to.holder), (23_000, 2, 9));
        let mut record = free(20_000);
        for crash in 0..100 {
            let now_ms = record.bound_ms - 999;
            let swap = claimant(3_000).claim(record, now_ms, crash).unwrap();
            assert!(swap.to.bound_ms <= now_ms + 3_000);
            record = swap.to;
        }
    }

    #[test]
    fn a_bound_a_second_ahead_is_waited_for() {
        assert_eq!(claimant(3_000).claim(free(13_000), 10_000, 5), Err(NotYet { wait_ms: 2_001 }));
        assert!(claimant(3_000).claim(free(10_999), 10_000, 5).is_ok());
        // A short window is claimed when two thirds of it are won.
        assert_eq!(claimant(300).claim(free(10_100), 10_000, 5), Err(NotYet { wait_ms: 1 }));
        assert!(claimant(300).claim(free(10_099), 10_000, 5).is_ok());
    }

    #[test]
    fn a_release_gives_back_what_no_lane_has_entered() {
        let held = free(13_000);
        let release = |issued| Swap::release(held.clone(), 9_000, issued, 10_001, 5).to;
        let released = |issued| release(issued).bound_ms;
        assert_eq!(release(None).term, held.term + 1);
        assert_eq!(released(Some(10_001)), 10_001);
        assert_eq!(released(None), 9_000);
        assert_eq!(released(Some(8_000)), 9_000);
    }

    #[test]
    #[should_panic(expected = "beyond the bound")]
    fn a_release_below_what_was_used_is_impossible() {
        let _ = Swap::release(free(13_000), 9_000, Some(13_001), 10_001, 5);
    }
}
