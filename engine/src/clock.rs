//! What to do when the wall clock stands behind the last millisecond entered.
//!
//! A restart is the same case: the first millisecond of a new window lies above everything the slot
//! issued before, and the clock may not have reached it yet.

use crate::outcome::Refusal;

/// A clock this far back, in milliseconds, is waited for; from here on the lane holds instead.
pub const HOLD_MS_MIN: u64 = 5;

/// A clock this far back, in milliseconds, makes the lane refuse.
pub const REFUSE_MS_MIN: u64 = 1_000;

/// What the distance between clock and last millisecond asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The clock is past the last millisecond: go on at the clock's.
    Advance,
    /// The clock is at the last millisecond: use what is left of its tick, then wait for the next.
    Stay,
    /// The clock is less than [`HOLD_MS_MIN`] back: wait until it is there again.
    WaitOut,
    /// The clock is less than [`REFUSE_MS_MIN`] back: stay where the lane is, and when the tick is
    /// used up count on, at the pace of the clock and no further ahead of it than at first.
    Hold,
}

/// Compares the clock with the last millisecond entered, both since the Unix epoch.
///
/// # Errors
///
/// [`Refusal::ClockRegression`] when the clock is [`REFUSE_MS_MIN`] or more back.
pub const fn judge(now_ms: u64, last_ms: u64) -> Result<Verdict, Refusal> {
    if now_ms > last_ms {
        return Ok(Verdict::Advance);
    }
    match last_ms - now_ms {
        0 => Ok(Verdict::Stay),
        behind_ms if behind_ms < HOLD_MS_MIN => Ok(Verdict::WaitOut),
        behind_ms if behind_ms < REFUSE_MS_MIN => Ok(Verdict::Hold),
        behind_ms => {
            let retry_after_ms = behind_ms - REFUSE_MS_MIN + 1;
            Err(Refusal::ClockRegression { behind_ms, retry_after_ms })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thresholds_are_those_of_the_mission() {
        let last = 10_000;
        let at = |behind| judge(last - behind, last);
        assert_eq!(judge(last + 1, last), Ok(Verdict::Advance));
        assert_eq!(at(0), Ok(Verdict::Stay));
        assert_eq!((at(1), at(4)), (Ok(Verdict::WaitOut), Ok(Verdict::WaitOut)));
        assert_eq!((at(5), at(999)), (Ok(Verdict::Hold), Ok(Verdict::Hold)));
        let refused =
            |behind_ms, retry_after_ms| Err(Refusal::ClockRegression { behind_ms, retry_after_ms });
        assert_eq!((at(1_000), at(10_000)), (refused(1_000, 1), refused(10_000, 9_001)));
    }
}
