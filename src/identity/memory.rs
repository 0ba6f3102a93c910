//! A window store that forgets. It holds the rules of a real one, except that nothing outlives the
//! process: after a restart with a clock that stands earlier, IDs can come again.

use coreflake_engine::Window;
use coreflake_protocol::Tick;

/// The bound of one slot, in memory.
#[derive(Debug)]
pub(crate) struct MemoryStore {
    bound: Tick,
}

impl MemoryStore {
    /// A record whose bound lies just behind `now`: there is no memory of anything before.
    pub(crate) fn new(now: Tick) -> Self {
        Self { bound: now.minus(1) }
    }

    /// Moves the bound from where it is to `hi`.
    pub(crate) fn claim(&mut self, hi: Tick) -> Window {
        let window = Window::won(self.bound, hi);
        self.bound = hi;
        window
    }

    /// Moves the bound from `from`, where the caller knows it to be, to `hi`.
    pub(crate) fn extend(&mut self, from: Tick, hi: Tick) {
        assert!(from == self.bound && hi > from, "one keeper moves the bound, upwards");
        self.bound = hi;
    }
}
