//! What the user sees while the run lasts: a bar on a terminal, one line a second elsewhere.

use std::io::{IsTerminal, stderr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};
use indicatif::{ProgressBar, ProgressStyle};

use crate::clock::{Clock, nanoseconds};
use crate::stats::WholeRun;

const BAR_INTERVAL: Duration = Duration::from_millis(100);
const LINE_INTERVAL: Duration = Duration::from_secs(1);
const BAR_TEMPLATE: &str = "{elapsed:>4} {wide_bar} {msg}";

/// What one thread has done so far. On cache lines of its own: it is written at every wake.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Counters {
    requests: AtomicU64,
    ids: AtomicU64,
    errors: AtomicU64,
}

#[derive(Clone, Copy, Default)]
struct Sample {
    time_ns: u64,
    requests: u64,
    ids: u64,
    errors: u64,
}

impl Counters {
    /// Only the owning thread writes, so a store is enough.
    pub(crate) fn publish(&self, counts: &WholeRun) {
        self.requests.store(counts.requests, Ordering::Relaxed);
        self.ids.store(counts.ids, Ordering::Relaxed);
        self.errors.store(counts.errors, Ordering::Relaxed);
    }
}

/// Shows progress until every sender of `finished` is gone.
pub(crate) fn show(
    counters: &[Arc<Counters>],
    clock: &Clock,
    total: Duration,
    finished: &Receiver<()>,
) {
    let is_terminal = stderr().is_terminal();
    let interval = if is_terminal { BAR_INTERVAL } else { LINE_INTERVAL };
    let bar = if is_terminal { bar(total) } else { ProgressBar::hidden() };
    let mut before = Sample::default();
    while finished.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
        let now = Sample::take(counters, clock);
        if is_terminal {
            let [requests, ids] = now.rates_since(Sample::default());
            bar.set_position(now.time_ns / 1_000_000);
            bar.set_message(format!("{requests:.0} req/s  {ids:.0} id/s  {} errors", now.errors));
        } else {
            eprintln!("{}", now.line(before));
        }
        before = now;
    }
    bar.finish_and_clear();
}

impl Sample {
    fn take(counters: &[Arc<Counters>], clock: &Clock) -> Self {
        let sum = |field: fn(&Counters) -> &AtomicU64| {
            counters.iter().map(|counters| field(counters).load(Ordering::Relaxed)).sum()
        };
        Self {
            time_ns: clock.now_ns(),
            requests: sum(|counters| &counters.requests),
            ids: sum(|counters| &counters.ids),
            errors: sum(|counters| &counters.errors),
        }
    }

    /// Requests and IDs per second.
    fn rates_since(self, before: Self) -> [f64; 2] {
        let seconds = self.time_ns.saturating_sub(before.time_ns).max(1) as f64 / 1e9;
        [(self.requests, before.requests), (self.ids, before.ids)]
            .map(|(now, before)| now.saturating_sub(before) as f64 / seconds)
    }

    /// The rates are those of the last interval, so that a stall shows.
    fn line(self, before: Self) -> String {
        let seconds = self.time_ns as f64 / 1e9;
        let [requests, ids] = self.rates_since(before);
        let errors = self.errors;
        format!("{seconds:5.1} s  {requests:>8.0} req/s  {ids:>8.0} id/s  {errors} errors")
    }
}

fn bar(total: Duration) -> ProgressBar {
    let style = ProgressStyle::with_template(BAR_TEMPLATE);
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(nanoseconds(total) / 1_000_000).with_style(style)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_shows_the_rate_of_its_interval() {
        let before = Sample { time_ns: 2_000_000_000, requests: 1000, ids: 1000, errors: 0 };
        let now = Sample { time_ns: 3_000_000_000, requests: 3000, ids: 11_000, errors: 2 };
        assert_eq!(now.line(before), "  3.0 s      2000 req/s     10000 id/s  2 errors");
    }
}
