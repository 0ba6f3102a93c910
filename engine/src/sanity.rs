//! Whether a clock can be right when a server starts, judged by what is known without asking
//! anybody.

use core::fmt;

/// The day this release was made, 2026-11-24T00:00:00Z, in milliseconds since the Unix epoch: no
/// clock can be before it.
pub const RELEASED_MS: u64 = 1_795_478_400_000;

/// How far behind the release a clock can be right, in milliseconds: 20 years.
pub const RELEASE_AGE_MS_MAX: u64 = 20 * 365 * DAY_MS;

/// How long a slot can rest, in milliseconds, before its next start asks whether the clock is
/// right.
pub const REST_MS_MAX: u64 = 30 * DAY_MS;

const DAY_MS: u64 = 24 * 3_600 * 1_000;

/// Why a clock cannot be right. All numbers are milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImplausibleClock {
    /// It is before this release was made.
    BeforeRelease {
        /// What the clock says.
        now_ms: u64,
    },
    /// It is decades after this release was made.
    LongAfterRelease {
        /// What the clock says.
        now_ms: u64,
    },
    /// It is before the slot was made.
    BeforeSlot {
        /// What the clock says.
        now_ms: u64,
        /// When the slot was made.
        created_ms: u64,
    },
    /// It is before most of the nodes that hold a slot have last written.
    BehindPeers {
        /// What the clock says.
        now_ms: u64,
        /// When they have, by their clocks.
        written_ms: u64,
    },
    /// It is after the windows of most of the nodes that hold a slot.
    AheadOfPeers {
        /// What the clock says.
        now_ms: u64,
        /// Where their windows end, by their clocks.
        bound_ms: u64,
    },
    /// It is long after the slot was last used. May be accepted.
    LongAfterUse {
        /// What the clock says.
        now_ms: u64,
        /// When the slot was last used.
        written_ms: u64,
    },
}

/// Judges `now_ms` by this release alone. To be asked before a record is made: one made by a wrong
/// clock would be in the way when the clock is right.
///
/// # Errors
///
/// Why the clock cannot be right.
pub const fn check_release(now_ms: u64) -> Result<(), ImplausibleClock> {
    if now_ms < RELEASED_MS {
        return Err(ImplausibleClock::BeforeRelease { now_ms });
    }
    if now_ms > RELEASED_MS + RELEASE_AGE_MS_MAX {
        return Err(ImplausibleClock::LongAfterRelease { now_ms });
    }
    Ok(())
}

/// Judges `now_ms` by the last writes of others: when each was made, and up to where it reserved,
/// both by the clock of its writer. Nothing can be said with fewer than three of them.
///
/// Each writer reserves `bound - written` ahead and writes again when a third of it is used, so the
/// clock of most stands between the two. Twitter's Snowflake asks its peers the time at its start
/// and allows the same ten seconds.
///
/// # Errors
///
/// Why the clock cannot be right.
pub fn check_peers(now_ms: u64, writes: &[(u64, u64)]) -> Result<(), ImplausibleClock> {
    const PEERS_MIN: usize = 3;
    const APART_MS_MAX: u64 = 10_000;
    if writes.len() < PEERS_MIN {
        return Ok(());
    }
    let middle = |mut values: Vec<u64>| {
        values.sort_unstable();
        values[values.len() / 2]
    };
    let written_ms = middle(writes.iter().map(|(written_ms, _)| *written_ms).collect());
    let bound_ms = middle(writes.iter().map(|(_, bound_ms)| *bound_ms).collect());
    if now_ms.saturating_add(APART_MS_MAX) < written_ms {
        return Err(ImplausibleClock::BehindPeers { now_ms, written_ms });
    }
    if now_ms > bound_ms.saturating_add(APART_MS_MAX) {
        return Err(ImplausibleClock::AheadOfPeers { now_ms, bound_ms });
    }
    Ok(())
}

/// Judges `now_ms` for a slot that was made at `created_ms` and last used at `written_ms`.
///
/// # Errors
///
/// Why the clock cannot be right.
pub const fn check_slot(
    now_ms: u64,
    created_ms: u64,
    written_ms: u64,
) -> Result<(), ImplausibleClock> {
    // A second for two clocks that are set one after the other.
    if now_ms.saturating_add(1_000) < created_ms {
        return Err(ImplausibleClock::BeforeSlot { now_ms, created_ms });
    }
    if now_ms > written_ms.saturating_add(REST_MS_MAX) {
        return Err(ImplausibleClock::LongAfterUse { now_ms, written_ms });
    }
    Ok(())
}

impl fmt::Display for ImplausibleClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BeforeRelease { now_ms } => {
                write!(f, "the clock says {now_ms} ms, before this release was made: set the clock")
            }
            Self::LongAfterRelease { now_ms } => write!(
                f,
                "the clock says {now_ms} ms, 20 years after this release was made: set the clock"
            ),
            Self::BeforeSlot { now_ms, created_ms } => write!(
                f,
                "the clock says {now_ms} ms, but the slot was made at {created_ms} ms: set the clock"
            ),
            Self::BehindPeers { now_ms, written_ms } => write!(
                f,
                "the clock says {now_ms} ms, but most nodes have written since, at {written_ms} ms \
                 by their clocks: set the clock"
            ),
            Self::AheadOfPeers { now_ms, bound_ms } => write!(
                f,
                "the clock says {now_ms} ms, but the windows of most nodes end at {bound_ms} ms: \
                 set the clock"
            ),
            Self::LongAfterUse { now_ms, written_ms } => write!(
                f,
                "the clock says {now_ms} ms, more than 30 days after the slot was last used at \
                 {written_ms} ms: if the clock is right, start with --accept-clock"
            ),
        }
    }
}

impl core::error::Error for ImplausibleClock {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_stands_between_the_writes_and_the_bounds_of_most() {
        let peers = [(1_000_000, 1_060_000), (1_015_000, 1_075_000), (9, 10)];
        let check = |now_ms| check_peers(now_ms, &peers);
        assert_eq!(check(1_000_000), Ok(()));
        assert_eq!(check(990_000), Ok(()));
        assert_eq!(check(1_070_000), Ok(()));
        assert!(matches!(check(989_999), Err(ImplausibleClock::BehindPeers { .. })));
        assert!(matches!(check(1_070_001), Err(ImplausibleClock::AheadOfPeers { .. })));
        assert_eq!(check_peers(0, &peers[..2]), Ok(()), "two say nothing");
    }

    #[test]
    fn a_clock_is_plausible_around_the_use_of_the_slot() {
        let used_ms = RELEASED_MS + 100 * DAY_MS;
        let check = |now_ms| {
            check_release(now_ms).and_then(|()| check_slot(now_ms, used_ms - DAY_MS, used_ms))
        };
        assert_eq!(check(used_ms), Ok(()));
        assert_eq!(check(used_ms - DAY_MS - 1_000), Ok(()));
        assert_eq!(check(used_ms + 30 * DAY_MS), Ok(()));
        for (now_ms, word) in [
            (0, "before this release"),
            (RELEASED_MS + 21 * 365 * DAY_MS, "20 years after"),
            (used_ms - 2 * DAY_MS, "the slot was made"),
            (used_ms + 31 * DAY_MS, "--accept-clock"),
        ] {
            let message = check(now_ms).unwrap_err().to_string();
            assert!(message.contains(word), "{message}");
        }
    }
}
