//! How the sequence space of a tick is shared between lanes.
//!
//! ```text
//! 0                        960  1024 (a quarter)                           4096
//! +------+------+-----+------+----+----------------------------------------------+
//! | home | home | ... | home |gate| common pool, claimed in ascending pieces      |
//! +------+------+-----+------+----+----------------------------------------------+
//!  one per shard              one per gateway thread, 1/64 of the space each
//! ```
//!
//! A home sub-range belongs to one lane and costs no atomic; it is what nobody can take from it.
//! The pool is what one busy lane can draw beyond it: with 64 lanes three quarters of the node's
//! space instead of a sixty-fourth.

use core::fmt;
use core::ops::Range;

/// The share of one tick's sequence space that a gateway lane has for itself: one in this many.
/// What it leaves unused is lost to the shards, so it is small.
const GATEWAY_DIVISOR: u32 = 64;

/// The largest space that [`Pool`](crate::Pool) can share.
const SPACE_MAX: u32 = 1 << 23;

/// How much of a tick's sequence space is the common pool, in thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolShare(u16);

/// Sequence sub-ranges of a node: one home per lane, shards first, then the pool. Together they are
/// the whole space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SequencePlan {
    shards: u16,
    gateways: u16,
    shard_home: u32,
    gateway_home: u32,
    space: u32,
}

/// Why a sequence space cannot be shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanError {
    /// There is no shard.
    NoShard,
    /// There are more numbers than the engine can share.
    SpaceTooLarge {
        /// How many there are.
        space: u32,
    },
    /// There are more shards than home sub-ranges of one number.
    TooManyShards {
        /// How many shards were asked for.
        shards: u16,
        /// How many the space allows.
        shards_max: u32,
    },
    /// The gateways would take more than half of what is no pool.
    TooManyGateways {
        /// How many gateway lanes were asked for.
        gateways: u16,
        /// How many the space allows.
        gateways_max: u32,
    },
}

impl PoolShare {
    /// Three quarters.
    pub const DEFAULT: Self = Self(750);

    /// The largest share, in thousandths: the lanes keep something for themselves.
    pub const MAX: u16 = 900;

    /// A share of `thousandths`, or `None` above [`PoolShare::MAX`]. With 0 the space is divided
    /// once and for all, and what the division leaves over is all that is common.
    pub const fn new(thousandths: u16) -> Option<Self> {
        if thousandths <= Self::MAX { Some(Self(thousandths)) } else { None }
    }

    #[allow(clippy::cast_possible_truncation)] // At most `space`.
    fn of(self, space: u32) -> u32 {
        (u64::from(space) * u64::from(self.0) / 1_000) as u32
    }
}

impl SequencePlan {
    /// Shares `space` sequence numbers per tick between the lanes of `shards` shards and of
    /// `gateways` gateway threads.
    ///
    /// # Errors
    ///
    /// When there is no shard, or too many lanes for each to get a home.
    pub fn new(
        space: u32,
        shards: u16,
        gateways: u16,
        pool_share: PoolShare,
    ) -> Result<Self, PlanError> {
        if shards == 0 {
            return Err(PlanError::NoShard);
        }
        if space > SPACE_MAX {
            return Err(PlanError::SpaceTooLarge { space });
        }
        let home_space = space - pool_share.of(space);
        let gateway_home = (space / GATEWAY_DIVISOR).max(1);
        let gateways_max = home_space / 2 / gateway_home;
        if u32::from(gateways) > gateways_max {
            return Err(PlanError::TooManyGateways { gateways, gateways_max });
        }
        let shards_max = home_space - u32::from(gateways) * gateway_home;
        if u32::from(shards) > shards_max {
            return Err(PlanError::TooManyShards { shards, shards_max });
        }
        let shard_home = shards_max / u32::from(shards);
        Ok(Self { shards, gateways, shard_home, gateway_home, space })
    }

    /// How many lanes share the space.
    pub const fn lanes(&self) -> u16 {
        self.shards + self.gateways
    }

    /// How many of them are shards: those with the numbers below this.
    pub const fn shards(&self) -> u16 {
        self.shards
    }

    /// Sequence numbers per tick that all lanes share.
    pub fn pool_size(&self) -> u32 {
        self.pool().end - self.pool().start
    }

    /// The home sub-range of `lane`: the sequence numbers per tick that are its own.
    ///
    /// # Panics
    ///
    /// When there is no such lane.
    pub fn home(&self, lane: u16) -> Range<u32> {
        assert!(lane < self.lanes(), "lane {lane} of {}", self.lanes());
        let (start, size) = match lane.checked_sub(self.shards) {
            None => (u32::from(lane) * self.shard_home, self.shard_home),
            Some(gateway) => {
                (self.gateways_start() + u32::from(gateway) * self.gateway_home, self.gateway_home)
            }
        };
        start..start + size
    }

    /// The pool: all that is no home, what a division left over included.
    pub fn pool(&self) -> Range<u32> {
        self.gateways_start() + u32::from(self.gateways) * self.gateway_home..self.space
    }

    fn gateways_start(&self) -> u32 {
        u32::from(self.shards) * self.shard_home
    }
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoShard => f.write_str("at least one shard is needed"),
            Self::SpaceTooLarge { space } => {
                write!(f, "{space} sequence numbers per tick: at most {SPACE_MAX} are supported")
            }
            Self::TooManyShards { shards, shards_max } => {
                write!(f, "{shards} shards: the sequence space has homes for at most {shards_max}")
            }
            Self::TooManyGateways { gateways, gateways_max } => write!(
                f,
                "{gateways} gateway threads: the sequence space has homes for at most \
                 {gateways_max}"
            ),
        }
    }
}

impl core::error::Error for PlanError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn homes_and_pool_are_disjoint_and_fill_the_space() {
        let shares = [0, 1, 500, 750, 900].map(|share| PoolShare::new(share).unwrap());
        for (pool_share, gateways) in shares.into_iter().flat_map(|s| (0..=3).map(move |g| (s, g)))
        {
            for shards in 1..=200 {
                let plan = SequencePlan::new(4096, shards, gateways, pool_share).unwrap();
                let mut next = 0;
                for lane in 0..plan.lanes() {
                    let home = plan.home(lane);
                    assert_eq!((home.start, home.is_empty()), (next, false));
                    assert!(lane < shards || home.len() == 64, "a gateway has 1/64");
                    next = home.end;
                }
                assert_eq!(plan.pool(), next..4096);
                assert!(plan.pool_size() >= pool_share.of(4096));
                assert!(plan.pool_size() < pool_share.of(4096) + u32::from(shards) + 1);
            }
        }
    }

    #[test]
    fn a_narrow_space_has_room_for_a_gateway() {
        let plan = SequencePlan::new(16, 1, 1, PoolShare::DEFAULT).unwrap();
        assert_eq!((plan.home(0), plan.home(1), plan.pool()), (0..3, 3..4, 4..16));
    }

    #[test]
    fn a_lane_without_a_home_is_refused() {
        let plan = |shards, gateways| SequencePlan::new(4096, shards, gateways, PoolShare::DEFAULT);
        assert_eq!(plan(0, 1), Err(PlanError::NoShard));
        let error = plan(961, 1).unwrap_err();
        assert_eq!(error.to_string(), "961 shards: the sequence space has homes for at most 960");
        assert!(plan(960, 1).is_ok() && plan(1024, 0).is_ok());
        let error = plan(1, 9).unwrap_err();
        let text = "9 gateway threads: the sequence space has homes for at most 8";
        assert_eq!(error.to_string(), text);
        assert!(plan(512, 8).is_ok());
        assert_eq!(PoolShare::new(901), None);
    }
}
