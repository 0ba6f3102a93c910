//! How the sequence space of a tick is shared between lanes.
//!
//! ```text
//! 0          1024 (a quarter)                                              4096
//! +----+----+----+----+---------------------------------------------------+
//! |home|home|home|home| common pool, claimed in pieces, in ascending order |
//! +----+----+----+----+---------------------------------------------------+
//! ```
//!
//! A home sub-range belongs to one lane and costs no atomic; it is what nobody can take from it.
//! The pool is what one busy lane can draw beyond it: with 64 lanes three quarters of the node's
//! space instead of a sixty-fourth.

use core::fmt;
use core::ops::Range;

/// The share of one tick's sequence space that is divided into home sub-ranges: one in this many.
const HOME_DIVISOR: u32 = 4;

/// Sequence sub-ranges of a node: one home per lane, then the pool. Together they are the whole
/// space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SequencePlan {
    lanes: u16,
    home_size: u32,
    space: u32,
}

/// Why a sequence space cannot be shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanError {
    /// There is no lane.
    NoLane,
    /// There are more lanes than home sub-ranges of one number.
    TooManyLanes {
        /// How many lanes were asked for.
        lanes: u16,
        /// How many the space allows.
        lanes_max: u32,
    },
}

impl SequencePlan {
    /// Shares `space` sequence numbers per tick between `lanes` lanes.
    ///
    /// # Errors
    ///
    /// When there is no lane, or too many for each to get a home.
    pub fn new(space: u32, lanes: u16) -> Result<Self, PlanError> {
        let home_space = space / HOME_DIVISOR;
        if lanes == 0 {
            return Err(PlanError::NoLane);
        }
        if u32::from(lanes) > home_space {
            return Err(PlanError::TooManyLanes { lanes, lanes_max: home_space });
        }
        Ok(Self { lanes, home_size: home_space / u32::from(lanes), space })
    }

    /// How many lanes share the space.
    pub const fn lanes(&self) -> u16 {
        self.lanes
    }

    /// Sequence numbers per tick that belong to one lane alone.
    pub const fn home_size(&self) -> u32 {
        self.home_size
    }

    /// Sequence numbers per tick that all lanes share.
    pub fn pool_size(&self) -> u32 {
        self.pool().end - self.pool().start
    }

    /// The home sub-range of `lane`.
    ///
    /// # Panics
    ///
    /// When there is no such lane.
    pub fn home(&self, lane: u16) -> Range<u32> {
        assert!(lane < self.lanes, "lane {lane} of {}", self.lanes);
        let start = u32::from(lane) * self.home_size;
        start..start + self.home_size
    }

    /// The pool: all that is no home, what a division left over included.
    pub fn pool(&self) -> Range<u32> {
        u32::from(self.lanes) * self.home_size..self.space
    }
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoLane => f.write_str("at least one lane is needed"),
            Self::TooManyLanes { lanes, lanes_max } => {
                write!(f, "{lanes} lanes: the sequence space has homes for at most {lanes_max}")
            }
        }
    }
}

impl core::error::Error for PlanError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn homes_and_pool_are_disjoint_and_fill_the_space() {
        for lanes in 1..=1024 {
            let plan = SequencePlan::new(4096, lanes).unwrap();
            let mut next = 0;
            for lane in 0..lanes {
                let home = plan.home(lane);
                assert_eq!((home.start, home.is_empty()), (next, false));
                next = home.end;
            }
            assert_eq!(plan.pool(), next..4096);
            assert!(plan.pool_size() >= 3072);
        }
    }

    #[test]
    fn a_lane_without_a_home_is_refused() {
        assert_eq!(SequencePlan::new(4096, 0), Err(PlanError::NoLane));
        let error = SequencePlan::new(4096, 1025).unwrap_err();
        assert_eq!(error.to_string(), "1025 lanes: the sequence space has homes for at most 1024");
    }
}
