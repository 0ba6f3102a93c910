//! IDs per second, as they were a moment ago.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Over how long the rate is taken, at least.
const SPAN_MIN: Duration = Duration::from_secs(1);

/// The rate between the last two samples that lie far enough apart.
#[derive(Debug, Default)]
pub(super) struct Rate {
    last: Mutex<Option<(Instant, u64)>>,
    per_second_bits: AtomicU64,
}

impl Rate {
    /// Notes that `ids` have been issued by `now`.
    #[allow(clippy::cast_precision_loss)] // A rate, for people.
    pub(super) fn sample(&self, ids: u64, now: Instant) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match *last {
            None => *last = Some((now, ids)),
            Some((then, before)) => {
                let span = now.saturating_duration_since(then);
                if span >= SPAN_MIN {
                    let per_second = ids.saturating_sub(before) as f64 / span.as_secs_f64();
                    self.per_second_bits.store(per_second.to_bits(), Ordering::Relaxed);
                    *last = Some((now, ids));
                }
            }
        }
    }

    pub(super) fn per_second(&self) -> f64 {
        f64::from_bits(self.per_second_bits.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_last_second() {
        let (rate, start) = (Rate::default(), Instant::now());
        let after = |ms| start + Duration::from_millis(ms);
        rate.sample(1_000, start);
        rate.sample(2_000, after(500));
        assert_eq!(rate.per_second(), 0.0, "nothing is known yet");
        rate.sample(3_000, after(1_000));
        assert_eq!(rate.per_second(), 2_000.0);
        rate.sample(3_000, after(1_100));
        assert_eq!(rate.per_second(), 2_000.0);
        rate.sample(3_000, after(3_000));
        assert_eq!(rate.per_second(), 0.0);
    }
}
