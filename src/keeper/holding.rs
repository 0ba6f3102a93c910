//! The slots that a node has, kept as one: what one of them may not use, the node does not.

use std::sync::Arc;

use coreflake_engine::keeper::{Order, Verdict};
use coreflake_engine::{Entropy, Gate, Incarnation, Keeper, Lane, Plans, Swap, Window};
use coreflake_protocol::{Layout, Namespace, Slot};
use tracing::{info, warn};

use crate::identity::{StoreError, WindowStore, went_back};

/// One keeper a slot, and the gate in front of the lanes of all.
#[derive(Debug)]
pub(super) struct Holding {
    layout: Layout,
    /// By slot.
    keepers: Vec<Keeper>,
    gate: Arc<Gate>,
}

/// How the store has answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// Nothing was asked.
    Nothing,
    /// It has acknowledged all that was asked.
    Good,
    /// Something is in doubt.
    Doubtful,
    /// Somebody else has one of the slots.
    Lost,
}

impl Holding {
    /// Makes lanes for slots that were claimed. Gives the claims back when their windows have no
    /// tick in common.
    pub(super) fn begin(
        namespace: Namespace,
        plans: &Plans,
        mut claims: Vec<Swap>,
        ahead_ms: u64,
        entropy: &Entropy,
    ) -> Result<(Self, Vec<Lane>), Vec<Swap>> {
        claims.sort_by_key(|claim| claim.to.slot);
        let windows = claims.iter().map(|claim| claim.won()).collect();
        let Some(window) = Window::common(windows) else { return Err(claims) };
        let layout = *namespace.layout();
        let slots: Vec<_> = claims.iter().map(|claim| slot(&layout, claim.to.slot)).collect();
        let Incarnation { lanes, gate } =
            Incarnation::begin(namespace, &slots, plans, window.lo_ms(), entropy);
        gate.open(window);
        let keepers = claims.into_iter().map(|claim| {
            info!(
                slot = claim.to.slot,
                term = claim.to.term,
                behind = %claim.from.host,
                bound_ms = claim.to.bound_ms,
                "window reserved"
            );
            Keeper::new(claim, ahead_ms)
        });
        Ok((Self { layout, keepers: keepers.collect(), gate }, lanes))
    }

    /// The slots, ascending.
    pub(super) fn slots(&self) -> Arc<[Slot]> {
        self.keepers.iter().map(|keeper| slot(&self.layout, keeper.held().slot)).collect()
    }

    /// Their numbers.
    pub(super) fn numbers(&self) -> impl Iterator<Item = u16> + '_ {
        self.keepers.iter().filter(|keeper| !keeper.is_lost()).map(|keeper| keeper.held().slot)
    }

    pub(super) fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }

    /// Whether somebody else has one of the slots: the lanes may use up what was won, and then no
    /// more.
    pub(super) fn is_lost(&self) -> bool {
        self.keepers.iter().any(Keeper::is_lost)
    }

    /// Whether ticks that were won are left at `now_ms`.
    pub(super) fn is_used_up(&self, now_ms: u64) -> bool {
        now_ms > self.gate.view().hi_ms
    }

    /// The keeper of a slot, if it is held.
    pub(super) fn keeper(&mut self, slot: u16) -> Option<&mut Keeper> {
        self.keepers.iter_mut().find(|keeper| keeper.held().slot == slot)
    }

    /// All records are looked at before anything else is done.
    pub(super) fn doubt_all(&mut self) {
        self.keepers.iter_mut().for_each(Keeper::doubt);
    }

    /// Extends what is to be extended, all at once, and looks at what is in doubt.
    pub(super) fn keep(
        &mut self,
        store: &mut dyn WindowStore,
        now_ms: u64,
        asking: impl Fn(bool),
    ) -> Result<Kept, StoreError> {
        let (mut swaps, mut swapping, mut looking) = (Vec::new(), Vec::new(), Vec::new());
        for (place, keeper) in self.keepers.iter_mut().enumerate() {
            match keeper.poll(now_ms, fastrand::u64(..)) {
                Some(Order::Swap(swap)) => {
                    swaps.push(swap);
                    swapping.push(place);
                }
                Some(Order::Look) => looking.push(place),
                None => {}
            }
        }
        if swaps.is_empty() && looking.is_empty() {
            return Ok(Kept::Nothing);
        }
        asking(true);
        let outcomes = store.extend(&swaps);
        let mut verdicts = Vec::new();
        for ((place, swap), outcome) in swapping.into_iter().zip(swaps).zip(outcomes) {
            verdicts.push((place, self.keepers[place].swapped(swap, outcome?)));
        }
        let slots: Vec<_> = looking.iter().map(|place| self.keepers[*place].held().slot).collect();
        for (place, record) in looking.into_iter().zip(store.look(&slots)) {
            verdicts.push((place, self.keepers[place].found(record?)));
        }
        asking(false);
        let mut kept = Kept::Good;
        for (place, verdict) in verdicts {
            let slot = self.keepers[place].held().slot;
            match verdict {
                Verdict::Publish(_) => {}
                Verdict::Nothing if kept == Kept::Good => kept = Kept::Doubtful,
                Verdict::Nothing => {}
                Verdict::Lost => {
                    kept = Kept::Lost;
                    store.forget(slot);
                }
                Verdict::WentBack => return Err(went_back(slot)),
            }
        }
        let bounds = self.keepers.iter().map(|keeper| keeper.held().bound_ms);
        let hi_ms = bounds.min().unwrap_or(0);
        if hi_ms > self.gate.view().hi_ms {
            self.gate.raise(hi_ms);
        }
        Ok(kept)
    }

    /// Leaves the slots as they are: nobody knows what was issued of the windows.
    pub(super) fn abandon(self, store: &mut dyn WindowStore) {
        self.keepers.iter().for_each(|keeper| store.forget(keeper.held().slot));
    }

    /// Gives the unused rests of the windows back: `lanes` are all lanes of this incarnation. A
    /// failure costs the next start a wait, no more.
    pub(super) fn release(self, store: &mut dyn WindowStore, lanes: Vec<Lane>, now_ms: u64) {
        let issued_ms = Incarnation::end(lanes);
        for keeper in self.keepers {
            let slot = keeper.held().slot;
            if keeper.is_lost() {
                store.forget(slot);
                continue;
            }
            let Some(swap) = keeper.release(issued_ms, now_ms, fastrand::u64(..)) else {
                warn!(slot, "the record is in doubt: the rest of the window is not given back");
                store.forget(slot);
                continue;
            };
            match store.release(&swap) {
                Ok(coreflake_engine::keeper::Outcome::Won) => {
                    info!(slot, bound_ms = swap.to.bound_ms, "window given back");
                }
                outcome => warn!(slot, ?outcome, "the rest of the window is not given back"),
            }
        }
    }
}

fn slot(layout: &Layout, number: u16) -> Slot {
    let (datacenter_id, worker_id) = layout.slot_parts(number);
    layout.slot(datacenter_id.into(), worker_id.into()).expect("the number of a slot")
}
