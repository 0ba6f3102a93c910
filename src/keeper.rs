//! Keeps the lanes supplied with reserved ticks.

use std::sync::Arc;

use coreflake_engine::{Gate, reserve};
use coreflake_protocol::Layout;

use crate::clock::WallTime;
use crate::identity::memory::MemoryStore;
use crate::limits::RESERVE_AHEAD;

/// Extends the window of the slot while the server runs.
#[derive(Debug)]
pub(crate) struct Keeper {
    layout: Layout,
    store: MemoryStore,
    gate: Arc<Gate>,
}

impl Keeper {
    pub(crate) fn new(layout: Layout, store: MemoryStore, gate: Arc<Gate>) -> Self {
        Self { layout, store, gate }
    }

    /// Reserves more ticks if it is time to. What the store has acknowledged is published, not
    /// before.
    pub(crate) fn look(&mut self, now: WallTime) {
        // A clock outside the layout reserves nothing: the lanes refuse by themselves.
        let Ok(now) = self.layout.tick(now.unix_ms()) else {
            return;
        };
        let hi = self.gate.hi();
        if let Some(target) = reserve::target(now, hi, reserve_ahead_ticks()) {
            self.store.extend(hi, target);
            self.gate.raise(target);
        }
    }
}

/// [`RESERVE_AHEAD`] in ticks of one millisecond.
pub(crate) fn reserve_ahead_ticks() -> u64 {
    u64::try_from(RESERVE_AHEAD.as_millis()).unwrap_or(u64::MAX)
}
