//! The clocks. The only place that reads them for their meaning.

use core::time::Duration;
use std::time::{SystemTime, UNIX_EPOCH};

use coreflake_engine::trusted::Look;
use rustix::time::{ClockId, clock_gettime};

/// How often a look is repeated when something came between the two clocks.
const LOOKS_MAX: u32 = 4;

/// Between two readings of the boot clock around one of the wall clock, at most, in microseconds.
const LOOK_US_MAX: i64 = 200;

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

    /// This time, `ms` milliseconds earlier.
    #[must_use]
    pub(crate) fn minus_ms(self, ms: u64) -> Self {
        let earlier = self.since_unix_epoch.saturating_sub(Duration::from_millis(ms));
        Self { since_unix_epoch: earlier }
    }

    /// Milliseconds since the Unix epoch.
    pub(crate) fn unix_ms(self) -> u64 {
        u64::try_from(self.since_unix_epoch.as_millis()).unwrap_or(u64::MAX)
    }

    /// How long ago `earlier` was; zero when it is later.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        self.since_unix_epoch.saturating_sub(earlier.since_unix_epoch)
    }

    /// How long until the wall clock shows `unix_ms`; zero when it did already.
    pub(crate) fn until(self, unix_ms: u64) -> Duration {
        Duration::from_millis(unix_ms).saturating_sub(self.since_unix_epoch)
    }

    fn unix_us(self) -> i64 {
        i64::try_from(self.since_unix_epoch.as_micros()).unwrap_or(i64::MAX)
    }
}

/// Looks at the wall clock and at CLOCK_BOOTTIME, which nobody sets and which goes on during
/// suspend, as close together as can be.
pub(crate) fn look() -> Look {
    let mut best: Option<(i64, Look)> = None;
    for _ in 0..LOOKS_MAX {
        let before_us = boot_us();
        let wall_us = WallTime::now().unix_us();
        let apart_us = boot_us() - before_us;
        let look = Look { wall_us, boot_us: before_us + apart_us / 2 };
        if best.is_none_or(|(best_us, _)| apart_us < best_us) {
            best = Some((apart_us, look));
        }
        if apart_us <= LOOK_US_MAX {
            break;
        }
    }
    best.map_or(Look { wall_us: 0, boot_us: 0 }, |(_, look)| look)
}

fn boot_us() -> i64 {
    let time = clock_gettime(ClockId::Boottime);
    time.tv_sec.saturating_mul(1_000_000).saturating_add(time.tv_nsec / 1_000)
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
        assert_eq!(now.minus_ms(24).unix_ms(), 1_700_000_000_099);
    }

    #[test]
    fn both_clocks_go_on() {
        let (first, second) = (look(), look());
        assert!(first.boot_us > 0 && second.boot_us >= first.boot_us);
    }
}
