//! Which time may be reserved on.
//!
//! A clock that jumps far ahead and back again would leave the bound of a slot in the future for
//! ever. So the wall clock is compared with a clock that nobody sets (CLOCK_BOOTTIME, which goes on
//! during suspend). A jump ahead is *suspect* until it is confirmed; meanwhile time goes on as
//! before the jump. A clock that goes back is believed at once: the lanes hold or refuse by
//! themselves, and a bound that lies ahead is not extended.

/// A jump ahead by more than this, in milliseconds, is suspect.
pub const SUSPECT_MS_MIN: i64 = 500;

/// A change by less than this, in microseconds, between two looks is no step but a clock that is
/// slewed, or a look that was interrupted.
pub const STEP_US_MIN: i64 = 1_000;

/// How long a jump that nobody confirms or denies stays suspect, in milliseconds: a machine that
/// was paused wakes up with one, and has not always a time server.
pub const UNCONFIRMED_MS_MAX: u64 = 60_000;

/// A jump ahead of this many milliseconds, 30 days, is never believed unconfirmed.
pub const UNCONFIRMED_JUMP_MS_MAX: i64 = 30 * 24 * 3_600 * 1_000;

/// One look at both clocks, taken as close together as can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// The wall clock in microseconds since the Unix epoch.
    pub wall_us: i64,
    /// The clock that nobody sets, in microseconds since some start.
    pub boot_us: i64,
}

/// The wall clock as far as it is trusted.
#[derive(Clone, Debug)]
pub struct TrustedClock {
    /// Wall clock less boot clock, as last accepted.
    accepted_us: i64,
    /// The highest of what was ever accepted: what is not above it is no jump into the unknown, but
    /// a clock that went back and returns.
    highest_us: i64,
    /// Wall clock less boot clock, as last seen.
    seen_us: i64,
    suspect_since_us: Option<i64>,
    /// Somebody has said that the jump is wrong: then only somebody who says that it is right
    /// counts.
    denied: bool,
    steps: u64,
}

/// What a look has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing worth a word.
    None,
    /// The clock was set, by so many microseconds, and is believed.
    Step {
        /// By how much; negative is back.
        by_us: i64,
    },
    /// The clock has jumped ahead and is not believed.
    Suspect {
        /// By how much in microseconds.
        by_us: i64,
    },
    /// A suspect jump is believed after all.
    Accepted {
        /// By how much in microseconds the trusted time moves.
        by_us: i64,
    },
    /// A suspect jump was taken back.
    Recovered,
}

impl TrustedClock {
    /// Trusts the wall clock as it is.
    pub const fn new(look: Look) -> Self {
        let offset_us = look.wall_us - look.boot_us;
        Self {
            accepted_us: offset_us,
            highest_us: offset_us,
            seen_us: offset_us,
            suspect_since_us: None,
            denied: false,
            steps: 0,
        }
    }

    /// Trusts the wall clock as it is: as long as nothing is reserved there is no other time to
    /// hold on to. Steps are seen and counted by [`TrustedClock::look`] all the same.
    pub fn anchor(&mut self, look: Look) {
        self.accepted_us = look.wall_us - look.boot_us;
        self.highest_us = self.accepted_us;
        self.suspect_since_us = None;
        self.denied = false;
    }

    /// Takes a look. `confirmed` is what other sources of time say of the wall clock, if they say
    /// anything.
    pub fn look(&mut self, look: Look, confirmed: Option<bool>) -> Change {
        let offset_us = look.wall_us - look.boot_us;
        let by_us = offset_us - self.seen_us;
        self.seen_us = offset_us;
        let stepped = by_us.abs() >= STEP_US_MIN;
        self.steps += u64::from(stepped);

        if offset_us <= self.highest_us + SUSPECT_MS_MIN * 1_000 {
            self.accept(offset_us);
            return match self.suspect_since_us.take() {
                Some(_) => Change::Recovered,
                None if stepped => Change::Step { by_us },
                None => Change::None,
            };
        }
        let jump_us = offset_us - self.accepted_us;
        let Some(since_us) = self.suspect_since_us else {
            self.suspect_since_us = Some(look.boot_us);
            return Change::Suspect { by_us: jump_us };
        };
        self.denied |= confirmed == Some(false);
        let old = look.boot_us.saturating_sub(since_us) >= UNCONFIRMED_MS_MAX as i64 * 1_000;
        let small = jump_us <= UNCONFIRMED_JUMP_MS_MAX * 1_000;
        if confirmed == Some(true) || (!self.denied && old && small) {
            self.accept(offset_us);
            self.suspect_since_us = None;
            return Change::Accepted { by_us: jump_us };
        }
        if stepped { Change::Suspect { by_us: jump_us } } else { Change::None }
    }

    fn accept(&mut self, offset_us: i64) {
        self.accepted_us = offset_us;
        self.highest_us = self.highest_us.max(offset_us);
        self.denied = false;
    }

    /// How far the wall clock is ahead of the trusted time, in milliseconds; 0 unless a jump is
    /// suspect. Whole milliseconds, rounded up: the trusted time is never ahead of itself.
    pub const fn ahead_ms(&self) -> u64 {
        match self.suspect_since_us {
            Some(_) => (self.seen_us - self.accepted_us).unsigned_abs().div_ceil(1_000),
            None => 0,
        }
    }

    /// The trusted time of a look, in milliseconds since the Unix epoch.
    pub fn now_ms(&self, look: Look) -> u64 {
        let us = if self.suspect_since_us.is_some() {
            look.boot_us + self.accepted_us
        } else {
            look.wall_us
        };
        u64::try_from(us / 1_000).unwrap_or(0)
    }

    /// Whether a jump is not believed at present.
    pub const fn is_suspect(&self) -> bool {
        self.suspect_since_us.is_some()
    }

    /// How often the clock was seen to be set.
    pub const fn steps(&self) -> u64 {
        self.steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START_US: i64 = 1_700_000_000_000_000;
    const TEN_YEARS_US: i64 = 10 * 365 * 24 * 3_600 * 1_000_000;

    fn look(boot_us: i64, wrong_us: i64) -> Look {
        Look { wall_us: START_US + boot_us + wrong_us, boot_us }
    }

    fn clock() -> TrustedClock {
        TrustedClock::new(look(0, 0))
    }

    #[test]
    fn small_steps_and_steps_back_are_believed_and_told() {
        let mut clock = clock();
        assert_eq!(clock.look(look(100_000, 40), None), Change::None, "slewed");
        assert_eq!(clock.look(look(200_000, 400_040), None), Change::Step { by_us: 400_000 });
        assert_eq!(clock.look(look(300_000, -5_000_000), None), Change::Step { by_us: -5_400_040 });
        assert_eq!(clock.now_ms(look(300_000, -5_000_000)), 1_699_999_995_300);
        assert_eq!((clock.steps(), clock.ahead_ms()), (2, 0));
    }

    #[test]
    fn a_clock_that_went_back_may_return_at_once_but_no_further() {
        let mut clock = clock();
        let hour_us = 3_600_000_000;
        assert_eq!(clock.look(look(100_000, -hour_us), None), Change::Step { by_us: -hour_us });
        assert_eq!(clock.look(look(200_000, 0), None), Change::Step { by_us: hour_us });
        clock.look(look(300_000, -hour_us), None);
        let beyond = clock.look(look(400_000, hour_us), None);
        assert_eq!(beyond, Change::Suspect { by_us: 2 * hour_us });
        assert_eq!(clock.now_ms(look(400_000, hour_us)), 1_699_996_400_400);
    }

    #[test]
    fn a_slow_slew_is_never_suspect_however_far_it_goes() {
        let mut clock = clock();
        for step in 1..10_000 {
            assert_eq!(clock.look(look(step * 100_000, step * 900), None), Change::None);
        }
    }

    #[test]
    fn time_goes_on_as_before_a_suspect_jump_until_it_is_taken_back() {
        let mut clock = clock();
        let jumped = clock.look(look(100_000, TEN_YEARS_US), None);
        assert_eq!(jumped, Change::Suspect { by_us: TEN_YEARS_US });
        assert_eq!(clock.now_ms(look(5_000_000, TEN_YEARS_US)), 1_700_000_005_000);
        assert_eq!(clock.ahead_ms(), TEN_YEARS_US.unsigned_abs() / 1_000);
        assert_eq!(clock.look(look(5_000_000, TEN_YEARS_US), None), Change::None);
        assert_eq!(clock.look(look(6_000_000, 0), None), Change::Recovered);
        assert_eq!(clock.now_ms(look(7_000_000, 0)), 1_700_000_007_000);
    }

    #[test]
    fn a_jump_is_believed_when_confirmed_or_small_and_old() {
        let hour_us = 3_600_000_000;
        let mut confirmed = clock();
        confirmed.look(look(100_000, hour_us), None);
        assert_eq!(confirmed.look(look(200_000, hour_us), Some(false)), Change::None);
        let accepted = Change::Accepted { by_us: hour_us };
        assert_eq!(confirmed.look(look(300_000, hour_us), Some(true)), accepted);

        let mut alone = clock();
        alone.look(look(100_000, hour_us), None);
        assert_eq!(alone.look(look(60_000_000, hour_us), None), Change::None);
        assert_eq!(alone.look(look(60_200_000, hour_us), None), accepted);

        let mut denied = clock();
        denied.look(look(100_000, hour_us), None);
        assert_eq!(denied.look(look(99_000_000, hour_us), Some(false)), Change::None);
        assert_eq!(denied.look(look(999_000_000, hour_us), None), Change::None, "still denied");
        assert_eq!(denied.look(look(999_100_000, hour_us), Some(true)), accepted);

        let mut far = clock();
        far.look(look(100_000, TEN_YEARS_US), None);
        assert_eq!(far.look(look(999_000_000, TEN_YEARS_US), None), Change::None);
    }
}
