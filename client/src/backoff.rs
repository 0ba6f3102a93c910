//! How long to wait after a failure: exponentially longer, and never in step with others.

use std::time::Duration;

/// The limit of the first delay. A loss that was nobody's fault is over before a caller notices.
pub(crate) const DELAY_MIN: Duration = Duration::from_millis(10);

/// The limit of every later delay: a server that comes back is found within a second.
pub(crate) const DELAY_MAX: Duration = Duration::from_secs(1);

/// Delays with full jitter: each is drawn from the whole range between nothing and a limit that
/// doubles with every failure. A thousand clients of one restarted server come back spread out, not
/// in waves.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The delay after one more failure.
    pub(crate) fn delay(&mut self, rng: &mut fastrand::Rng) -> Duration {
        let limit_us = u64::try_from(self.limit().as_micros()).unwrap_or(u64::MAX);
        self.failures = self.failures.saturating_add(1);
        Duration::from_micros(rng.u64(0..=limit_us))
    }

    /// Forgets the failures: the other side has answered.
    pub(crate) const fn reset(&mut self) {
        self.failures = 0;
    }

    fn limit(&self) -> Duration {
        let factor = 1u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        DELAY_MIN.saturating_mul(factor).min(DELAY_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_double_up_to_the_ceiling_and_stay_there() {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut backoff = Backoff::default();
        let mut limits_ms = Vec::new();
        for _ in 0..100 {
            let limit = backoff.limit();
            limits_ms.push(limit.as_millis());
            assert!(backoff.delay(&mut rng) <= limit);
        }
        assert_eq!(limits_ms[..8], [10, 20, 40, 80, 160, 320, 640, 1000]);
        assert!(limits_ms[8..].iter().all(|limit_ms| *limit_ms == 1000));
    }

    #[test]
    fn delays_fill_the_range_below_their_limit() {
        let mut rng = fastrand::Rng::with_seed(7);
        let delays: Vec<_> = (0..1000).map(|_| Backoff::default().delay(&mut rng)).collect();
        assert!(delays.iter().all(|delay| *delay <= DELAY_MIN));
        assert!(delays.iter().any(|delay| *delay < DELAY_MIN / 10));
        assert!(delays.iter().any(|delay| *delay > DELAY_MIN / 10 * 9));
    }

    #[test]
    fn reset_starts_over() {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut backoff = Backoff::default();
        for _ in 0..50 {
            backoff.delay(&mut rng);
        }
        backoff.reset();
        assert_eq!(backoff.limit(), DELAY_MIN);
    }
}
