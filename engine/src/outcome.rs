//! What comes of a request: a state, not an error.

use coreflake_protocol::{Count, ErrorCode, Run};

/// How many IDs a request still has to get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demand {
    remaining: u32,
}

/// Where a lane puts the IDs it makes.
pub trait IdSink {
    /// How many more IDs may be pushed: any number of 64-bit ones while there is room for a run. A
    /// lane stops when there is none, with demand left.
    fn room(&self) -> u32;

    /// Takes a run of 64-bit IDs, the next in ascending order.
    fn push(&mut self, run: Run);

    /// Takes a 128-bit ID, the next in the order of its kind.
    fn push_wide(&mut self, bits: u128);
}

/// What became of a demand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was met, or the sink is full.
    Done,
    /// The rest can be had when the wall clock is there.
    Wait {
        /// Milliseconds since the Unix epoch.
        until_ms: u64,
    },
    /// Nothing more can be had now.
    Refused(Refusal),
}

/// Why a lane issues nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The clock went back too far.
    ClockRegression {
        /// How far, in milliseconds.
        behind_ms: u64,
        /// When it will be near enough again, in milliseconds, if it goes on at its pace.
        retry_after_ms: u64,
    },
    /// The next millisecond was not reserved.
    WindowExhausted,
    /// The layout has no tick for this time.
    TimestampExhausted,
    /// No window has been won yet.
    Starting,
    /// The clock differs from the time of others by more than is allowed.
    ClockDrift,
}

/// How soon to ask again when a window is used up, in milliseconds: the keeper retries at that
/// pace.
const WINDOW_RETRY_MS: u64 = 100;

/// How soon to ask again when the clock is wrong, in milliseconds: it is compared every 10 s.
const DRIFT_RETRY_MS: u64 = 1_000;

impl Demand {
    /// `count` IDs.
    pub const fn new(count: Count) -> Self {
        Self { remaining: count.get() }
    }

    /// How many IDs are still to be made.
    pub const fn remaining(self) -> u32 {
        self.remaining
    }

    /// Notes that `count` of them were made.
    ///
    /// # Panics
    ///
    /// When that is more than was asked for.
    pub(crate) fn meet(&mut self, count: u32) {
        assert!(count <= self.remaining, "more IDs than asked for");
        self.remaining -= count;
    }
}

impl Refusal {
    /// The code that tells a peer.
    pub const fn code(self) -> ErrorCode {
        match self {
            Self::ClockRegression { .. } => ErrorCode::ClockRegression,
            Self::WindowExhausted => ErrorCode::WindowExhausted,
            Self::TimestampExhausted => ErrorCode::TimestampExhausted,
            Self::Starting => ErrorCode::Starting,
            Self::ClockDrift => ErrorCode::ClockDrift,
        }
    }

    /// When to ask again, in milliseconds; 0 when it would not help.
    pub fn retry_after_ms(self) -> u32 {
        let retry_after_ms = match self {
            Self::ClockRegression { retry_after_ms, .. } => retry_after_ms,
            Self::WindowExhausted | Self::Starting => WINDOW_RETRY_MS,
            Self::ClockDrift => DRIFT_RETRY_MS,
            Self::TimestampExhausted => 0,
        };
        u32::try_from(retry_after_ms).unwrap_or(u32::MAX)
    }
}

impl IdSink for Vec<Run> {
    fn room(&self) -> u32 {
        u32::MAX
    }

    fn push(&mut self, run: Run) {
        Self::push(self, run);
    }

    fn push_wide(&mut self, _bits: u128) {
        panic!("a sink of runs takes 64-bit IDs");
    }
}

impl IdSink for Vec<u128> {
    fn room(&self) -> u32 {
        u32::MAX
    }

    fn push(&mut self, run: Run) {
        self.extend(run.ids().map(|id| u128::from(id.get())));
    }

    fn push_wide(&mut self, bits: u128) {
        Self::push(self, bits);
    }
}
