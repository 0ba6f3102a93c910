//! How an ID counts time.

use core::fmt;

use crate::id::Tick;

/// A count of ticks since an epoch. Tick 0 begins at the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Scale {
    epoch_ms: u64,
    tick_ms: u8,
    tick_max: Tick,
}

/// A wall-clock time that a scale has no tick for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TickError {
    /// The time lies before the epoch.
    BeforeEpoch {
        /// The time, in milliseconds since the Unix epoch.
        unix_ms: u64,
        /// The epoch of the scale, in the same unit.
        epoch_ms: u64,
    },
    /// The time lies past the last tick.
    AfterEnd {
        /// The time, in milliseconds since the Unix epoch.
        unix_ms: u64,
        /// The last time that has a tick, in the same unit.
        end_ms: u64,
    },
}

impl Scale {
    /// Ticks 0 to `tick_max` of `tick_ms` milliseconds each, from `epoch_ms` (Unix time in
    /// milliseconds) on; `None` when a tick has no length, or the last one ends past what a 64-bit
    /// count of milliseconds holds.
    pub const fn new(epoch_ms: u64, tick_ms: u8, tick_max: Tick) -> Option<Self> {
        if tick_ms == 0 {
            return None;
        }
        let Some(ticks) = tick_max.get().checked_add(1) else { return None };
        let Some(length_ms) = ticks.checked_mul(tick_ms as u64) else { return None };
        if epoch_ms.checked_add(length_ms).is_none() {
            return None;
        }
        Some(Self { epoch_ms, tick_ms, tick_max })
    }

    /// When tick 0 begins, in milliseconds since the Unix epoch.
    pub const fn epoch_ms(&self) -> u64 {
        self.epoch_ms
    }

    /// The length of a tick in milliseconds, 1 or more.
    pub const fn tick_ms(&self) -> u8 {
        self.tick_ms
    }

    /// The last tick.
    pub const fn tick_max(&self) -> Tick {
        self.tick_max
    }

    /// The last millisecond that has a tick, since the Unix epoch.
    pub const fn end_ms(&self) -> u64 {
        self.unix_ms(self.tick_max) + (self.tick_ms as u64 - 1)
    }

    /// The tick that the wall-clock time `unix_ms` falls into.
    ///
    /// # Errors
    ///
    /// When the time lies before the epoch or past the last tick.
    pub const fn tick(&self, unix_ms: u64) -> Result<Tick, TickError> {
        let Some(since_ms) = unix_ms.checked_sub(self.epoch_ms) else {
            return Err(TickError::BeforeEpoch { unix_ms, epoch_ms: self.epoch_ms });
        };
        // The usual length spares the hot path a division.
        let tick = if self.tick_ms == 1 { since_ms } else { since_ms / self.tick_ms as u64 };
        if tick > self.tick_max.get() {
            return Err(TickError::AfterEnd { unix_ms, end_ms: self.end_ms() });
        }
        Ok(Tick::new(tick))
    }

    /// When `tick` begins, in milliseconds since the Unix epoch.
    pub const fn unix_ms(&self, tick: Tick) -> u64 {
        self.epoch_ms.saturating_add(tick.get().saturating_mul(self.tick_ms as u64))
    }
}

impl fmt::Display for TickError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BeforeEpoch { unix_ms, epoch_ms } => {
                write!(f, "{unix_ms} ms is before the epoch {epoch_ms} ms")
            }
            Self::AfterEnd { unix_ms, end_ms } => {
                write!(f, "{unix_ms} ms is past the end of the layout {end_ms} ms")
            }
        }
    }
}

impl core::error::Error for TickError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_of_ten_milliseconds_holds_ten_of_them() {
        let scale = Scale::new(1_000, 10, Tick::new(3)).unwrap();
        assert_eq!(scale.tick(999), Err(TickError::BeforeEpoch { unix_ms: 999, epoch_ms: 1_000 }));
        let ticks = [1_000, 1_009, 1_010, 1_039].map(|ms| scale.tick(ms).unwrap().get());
        assert_eq!(ticks, [0, 0, 1, 3]);
        assert_eq!(scale.end_ms(), 1_039);
        let error = scale.tick(1_040).unwrap_err();
        assert_eq!(error.to_string(), "1040 ms is past the end of the layout 1039 ms");
        assert_eq!(scale.unix_ms(Tick::new(2)), 1_020);
    }

    #[test]
    fn a_scale_that_no_clock_can_follow_is_none() {
        assert!(Scale::new(0, 0, Tick::new(1)).is_none());
        assert!(Scale::new(0, 10, Tick::new(u64::MAX / 10)).is_none());
        assert!(Scale::new(u64::MAX - 1, 1, Tick::new(1)).is_none());
        assert!(Scale::new(u64::MAX - 2, 1, Tick::new(1)).is_some());
    }
}
