//! The values an ID is made of. Each can only hold what its layout allows.

use core::fmt;
use core::num::NonZeroU32;

/// A 64-bit ID: 0 ..= 2^63 - 1, so that it fits a signed integer in every database and language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(u64);

/// Time in an ID: ticks since the epoch, as long as a [`Scale`](crate::Scale) says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(u64);

/// The node number in an ID. Made by [`Layout::slot`](crate::Layout::slot), so it is in range
/// there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slot {
    datacenter_id: u16,
    worker_id: u16,
}

/// A place in the sequence space of one tick. Made by
/// [`Layout::sequence`](crate::Layout::sequence).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence(u32);

/// Consecutive IDs `first, first + 1, …`: what a batch is on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Run {
    first: Id,
    count: NonZeroU32,
}

/// What an ID says when it is taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Parts {
    /// When the ID was made, in milliseconds since the Unix epoch.
    pub unix_ms: u64,
    /// The datacenter part of the slot.
    pub datacenter_id: u16,
    /// The worker part of the slot.
    pub worker_id: u16,
    /// The place within the tick.
    pub sequence: u32,
}

impl Id {
    /// The largest ID, 2^63 - 1.
    pub const MAX: Self = Self(i64::MAX as u64);

    /// The ID with this number, or `None` above [`Id::MAX`].
    pub const fn new(number: u64) -> Option<Self> {
        if number <= Self::MAX.0 { Some(Self(number)) } else { None }
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Tick {
    /// The epoch itself.
    pub const ZERO: Self = Self(0);

    /// The tick with this number. Whether a layout can hold it is for
    /// [`Layout::pack`](crate::Layout::pack) to check.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number of ticks since the epoch.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The tick after this one; the last representable tick has none and stays.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Tick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Slot {
    pub(crate) const fn new(datacenter_id: u16, worker_id: u16) -> Self {
        Self { datacenter_id, worker_id }
    }

    /// The datacenter part.
    pub const fn datacenter_id(self) -> u16 {
        self.datacenter_id
    }

    /// The worker part.
    pub const fn worker_id(self) -> u16 {
        self.worker_id
    }
}

impl Sequence {
    pub(crate) const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl Run {
    /// `count` consecutive IDs from `first`, or `None` when the last would pass [`Id::MAX`].
    pub const fn new(first: Id, count: NonZeroU32) -> Option<Self> {
        if count.get() as u64 - 1 <= Id::MAX.0 - first.0 {
            Some(Self { first, count })
        } else {
            None
        }
    }

    /// The smallest ID of the run.
    pub const fn first(self) -> Id {
        self.first
    }

    /// The largest ID of the run.
    pub const fn last(self) -> Id {
        Id(self.first.0 + (self.count.get() as u64 - 1))
    }

    /// How many IDs the run holds, 1 or more.
    pub const fn count(self) -> NonZeroU32 {
        self.count
    }

    /// Every ID of the run in ascending order.
    pub fn ids(self) -> impl ExactSizeIterator<Item = Id> + Clone {
        (0..self.count.get()).map(move |offset| Id(self.first.0 + u64::from(offset)))
    }

    /// The two runs as one, when `next` starts right behind this one.
    #[must_use]
    pub fn join(self, next: Self) -> Option<Self> {
        if self.last().0 + 1 != next.first.0 {
            return None;
        }
        let count = self.count.checked_add(next.count.get())?;
        Some(Self { first: self.first, count })
    }
}
