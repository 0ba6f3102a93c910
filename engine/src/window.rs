//! The ticks that were won and may be used.

use coreflake_protocol::Tick;

/// The ticks `(lo, hi]` of one slot, won by one successful compare-and-swap that moved the bound of
/// the slot's record from `lo` to `hi`. Deliberately neither `Clone` nor `Copy`: who holds the
/// value owns the ticks, and [`Gate::open`](crate::Gate::open) consumes it.
#[derive(Debug, PartialEq, Eq)]
pub struct Window {
    lo: Tick,
    hi: Tick,
}

impl Window {
    /// The window of a bound that was moved from `lo` to `hi`. Only a window store may say so, and
    /// only after the move is durable.
    ///
    /// # Panics
    ///
    /// When the bound did not rise: such a window would hold no tick, or ticks of somebody else.
    pub fn won(lo: Tick, hi: Tick) -> Self {
        assert!(lo < hi, "a bound only rises: {lo} to {hi}");
        Self { lo, hi }
    }

    /// The last tick that was *not* won.
    pub const fn lo(&self) -> Tick {
        self.lo
    }

    /// The last tick that was won.
    pub const fn hi(&self) -> Tick {
        self.hi
    }
}
