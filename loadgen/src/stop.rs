//! When a run ends: as planned, or soon after Ctrl-C.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use signal_hook::consts::SIGINT;
use signal_hook::flag;

use crate::clock::nanoseconds;

/// No thread sleeps longer than this, so every one hears of Ctrl-C before the new end is reached.
pub(crate) const STOP_CHECK: Duration = Duration::from_millis(100);
/// What a shell reports for a process that SIGINT ended.
const EXIT_INTERRUPTED: i32 = 130;

/// Shared by all threads of a run.
#[derive(Clone, Debug)]
pub(crate) struct Stop {
    requested: Arc<AtomicBool>,
    end_ns: Arc<AtomicU64>,
}

impl Stop {
    /// The first SIGINT from now on ends the run, the second one the process.
    pub(crate) fn on_interrupt() -> io::Result<Self> {
        let stop = Self::never();
        // In this order: the first signal must find the flag down.
        let requested = || Arc::clone(&stop.requested);
        flag::register_conditional_shutdown(SIGINT, EXIT_INTERRUPTED, requested())?;
        flag::register(SIGINT, requested())?;
        Ok(stop)
    }

    fn never() -> Self {
        Self { requested: Arc::default(), end_ns: Arc::new(AtomicU64::new(u64::MAX)) }
    }

    pub(crate) fn is_requested(&self) -> bool {
        self.requested.load(Ordering::Relaxed)
    }

    /// When the run that should end at `planned_ns` ends, as far as is known at `now_ns`. The same
    /// for all threads, so that none has a longer plan than another.
    pub(crate) fn end_ns(&self, planned_ns: u64, now_ns: u64) -> u64 {
        if !self.is_requested() {
            return planned_ns;
        }
        let soon_ns = now_ns.saturating_add(nanoseconds(STOP_CHECK));
        let before_ns = self.end_ns.fetch_min(soon_ns, Ordering::Relaxed);
        planned_ns.min(before_ns).min(soon_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_thread_that_hears_of_it_sets_the_end_for_all() {
        let check_ns = nanoseconds(STOP_CHECK);
        let stop = Stop::never();
        assert_eq!(stop.end_ns(u64::MAX, 5), u64::MAX);
        stop.requested.store(true, Ordering::Relaxed);
        assert_eq!(stop.end_ns(1_000_000_000, 10), 10 + check_ns);
        assert_eq!(stop.clone().end_ns(1_000_000_000, 30), 10 + check_ns);
        assert_eq!(stop.end_ns(50, 30), 50);
    }
}
