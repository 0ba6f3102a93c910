//! The worker parts of the slots that a server has.

use core::fmt;
use core::ops::Deref;

/// Up to [`WorkerIds::MAX`] worker IDs in ascending order. All slots of a server lie in one
/// datacenter.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct WorkerIds {
    count: usize,
    ids: [u16; Self::MAX],
}

impl WorkerIds {
    /// How many slots one server can have.
    pub const MAX: usize = 32;

    /// On the wire it stands for "none": the server has no slot yet.
    pub(crate) const NONE: u16 = u16::MAX;

    /// The first one as on the wire.
    pub(crate) fn first_wire(&self) -> u16 {
        self.first().copied().unwrap_or(Self::NONE)
    }
}

impl FromIterator<u16> for WorkerIds {
    /// # Panics
    ///
    /// When there are more than [`WorkerIds::MAX`].
    fn from_iter<T: IntoIterator<Item = u16>>(ids: T) -> Self {
        let mut list = Self::default();
        for id in ids {
            assert!(list.count < Self::MAX, "more than {} worker IDs", Self::MAX);
            list.ids[list.count] = id;
            list.count += 1;
        }
        list
    }
}

impl Deref for WorkerIds {
    type Target = [u16];

    fn deref(&self) -> &[u16] {
        &self.ids[..self.count]
    }
}

impl fmt::Debug for WorkerIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
