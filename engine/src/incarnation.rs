//! One running memory image that holds a window, split into lanes.

use std::sync::Arc;

use coreflake_protocol::{Layout, Slot};

use crate::gate::Gate;
use crate::lane::Lane;
use crate::plan::SequencePlan;
use crate::pool::Pool;
use crate::window::Window;

/// The lanes of a slot for one claim of it. There is no way to reset one: who loses a slot and
/// claims it again gets another window and begins another incarnation.
#[derive(Debug)]
pub struct Incarnation {
    /// One generator per lane of the plan, in the plan's order.
    pub lanes: Vec<Lane>,
    /// How the keeper tells the lanes of further windows.
    pub gate: Arc<Gate>,
}

impl Incarnation {
    /// Splits the ticks of `window`, and of all windows that follow it, between the lanes of
    /// `plan`.
    pub fn begin(layout: Layout, slot: Slot, plan: &SequencePlan, window: Window) -> Self {
        let pool = Arc::new(Pool::new(plan.pool()));
        let lanes = (0..plan.lanes())
            .map(|lane| Lane::new(layout, slot, plan.home(lane), Arc::clone(&pool), &window))
            .collect();
        Self { lanes, gate: Arc::new(Gate::new(window.hi())) }
    }
}
