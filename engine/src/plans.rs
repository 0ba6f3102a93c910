//! How the numbers of every kind are shared between the lanes of a node.

use coreflake_protocol::{Kind, Namespace};

use crate::plan::{PlanError, PoolShare, SequencePlan};

/// A plan for each kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plans {
    plans: [SequencePlan; Kind::ALL.len()],
    slots: u16,
}

impl Plans {
    /// Plans for a node of this namespace with `slots` slots, `shards` shards and `gateways`
    /// gateway threads.
    ///
    /// # Errors
    ///
    /// The first kind whose numbers cannot be shared, and why.
    pub fn new(
        namespace: &Namespace,
        slots: u16,
        shards: u16,
        gateways: u16,
        pool_share: PoolShare,
    ) -> Result<Self, (Kind, PlanError)> {
        let plan = |kind: Kind| {
            let space = namespace.space(kind).saturating_mul(slots_of(kind, slots));
            SequencePlan::new(space, shards, gateways, pool_share).map_err(|error| (kind, error))
        };
        let [snowflake, instagram, uuid1, ulid, uuid7] = Kind::ALL;
        let plans = [plan(snowflake)?, plan(instagram)?, plan(uuid1)?, plan(ulid)?, plan(uuid7)?];
        Ok(Self { plans, slots })
    }

    /// The plan of this kind.
    pub const fn of(&self, kind: Kind) -> &SequencePlan {
        &self.plans[kind.index()]
    }

    /// How many slots share their numbers.
    pub const fn slots(&self) -> u16 {
        self.slots
    }

    /// How many lanes share the numbers.
    pub const fn lanes(&self) -> u16 {
        self.of(Kind::Snowflake).lanes()
    }

    /// How many of them are shards: those with the numbers below this.
    pub const fn shards(&self) -> u16 {
        self.of(Kind::Snowflake).shards()
    }
}

/// How many of the slots of a node a kind uses. The 128-bit kinds have more numbers in the first
/// slot than a node can make, and a `uuid1` of a second slot would not be later than one of the
/// first.
fn slots_of(kind: Kind, slots: u16) -> u32 {
    if kind.is_wide() { 1 } else { slots.into() }
}
