//! The wall clock. The only place that reads it.

use core::time::Duration;
use std::time::{SystemTime, UNIX_EPOCH};

/// One look at the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct WallTime {
    since_unix_epoch: Duration,
}

impl WallTime {
    /// Reads CLOCK_REALTIME.
    #[allow(clippy::disallowed_methods)] // This is the clock module.
    pub(crate) fn now() -> Self {
        // A clock before 1970 is as good as one at 1970: both are before every epoch.
        let since_unix_epoch =
            SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Self { since_unix_epoch }
    }

    /// Milliseconds since the Unix epoch.
    pub(crate) fn unix_ms(self) -> u64 {
        u64::try_from(self.since_unix_epoch.as_millis()).unwrap_or(u64::MAX)
    }

    /// How long until the wall clock shows `unix_ms`; zero when it did already.
    pub(crate) fn until(self, unix_ms: u64) -> Duration {
        Duration::from_millis(unix_ms).saturating_sub(self.since_unix_epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_of_a_millisecond_is_exact() {
        let now = WallTime { since_unix_epoch: Duration::new(1_700_000_000, 123_456_789) };
        assert_eq!(now.unix_ms(), 1_700_000_000_123);
        assert_eq!(now.until(1_700_000_000_124), Duration::from_nanos(543_211));
        assert_eq!(now.until(1_700_000_000_123), Duration::ZERO);
    }
}
