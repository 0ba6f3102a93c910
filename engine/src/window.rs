//! The time that was won and may be used.

/// The milliseconds `(lo, hi]` of one slot, since the Unix epoch, won by one successful
/// compare-and-swap that moved the bound of the slot's record from `lo` to `hi`. A tick, of
/// whatever kind and length, belongs to the window that has its first millisecond. Deliberately
/// neither `Clone` nor `Copy`: who holds the value owns the time, and
/// [`Gate::open`](crate::Gate::open) consumes it.
#[derive(Debug, PartialEq, Eq)]
pub struct Window {
    lo_ms: u64,
    hi_ms: u64,
}

impl Window {
    /// The window of a bound that was moved from `lo` to `hi`. Only a window store may say so, and
    /// only after the move is durable.
    ///
    /// # Panics
    ///
    /// When the bound did not rise: such a window would hold nothing, or something of somebody
    /// else.
    pub fn won(lo_ms: u64, hi_ms: u64) -> Self {
        assert!(lo_ms < hi_ms, "a bound only rises: {lo_ms} to {hi_ms}");
        Self { lo_ms, hi_ms }
    }

    /// The time that all of these windows have: what a node with several slots can use, one window
    /// a slot. `None` when there is none, or no window.
    pub fn common(windows: Vec<Self>) -> Option<Self> {
        let lo_ms = windows.iter().map(|window| window.lo_ms).max()?;
        let hi_ms = windows.iter().map(|window| window.hi_ms).min()?;
        (lo_ms < hi_ms).then_some(Self { lo_ms, hi_ms })
    }

    /// The last millisecond that was *not* won.
    pub const fn lo_ms(&self) -> u64 {
        self.lo_ms
    }

    /// The last millisecond that was won.
    pub const fn hi_ms(&self) -> u64 {
        self.hi_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(lo: u64, hi: u64) -> Window {
        Window::won(lo, hi)
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
