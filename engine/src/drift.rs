//! How far the wall clock is off, judged from what time servers say.
//!
//! Drift makes IDs wrong about their time, never equal. So everything here leans towards serving:
//! a refusal needs servers that agree, round after round, and silence never starts one. One server
//! of three may lie as it likes: an offset of its own is never the median.
//!
//! Of an even number of answers there are two medians. One of them is enough to alert, a refusal
//! needs both on the same side: of two servers that contradict each other one is wrong, and nobody
//! knows which.
//!
//! Offsets are those of NTP, server minus clock: a positive one says that the clock is behind.

/// An offset of more than this many milliseconds, either way, is an alert.
pub const DRIFT_ALERT_MS: i64 = 100;

/// An offset of more than this many milliseconds, either way, is a reason to refuse.
pub const DRIFT_REFUSE_MS: i64 = 1_000;

/// A clock that is off by at most this many milliseconds is right: the size of the step forward
/// that has to be confirmed.
pub const DRIFT_CONFIRM_MS: i64 = 500;

/// Rounds in a row with a reason to refuse before there is a refusal: a server that steps, or one
/// burst of forged answers, is over by then.
pub const ROUNDS_BEFORE_REFUSAL: u32 = 3;

/// Rounds in a row with too few answers through which a refusal is kept. Later nobody knows any
/// more that the clock is wrong, and what is unknown does not refuse.
pub const ROUNDS_REFUSAL_KEPT: u32 = 3;

/// Servers that may be configured: with three, one may be wrong or away.
pub const SERVERS_MAX: usize = 3;

/// What is known about the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DriftState {
    /// Too few answers. An alert, never a refusal.
    Unknown,
    /// The clock is right.
    Good {
        /// The offset in microseconds.
        offset_us: i64,
    },
    /// The clock is off by more than [`DRIFT_ALERT_MS`], or the servers contradict each other.
    Alert {
        /// The offset in microseconds.
        offset_us: i64,
    },
    /// The clock is off by more than [`DRIFT_REFUSE_MS`], and was for [`ROUNDS_BEFORE_REFUSAL`].
    Refuse {
        /// The offset in microseconds, the last one known.
        offset_us: i64,
    },
}

/// Judges one round of answers after the other.
#[derive(Clone, Copy, Debug)]
pub struct DriftJudge {
    servers: usize,
    state: DriftState,
    rounds_beyond: u32,
    rounds_unknown: u32,
}

impl DriftState {
    /// Whether no IDs may be issued.
    pub const fn refuses(self) -> bool {
        matches!(self, Self::Refuse { .. })
    }

    /// Whether somebody should look.
    pub const fn alerts(self) -> bool {
        !matches!(self, Self::Good { .. })
    }

    /// The offset in microseconds, if it is known.
    pub const fn offset_us(self) -> Option<i64> {
        match self {
            Self::Unknown => None,
            Self::Good { offset_us } | Self::Alert { offset_us } | Self::Refuse { offset_us } => {
                Some(offset_us)
            }
        }
    }

    /// The state as one word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Good { .. } => "good",
            Self::Alert { .. } => "alert",
            Self::Refuse { .. } => "refuse",
        }
    }
}

impl DriftJudge {
    /// A judge who knows nothing yet. `servers` is how many are configured, not how many answer.
    pub const fn new(servers: usize) -> Self {
        Self { servers, state: DriftState::Unknown, rounds_beyond: 0, rounds_unknown: 0 }
    }

    /// What the valid answers of one round, offsets in microseconds, make of the state.
    pub fn round(&mut self, offsets_us: &[i64]) -> DriftState {
        self.state = match Medians::of(self.servers, offsets_us) {
            Some(medians) => self.known(medians),
            None => self.unknown(),
        };
        self.state
    }

    fn known(&mut self, medians: Medians) -> DriftState {
        self.rounds_unknown = 0;
        self.rounds_beyond =
            if medians.both_beyond(DRIFT_REFUSE_MS) { self.rounds_beyond + 1 } else { 0 };
        let offset_us = medians.worse_us();
        if self.rounds_beyond >= ROUNDS_BEFORE_REFUSAL {
            // Counting on would end in an overflow after some centuries.
            self.rounds_beyond = ROUNDS_BEFORE_REFUSAL;
            DriftState::Refuse { offset_us }
        } else if is_beyond(offset_us, DRIFT_ALERT_MS) {
            DriftState::Alert { offset_us }
        } else {
            DriftState::Good { offset_us }
        }
    }

    fn unknown(&mut self) -> DriftState {
        self.rounds_unknown = (self.rounds_unknown + 1).min(ROUNDS_REFUSAL_KEPT + 1);
        if self.state.refuses() && self.rounds_unknown <= ROUNDS_REFUSAL_KEPT {
            return self.state;
        }
        self.rounds_beyond = 0;
        DriftState::Unknown
    }
}

/// Whether the clock is right, within [`DRIFT_CONFIRM_MS`], as far as the valid answers of one
/// round, offsets in microseconds, say so: `None` when too few of `servers` answered, or when they
/// contradict each other.
pub fn confirms(servers: usize, offsets_us: &[i64]) -> Option<bool> {
    let medians = Medians::of(servers, offsets_us)?;
    if !is_beyond(medians.worse_us(), DRIFT_CONFIRM_MS) {
        Some(true)
    } else if medians.both_beyond(DRIFT_CONFIRM_MS) {
        Some(false)
    } else {
        None
    }
}

/// The two middle answers; the same one twice when their number is odd.
#[derive(Clone, Copy)]
struct Medians {
    low_us: i64,
    high_us: i64,
}

impl Medians {
    /// `None` when there are too few answers: one is enough from the only server, from more servers
    /// two are needed.
    fn of(servers: usize, offsets_us: &[i64]) -> Option<Self> {
        assert!(offsets_us.len() <= servers, "a server has one vote");
        if offsets_us.len() < servers.clamp(1, 2) {
            return None;
        }
        let mut sorted = offsets_us.to_vec();
        sorted.sort_unstable();
        let low_us = sorted[(sorted.len() - 1) / 2];
        let high_us = sorted[sorted.len() / 2];
        Some(Self { low_us, high_us })
    }

    fn worse_us(self) -> i64 {
        if self.low_us.unsigned_abs() > self.high_us.unsigned_abs() {
            self.low_us
        } else {
            self.high_us
        }
    }

    /// Both, and on the same side.
    fn both_beyond(self, limit_ms: i64) -> bool {
        self.low_us > limit_ms * US_PER_MS || self.high_us < -limit_ms * US_PER_MS
    }
}

const fn is_beyond(offset_us: i64, limit_ms: i64) -> bool {
    offset_us > limit_ms * US_PER_MS || offset_us < -limit_ms * US_PER_MS
}

const US_PER_MS: i64 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn us(offsets_ms: &[i64]) -> Vec<i64> {
        offsets_ms.iter().map(|ms| ms * US_PER_MS).collect()
    }

    /// The states of these rounds, offsets in milliseconds, as letters: `?` unknown, `g` good, `a`
    /// alert, `R` refuse.
    fn states(servers: usize, rounds: &[&[i64]]) -> String {
        let mut judge = DriftJudge::new(servers);
        let letter = |state| match state {
            DriftState::Unknown => '?',
            DriftState::Good { .. } => 'g',
            DriftState::Alert { .. } => 'a',
            DriftState::Refuse { .. } => 'R',
        };
        rounds.iter().map(|offsets_ms| letter(judge.round(&us(offsets_ms)))).collect()
    }

    #[test]
    fn the_thresholds_are_those_of_the_mission() {
        let after_three = |offset_us: i64| {
            let mut judge = DriftJudge::new(1);
            let states = [(); 3].map(|()| judge.round(&[offset_us]));
            (states[0].name(), states[2].name())
        };
        for sign in [1, -1] {
            assert_eq!(after_three(sign * 50_000), ("good", "good"));
            assert_eq!(after_three(sign * 100_000), ("good", "good"));
            assert_eq!(after_three(sign * 100_001), ("alert", "alert"));
            assert_eq!(after_three(sign * 1_000_000), ("alert", "alert"));
            assert_eq!(after_three(sign * 1_000_001), ("alert", "refuse"));
        }
        assert_eq!(after_three(i64::MIN), ("alert", "refuse"));
        assert_eq!(after_three(i64::MAX), ("alert", "refuse"));
    }

    #[test]
    fn a_refusal_takes_three_rounds_in_a_row_and_one_to_end() {
        let far: &[i64] = &[1_500];
        assert_eq!(states(1, &[far, far, far, far, &[1_000], far, far, far]), "aaRRaaaR");
        assert_eq!(states(1, &[far, far, &[0], far, far, far]), "aagaaR");
        assert_eq!(states(1, &[&[1_500], &[-1_500], &[1_500]]), "aaR");
    }

    #[test]
    fn silence_neither_starts_nor_ends_a_refusal_and_outlasts_it() {
        let (far, none): (&[i64], &[i64]) = (&[1_500], &[]);
        assert_eq!(states(1, &[none; 6]), "??????");
        assert_eq!(states(1, &[far, far, none, far, far, far]), "aa?aaR");
        assert_eq!(states(1, &[far, far, far, none, none, none, none, none]), "aaRRRR??");
        assert_eq!(states(1, &[far, far, far, none, none, none, far, none]), "aaRRRRRR");
        // A refusal that silence has ended starts from the beginning.
        assert_eq!(
            states(1, &[far, far, far, none, none, none, none, far, far, far]),
            "aaRRRR?aaR"
        );
        assert_eq!(states(1, &[far, far, far, none, &[0]]), "aaRRg");
    }

    #[test]
    fn of_several_servers_two_must_answer() {
        assert_eq!(states(2, &[&[0], &[0, 0]]), "?g");
        assert_eq!(states(3, &[&[5_000], &[5_000], &[5_000], &[0, 0]]), "???g");
        assert_eq!(states(0, &[&[], &[]]), "??");
    }

    #[test]
    fn one_liar_of_three_does_not_matter() {
        let day = 86_400_000;
        for lie in [day, -day] {
            let rounds: [&[i64]; 4] = [&[lie, 1, 2], &[1, lie, 2], &[1, 2, lie], &[lie, 2, 1]];
            assert_eq!(states(3, &rounds), "gggg");
            let off: &[i64] = &[1_500, 1_500, lie];
            assert_eq!(states(3, &[off, off, off]), "aaR");
        }
    }

    #[test]
    fn two_that_contradict_each_other_alert_and_never_refuse() {
        let (apart, opposite): (&[i64], &[i64]) = (&[0, 9_000], &[-3_000, 3_000]);
        assert_eq!(states(2, &[apart, apart, apart, apart]), "aaaa");
        assert_eq!(states(3, &[opposite, opposite, opposite, opposite]), "aaaa");
        assert_eq!(states(2, &[&[1_200, 1_300], &[1_200, 9_000], &[1_001, 1_002]]), "aaR");
    }

    #[test]
    fn the_offset_is_the_median_and_of_two_the_worse() {
        let offset = |offsets_ms: &[i64]| {
            DriftJudge::new(3).round(&us(offsets_ms)).offset_us().map(|us| us / US_PER_MS)
        };
        assert_eq!(offset(&[30, -10, 20]), Some(20));
        assert_eq!(offset(&[-30, 20]), Some(-30));
        assert_eq!(offset(&[30]), None);
    }

    #[test]
    fn a_clock_is_confirmed_by_enough_servers_that_agree() {
        for (servers, offsets_ms, confirmed) in [
            (3, &[500, -500, 9_000][..], Some(true)),
            (3, &[501, 501, 0], Some(false)),
            (3, &[-501, -9_000, 0], Some(false)),
            (3, &[0, 0], Some(true)),
            // Their mean is zero.
            (3, &[-3_000, 3_000], None),
            (3, &[0, 3_000], None),
            (3, &[0], None),
            (2, &[0], None),
            (1, &[-500], Some(true)),
            (1, &[-501], Some(false)),
            (1, &[], None),
            (0, &[], None),
        ] {
            assert_eq!(confirms(servers, &us(offsets_ms)), confirmed, "{offsets_ms:?}");
        }
    }

    #[test]
    #[should_panic(expected = "a server has one vote")]
    fn more_answers_than_servers_are_a_mistake_of_ours() {
        DriftJudge::new(1).round(&[0, 0]);
    }
}
