//! Deadlines that cost the request path nothing.

use core::cell::Cell;
use core::pin::Pin;
use core::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, Sleep, sleep_until};

use crate::limits::DEADLINE_RESOLUTION;

/// A clock that is looked at from time to time, by one task per shard, and read for free by all
/// others.
#[derive(Debug)]
pub(crate) struct CoarseClock {
    start: Instant,
    now: Cell<Instant>,
}

/// A moment that usually moves on before it comes. The timer behind it is left where it is as long
/// as the deadline only moves away, and set anew when it fires too early.
#[derive(Debug)]
pub(crate) struct Deadline {
    at: Instant,
    timer: Pin<Box<Sleep>>,
}

impl CoarseClock {
    pub(crate) fn new() -> Self {
        let start = Instant::now();
        Self { start, now: Cell::new(start) }
    }

    /// The time, at most [`DEADLINE_RESOLUTION`] ago.
    pub(crate) fn now(&self) -> Instant {
        self.now.get()
    }

    /// How long this clock has been running.
    pub(crate) fn elapsed(&self) -> Duration {
        self.now.get() - self.start
    }

    /// Keeps the time, for ever.
    pub(crate) async fn run(&self) {
        let mut interval = tokio::time::interval(DEADLINE_RESOLUTION);
        // After a pause of the process one look is enough.
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            self.now.set(Instant::now());
        }
    }
}

impl Deadline {
    pub(crate) fn new(at: Instant) -> Self {
        Self { at, timer: Box::pin(sleep_until(at)) }
    }

    /// The moment.
    pub(crate) const fn at(&self) -> Instant {
        self.at
    }

    /// Moves the deadline.
    pub(crate) fn set(&mut self, at: Instant) {
        self.at = at;
        if at < self.timer.deadline() {
            self.timer.as_mut().reset(at);
        }
    }

    /// Waits for the deadline.
    pub(crate) async fn passed(&mut self) {
        loop {
            self.timer.as_mut().await;
            if self.timer.deadline() >= self.at {
                return;
            }
            self.timer.as_mut().reset(self.at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_deadline_that_moves_away_passes_late_and_one_that_comes_nearer_early() {
        let start = Instant::now();
        let mut deadline = Deadline::new(start + Duration::from_secs(10));
        deadline.set(start + Duration::from_secs(20));
        deadline.passed().await;
        assert!(start.elapsed() >= Duration::from_secs(20));
        deadline.set(start + Duration::from_secs(600));
        deadline.set(start + Duration::from_secs(25));
        deadline.passed().await;
        assert!(start.elapsed() < Duration::from_secs(26));
    }
}
