//! What the control plane tells the lanes: one word, read once per batch.

use crossbeam_utils::CachePadded;

use crate::outcome::Refusal;
use crate::sync::{AtomicU64, Ordering};
use crate::window::Window;

/// The upper end of the reserved time, and whether they may be used. The control plane writes, all
/// lanes read.
///
/// The word holds `hi_ms` in its lower bits and flags above; what belongs to a flag stands beside
/// it and is read only when the flag is set.
#[derive(Debug)]
pub struct Gate {
    inner: CachePadded<Inner>,
}

#[derive(Debug)]
struct Inner {
    word: AtomicU64,
    ahead_ms: AtomicU64,
}

/// One look at the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GateView {
    /// The last millisecond that may be used, since the Unix epoch.
    pub hi_ms: u64,
    /// How far the wall clock is ahead of the time that is trusted, in milliseconds.
    pub ahead_ms: u64,
    /// Why nothing may be issued, whatever the lanes say.
    pub refusal: Option<Refusal>,
}

const HI_MASK: u64 = (1 << 56) - 1;
const STARTING: u64 = 1 << 63;
const DRIFTED: u64 = 1 << 62;
const AHEAD: u64 = 1 << 61;

impl Gate {
    /// A gate in front of the window that begins behind `lo_ms`, closed until the window is won.
    pub(crate) fn new(lo_ms: u64) -> Self {
        assert!(lo_ms <= HI_MASK, "a time of this age");
        let word = AtomicU64::new(lo_ms | STARTING);
        Self { inner: CachePadded::new(Inner { word, ahead_ms: AtomicU64::new(0) }) }
    }

    /// What may be used. A value that is out of date is a lower one: it can only make a lane refuse
    /// too early.
    pub fn view(&self) -> GateView {
        let word = self.inner.word.load(Ordering::Acquire);
        let hi_ms = word & HI_MASK;
        if word == hi_ms {
            return GateView { hi_ms, ahead_ms: 0, refusal: None };
        }
        let refusal = if word & STARTING != 0 {
            Some(Refusal::Starting)
        } else {
            (word & DRIFTED != 0).then_some(Refusal::ClockDrift)
        };
        let ahead = word & AHEAD != 0;
        let ahead_ms = if ahead { self.inner.ahead_ms.load(Ordering::Acquire) } else { 0 };
        GateView { hi_ms, ahead_ms, refusal }
    }

    /// Opens the gate to the window that was won. It must be the one the lanes stand in front of.
    ///
    /// # Panics
    ///
    /// When the window begins elsewhere, or the gate was opened before.
    pub fn open(&self, window: Window) {
        let view = self.view();
        assert!(view.refusal == Some(Refusal::Starting), "a gate opens once");
        assert!(view.hi_ms == window.lo_ms(), "the window of these lanes");
        self.raise(window.hi_ms());
        self.set(STARTING, false);
    }

    /// Makes the time up to `hi_ms` usable. To be called after the store has acknowledged them.
    ///
    /// # Panics
    ///
    /// When `hi_ms` is below what was published before.
    pub fn raise(&self, hi_ms: u64) {
        assert!(hi_ms <= HI_MASK, "a time of this age");
        let result = self.inner.word.fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| {
            let before_ms = word & HI_MASK;
            assert!(before_ms <= hi_ms, "the gate only rises: {before_ms} to {hi_ms}");
            Some(word & !HI_MASK | hi_ms)
        });
        debug_assert!(result.is_ok());
    }

    /// Refuses, or does not, because the clock is wrong by more than is allowed.
    pub fn refuse_drift(&self, refuse: bool) {
        self.set(DRIFTED, refuse);
    }

    /// Tells how far the wall clock is ahead of the time that is trusted, in milliseconds.
    pub fn correct(&self, ahead_ms: u64) {
        self.inner.ahead_ms.store(ahead_ms, Ordering::Release);
        self.set(AHEAD, ahead_ms > 0);
    }

    fn set(&self, flag: u64, on: bool) {
        if on {
            self.inner.word.fetch_or(flag, Ordering::AcqRel);
        } else {
            self.inner.word.fetch_and(!flag, Ordering::AcqRel);
        }
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    fn open() -> Gate {
        let gate = Gate::new(5);
        assert_eq!(gate.view().refusal, Some(Refusal::Starting));
        gate.open(Window::won(5, 9));
        gate
    }

    #[test]
    fn flags_and_bound_do_not_disturb_each_other() {
        let gate = open();
        let plain = |hi| GateView { hi_ms: hi, ahead_ms: 0, refusal: None };
        assert_eq!(gate.view(), plain(9));
        gate.refuse_drift(true);
        gate.correct(77);
        gate.raise(12);
        let refusal = Some(Refusal::ClockDrift);
        assert_eq!(gate.view(), GateView { hi_ms: 12, ahead_ms: 77, refusal });
        gate.correct(0);
        gate.refuse_drift(false);
        assert_eq!(gate.view(), plain(12));
    }

    #[test]
    #[should_panic(expected = "the window of these lanes")]
    fn another_window_does_not_open_it() {
        Gate::new(5).open(Window::won(6, 9));
    }

    #[test]
    #[should_panic(expected = "the gate only rises")]
    fn it_never_falls() {
        open().raise(8);
    }
}
