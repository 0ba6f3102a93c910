//! The thread that keeps a slot: claims it, extends its window, gives it back. It may wait for the
//! store as long as it likes; nobody waits for it.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use coreflake_engine::keeper::{Order, Outcome, Verdict};
use coreflake_engine::record::Record;
use coreflake_engine::sanity::{self, ImplausibleClock};
use coreflake_engine::{Claimant, Gate, Incarnation, Keeper, Lane, NotYet};
use coreflake_protocol::{Layout, StoreState};
use tokio::sync::mpsc::UnboundedSender;
use tracing::{error, info, warn};

use crate::clock_monitor::TrustedTime;
use crate::condition::Condition;
use crate::identity::{StoreError, WindowStore};
use crate::limits::KEEPER_INTERVAL;

/// Everything the thread needs.
#[derive(Debug)]
pub(crate) struct KeeperThread {
    pub(crate) store: Box<dyn WindowStore>,
    pub(crate) record: Record,
    pub(crate) layout: Layout,
    pub(crate) claimant: Claimant,
    pub(crate) gate: Arc<Gate>,
    /// Whether a clock long after the last use of the slot is accepted.
    pub(crate) accept_clock: bool,
    pub(crate) time: TrustedTime,
    pub(crate) condition: Arc<Condition>,
    pub(crate) events: UnboundedSender<KeeperEvent>,
    /// All lanes, when they have ended; or nothing, when one is missing.
    pub(crate) stop: Receiver<Option<Vec<Lane>>>,
}

/// What the rest of the server has to know.
#[derive(Debug)]
pub(crate) enum KeeperEvent {
    /// The window is won and the gate open.
    Opened,
    /// Nothing can be reserved any more: what was reserved may be used up.
    Ended(StoreError),
}

impl KeeperThread {
    /// Keeps the slot until it is told to stop, or the store is of no use any more.
    pub(crate) fn run(mut self) {
        match self.claim() {
            Ok(Some(keeper)) => {
                let _ = self.events.send(KeeperEvent::Opened);
                self.keep(keeper);
            }
            Ok(None) => {}
            Err(error) => self.end(error),
        }
    }

    /// Claims the slot as soon as its bound allows. `None` when the server stops before.
    fn claim(&mut self) -> Result<Option<Keeper>, StoreError> {
        let mut told = false;
        loop {
            let attempt = self.attempt();
            let now_ms = self.time.anchor();
            // The clock may be set while the slot is waited for, and no better than before.
            let Record { created_ms, written_ms, .. } = self.record;
            sanity::check_release(now_ms)
                .and_then(|()| match sanity::check_slot(now_ms, created_ms, written_ms) {
                    Err(ImplausibleClock::LongAfterUse { .. }) if self.accept_clock => Ok(()),
                    result => result,
                })
                .map_err(|error| StoreError(error.to_string()))?;
            match self.claimant.claim(self.record.clone(), now_ms, attempt) {
                Ok(swap) => match self.store.swap(&swap)? {
                    Outcome::Won => {
                        self.gate.open(swap.won(&self.layout));
                        info!(
                            slot = swap.to.slot,
                            term = swap.to.term,
                            behind = %swap.from.host,
                            bound_ms = swap.to.bound_ms,
                            "window reserved"
                        );
                        let ahead_ms = self.claimant.ahead_ms;
                        return Ok(Some(Keeper::new(self.layout, swap, ahead_ms)));
                    }
                    Outcome::Lost | Outcome::Unknown => {
                        let text = "the slot was claimed by somebody else at the same moment";
                        return Err(StoreError(text.to_owned()));
                    }
                },
                Err(NotYet { wait_ms }) => {
                    if !core::mem::replace(&mut told, true) {
                        warn!(
                            wait_ms,
                            "the last window of this slot ends in the future: nothing is issued \
                             until the clock is nearer"
                        );
                    }
                    let wait = Duration::from_millis(wait_ms).min(KEEPER_INTERVAL);
                    if self.stopped(wait).is_some() {
                        return Ok(None);
                    }
                }
            }
        }
    }

    fn keep(&mut self, mut keeper: Keeper) {
        loop {
            if let Some(lanes) = self.stopped(KEEPER_INTERVAL) {
                self.release(keeper, lanes);
                return;
            }
            let now_ms = self.time.now_ms();
            let Some(order) = keeper.poll(now_ms, self.attempt()) else { continue };
            let verdict = match self.obey(&mut keeper, order) {
                Ok(verdict) => verdict,
                Err(error) => {
                    keeper.give_up();
                    return self.end(error);
                }
            };
            match verdict {
                Verdict::Publish(hi) => {
                    self.gate.raise(hi);
                    self.condition.set_store(StoreState::Good);
                }
                Verdict::Nothing => self.condition.set_store(StoreState::Doubtful),
                Verdict::Lost => {
                    return self.end(StoreError("somebody else holds the slot".to_owned()));
                }
            }
        }
    }

    fn obey(&mut self, keeper: &mut Keeper, order: Order) -> Result<Verdict, StoreError> {
        match order {
            Order::Swap(swap) => {
                self.condition.swap_begins();
                let outcome = self.store.swap(&swap);
                self.condition.swap_ends();
                Ok(keeper.swapped(swap, outcome?))
            }
            Order::Look => Ok(keeper.found(self.store.look()?)),
        }
    }

    /// Gives the unused rest of the window back. A failure costs the next start a wait, no more.
    fn release(&mut self, keeper: Keeper, lanes: Option<Vec<Lane>>) {
        let Some(lanes) = lanes else {
            warn!("not all shards have ended well: the rest of the window is not given back");
            return;
        };
        let issued = Incarnation::end(lanes);
        let Some(swap) = keeper.release(issued, self.time.now_ms(), self.attempt()) else {
            warn!("the record is in doubt: the rest of the window is not given back");
            return;
        };
        match self.store.swap(&swap) {
            Ok(Outcome::Won) => info!(bound_ms = swap.to.bound_ms, "window given back"),
            outcome => warn!(?outcome, "the rest of the window is not given back"),
        }
    }

    fn end(&self, error: StoreError) {
        error!(%error, "no further window can be reserved; what is left of one is used up");
        self.condition.set_store(StoreState::Broken);
        let _ = self.events.send(KeeperEvent::Ended(error));
    }

    /// Waits for the order to stop. A server that is gone is one that stops.
    fn stopped(&self, wait: Duration) -> Option<Option<Vec<Lane>>> {
        match self.stop.recv_timeout(wait) {
            Ok(lanes) => Some(lanes),
            Err(RecvTimeoutError::Disconnected) => Some(None),
            Err(RecvTimeoutError::Timeout) => None,
        }
    }

    fn attempt(&self) -> u64 {
        fastrand::u64(..)
    }
}
