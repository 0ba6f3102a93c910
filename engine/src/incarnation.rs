//! One running memory image that holds a window, split into lanes.

use std::sync::Arc;

use coreflake_protocol::{Layout, Slot, Tick};

use crate::gate::Gate;
use crate::lane::Lane;
use crate::plan::SequencePlan;
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
    /// Lanes for the window that begins behind `lo`, and for all that follow it. They issue nothing
    /// before [`Gate::open`] is given that window. With several slots the plan shares the sequence
    /// spaces of all, and the window is one that all have: see
    /// [`Window::common`](crate::Window::common).
    ///
    /// # Panics
    ///
    /// When the slots do not ascend, or the plan is one for another number of them.
    pub fn begin(layout: Layout, slots: &[Slot], plan: &SequencePlan, lo: Tick) -> Self {
        let numbers = slots.iter().map(|slot| layout.slot_number(*slot));
        assert!(numbers.is_sorted_by(|slot, next| slot < next), "slots ascend, each is there once");
        let spaces = u64::from(layout.sequence_space()) * slots.len() as u64;
        assert!(u64::from(plan.space()) == spaces, "a plan for {} slots", slots.len());
        let slots: Arc<[Slot]> = slots.into();
        let pool = Arc::new(Pool::new(plan.pool()));
        let lanes = (0..plan.lanes())
            .map(|lane| {
                Lane::new(layout, Arc::clone(&slots), plan.home(lane), Arc::clone(&pool), lo)
            })
            .collect();
        Self { lanes, gate: Arc::new(Gate::new(lo)) }
    }

    /// Ends an incarnation: takes all its lanes, and gives the highest tick that one of them has
    /// entered. What lies above may be given back.
    pub fn end(lanes: Vec<Lane>) -> Option<Tick> {
        lanes.into_iter().filter_map(|lane| lane.last_tick()).max()
    }
}
