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

    /// The ticks that all of these windows have: what a node with several slots can use, one window
    /// a slot. `None` when there is no such tick, or no window.
    pub fn common(windows: Vec<Self>) -> Option<Self> {
        let lo = windows.iter().map(|window| window.lo).max()?;
        let hi = windows.iter().map(|window| window.hi).min()?;
        (lo < hi).then_some(Self { lo, hi })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn window(lo: u64, hi: u64) -> Window {
        Window::won(Tick::new(lo), Tick::new(hi))
    }

    #[test]
    fn what_all_windows_have_in_common() {
        let common = |windows| Window::common(windows);
        assert_eq!(common(vec![window(3, 9), window(5, 11), window(1, 8)]), Some(window(5, 8)));
        assert_eq!(common(vec![window(3, 9)]), Some(window(3, 9)));
        assert_eq!(common(vec![window(1, 4), window(4, 8)]), None);
        assert_eq!(common(vec![]), None);
    }
}
