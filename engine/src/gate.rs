//! What the control plane tells the lanes: one word, read once per batch.

use coreflake_protocol::Tick;
use crossbeam_utils::CachePadded;

use crate::sync::{AtomicU64, Ordering};

/// The upper end of the reserved ticks. One keeper raises it, all lanes read it.
#[derive(Debug)]
pub struct Gate {
    hi: CachePadded<AtomicU64>,
}

impl Gate {
    pub(crate) fn new(hi: Tick) -> Self {
        Self { hi: CachePadded::new(AtomicU64::new(hi.get())) }
    }

    /// The last tick that may be used. A value that is out of date is a lower one: it can only make
    /// a lane refuse too early.
    pub fn hi(&self) -> Tick {
        Tick::new(self.hi.load(Ordering::Acquire))
    }

    /// Makes the ticks up to `hi` usable. To be called after the store has acknowledged them.
    ///
    /// # Panics
    ///
    /// When `hi` is below what was published before.
    pub fn raise(&self, hi: Tick) {
        let before = self.hi.swap(hi.get(), Ordering::AcqRel);
        assert!(before <= hi.get(), "the gate only rises: {before} to {hi}");
    }
}
