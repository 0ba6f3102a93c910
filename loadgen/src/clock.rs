//! The time of a run: nanoseconds since its start. The only place where the load generator reads a
//! clock while it measures.

use std::time::{Duration, Instant};

/// The start of the run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    /// The run starts `delay` from now.
    pub(crate) fn starting_in(delay: Duration) -> Self {
        Self { start: Instant::now() + delay }
    }

    /// Time since the start; 0 before it.
    pub(crate) fn now_ns(&self) -> u64 {
        nanoseconds(self.start.elapsed())
    }

    /// Time until the start, or `None` from then on.
    pub(crate) fn until_start(&self) -> Option<Duration> {
        self.start.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
    }
}

/// A duration as 64 bits of nanoseconds, which hold 584 years.
pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
