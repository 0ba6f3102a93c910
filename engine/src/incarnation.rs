//! One running memory image that holds a window, split into lanes.

use std::sync::Arc;

use coreflake_protocol::{Layout, Slot, Tick};

use crate::gate::Gate;
use crate::lane::Lane;
use crate::plan::SequencePlan;
use crate::pool::Pool;

/// The lanes of a slot for one claim of it. There is no way to reset one: who loses a slot and
/// claims it again gets another window and begins another incarnation.
#[derive(Debug)]
pub struct Incarnation {
    /// One generator per lane of the plan, in the plan's order.
    pub lanes: Vec<Lane>,
    /// How the control plane opens and closes what is in front of the lanes.
    pub gate: Arc<Gate>,
}

impl Incarnation {
    /// Lanes for the window that begins behind `lo`, and for all that follow it. They issue nothing
    /// before [`Gate::open`] is given that window.
    pub fn begin(layout: Layout, slot: Slot, plan: &SequencePlan, lo: Tick) -> Self {
        let pool = Arc::new(Pool::new(plan.pool()));
        let lanes = (0..plan.lanes())
            .map(|lane| Lane::new(layout, slot, plan.home(lane), Arc::clone(&pool), lo))
            .collect();
        Self { lanes, gate: Arc::new(Gate::new(lo)) }
    }

    /// Ends an incarnation: takes all its lanes, and gives the highest tick that one of them has
    /// entered. What lies above may be given back.
    pub fn end(lanes: Vec<Lane>) -> Option<Tick> {
        lanes.into_iter().filter_map(|lane| lane.last_tick()).max()
    }
}
