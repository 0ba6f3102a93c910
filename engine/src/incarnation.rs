//! One running memory image that holds a window, split into lanes.

use std::sync::Arc;

use coreflake_protocol::{Kind, Namespace, Slot};

use crate::cursor::Cursor;
use crate::entropy::Entropy;
use crate::gate::Gate;
use crate::lane::Lane;
use crate::plans::Plans;
use crate::pool::Pool;

/// The lanes of one or more slots for one claim of them. There is no way to reset one: who loses a
/// slot and claims it again gets another window and begins another incarnation.
#[derive(Debug)]
pub struct Incarnation {
    /// One generator per lane of the plan, in the plan's order.
    pub lanes: Vec<Lane>,
    /// How the control plane opens and closes what is in front of the lanes.
    pub gate: Arc<Gate>,
}

impl Incarnation {
    /// Lanes for the window that begins behind `lo_ms`, and for all that follow it. They issue
    /// nothing before [`Gate::open`] is given that window. With several slots the plans share the
    /// numbers of all, and the window is one that all have: see
    /// [`Window::common`](crate::Window::common).
    ///
    /// # Panics
    ///
    /// When the slots do not ascend, or the plans are for another number of them.
    pub fn begin(
        namespace: Namespace,
        slots: &[Slot],
        plans: &Plans,
        lo_ms: u64,
        entropy: &Entropy,
    ) -> Self {
        let numbers = slots.iter().map(|slot| namespace.layout().slot_number(*slot));
        assert!(numbers.is_sorted_by(|slot, next| slot < next), "slots ascend, each is there once");
        assert!(usize::from(plans.slots()) == slots.len(), "plans for {} slots", slots.len());
        let slots: Arc<[Slot]> = slots.into();
        let pools = Kind::ALL.map(|kind| Arc::new(Pool::new(plans.of(kind).pool())));
        let lanes = (0..plans.lanes())
            .map(|lane| {
                let cursors = Kind::ALL.map(|kind| {
                    let (home, pool) = (plans.of(kind).home(lane), &pools[kind.index()]);
                    Cursor::new(namespace.scale(kind), home, Arc::clone(pool), lo_ms)
                });
                let slots = Arc::clone(&slots);
                Lane::new(namespace, slots, cursors, lo_ms, entropy, lane)
            })
            .collect();
        Self { lanes, gate: Arc::new(Gate::new(lo_ms)) }
    }

    /// Ends an incarnation: takes all its lanes, and gives the highest millisecond, since the Unix
    /// epoch, that one of them has entered. What lies above may be given back.
    pub fn end(lanes: Vec<Lane>) -> Option<u64> {
        lanes.into_iter().filter_map(|lane| lane.last_ms()).max()
    }
}
