//! The thread that keeps slots: claims them, extends their windows, gives them back. It may wait
//! for the store as long as it likes; nobody waits for it.

mod holding;
mod seeker;

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use coreflake_engine::{Claimant, Entropy, Lane, Plans, Swap};
use coreflake_protocol::{Namespace, Slot, StoreState};
use tokio::sync::mpsc::UnboundedSender;
use tracing::{error, info, warn};

use self::holding::{Holding, Kept};
pub(crate) use self::seeker::Wanted;
use self::seeker::{Seeker, Sought};
use crate::clock_monitor::TrustedTime;
use crate::condition::Condition;
use crate::identity::{Holder, Seen, StoreError, WindowStore, host};
use crate::limits::{HANDOVER_TIMEOUT, KEEPER_INTERVAL, STORE_BACKOFF_MAX, STORE_BACKOFF_MIN};
use crate::tenure::{Handover, Seat, Tenure};

/// Everything the thread needs.
#[derive(Debug)]
pub(crate) struct KeeperThread {
    pub(crate) store: Box<dyn WindowStore>,
    pub(crate) namespace: Namespace,
    pub(crate) plans: Plans,
    /// The node of UUIDs of version 1, if it is not made of the slot.
    pub(crate) node: Option<u64>,
    pub(crate) wanted: Wanted,
    pub(crate) claimant: Claimant,
    /// Whether a clock long after the last use of the slots is accepted.
    pub(crate) accept_clock: bool,
    pub(crate) time: TrustedTime,
    pub(crate) condition: Arc<Condition>,
    pub(crate) tenure: Tenure,
    /// The threads with a lane, in the order of the plan.
    pub(crate) threads: Vec<UnboundedSender<Handover>>,
    pub(crate) events: UnboundedSender<KeeperEvent>,
    /// All lanes, when they have ended; or nothing, when one is missing.
    pub(crate) stop: Receiver<Option<Vec<Lane>>>,
    /// What is wrong with the store as a whole, when that has been told.
    pub(crate) mistrusted: Option<StoreError>,
    /// Whether a thread may still have a lane of an earlier incarnation.
    pub(crate) mixed: bool,
    /// Whether a window was ever won.
    pub(crate) opened: bool,
}

/// What the rest of the server has to know.
#[derive(Debug)]
pub(crate) enum KeeperEvent {
    /// A window of these slots is won, and all threads have their lanes.
    Opened(Arc<[Slot]>),
    /// Nothing can be reserved any more: what was reserved may be used up.
    Ended(StoreError),
}

impl KeeperThread {
    /// Keeps slots until it is told to stop, or the store is of no use any more.
    pub(crate) fn run(mut self) {
        let result = self.keep();
        self.store.close();
        if let Err(error) = result {
            if self.opened {
                error!(%error, "no further window can be reserved; what is left of one is used up");
            }
            self.condition.set_store(StoreState::Broken);
            let _ = self.events.send(KeeperEvent::Ended(error));
        }
    }

    fn keep(&mut self) -> Result<(), StoreError> {
        let mut seeker = Seeker::new(self.wanted.clone(), self.claimant, self.accept_clock);
        let mut holding: Option<Holding> = None;
        let mut wait = Duration::ZERO;
        let mut watched = Instant::now();
        let mut failures = 0_u32;
        loop {
            if let Some(lanes) = self.stopped(wait) {
                seeker.give_back(&mut *self.store, self.time.now_ms());
                self.release(holding, lanes);
                return Ok(());
            }
            if let Some(held) = holding.as_mut().filter(|held| !held.is_lost()) {
                wait = KEEPER_INTERVAL;
                let kept = self.extend(held)?;
                failures = if kept == Kept::Doubtful { failures.saturating_add(1) } else { 0 };
                if kept == Kept::Doubtful {
                    wait = self.pause(failures);
                } else if kept == Kept::Lost {
                    warn!("a slot was lost to somebody else: others are claimed in its place");
                    self.condition.count_loss();
                    wait = Duration::ZERO;
                } else if self.store.watch_interval().is_some_and(|every| watched.elapsed() > every)
                {
                    watched = Instant::now();
                    self.watch(held, &seeker);
                }
                continue;
            }
            let now_ms = self.now_ms();
            if let Some(held) = holding.take_if(|held| held.is_used_up(now_ms)) {
                // What is left of several slots is wanted for the next claim.
                self.take_back(held, now_ms);
            }
            let seen = self.survey(holding.as_ref(), &seeker)?;
            let sought = match &seen {
                Some(seen) => seeker.seek(&mut *self.store, seen, now_ms)?,
                None => {
                    self.condition.set_store(StoreState::Doubtful);
                    seeker.unanswered()
                }
            };
            self.condition.set_claims(seeker.sightings.claims, seeker.sightings.conflicts);
            wait = match sought {
                Sought::Won(claims) => {
                    if let Err(claims) = self.begin(&mut holding, claims) {
                        warn!(
                            "the windows of the slots have no tick in common: they are given back"
                        );
                        seeker.return_claims(claims);
                        seeker.give_back(&mut *self.store, now_ms);
                    }
                    KEEPER_INTERVAL
                }
                // What lies on this machine costs nothing to look at.
                Sought::Wait(wait) if self.store.watch_interval().is_none() => {
                    wait.min(KEEPER_INTERVAL)
                }
                Sought::Wait(wait) => wait,
            };
        }
    }

    /// As long as nothing was ever reserved there is no other time to hold on to than the wall
    /// clock as it is.
    fn now_ms(&self) -> u64 {
        if self.opened { self.time.now_ms() } else { self.time.anchor() }
    }

    /// How long to leave a store alone that has failed so often in a row: any time up to a limit
    /// that doubles, and that leaves several attempts in a window.
    fn pause(&self, failures: u32) -> Duration {
        let limit = STORE_BACKOFF_MIN * (1 << failures.min(8));
        let limit = limit.min(STORE_BACKOFF_MAX);
        let limit = limit.min(Duration::from_millis(self.claimant.ahead_ms / 10));
        KEEPER_INTERVAL.max(limit.mul_f64(fastrand::f64()))
    }

    fn extend(&mut self, held: &mut Holding) -> Result<Kept, StoreError> {
        let condition = Arc::clone(&self.condition);
        let asking = |asks| if asks { condition.swap_begins() } else { condition.swap_ends() };
        let result = held.keep(&mut *self.store, self.time.now_ms(), asking);
        self.condition.swap_ends();
        match &result {
            Ok(Kept::Good) => self.condition.set_store(StoreState::Good),
            Ok(Kept::Doubtful) => self.condition.set_store(StoreState::Doubtful),
            Ok(Kept::Nothing | Kept::Lost) | Err(_) => {}
        }
        result
    }

    /// Looks whether the records still are what they were left as. Who waits for the next
    /// extension loses a third of a window before a conflict is seen.
    fn watch(&mut self, held: &mut Holding, seeker: &Seeker) {
        match self.survey(Some(held), seeker) {
            Ok(None) => self.condition.set_store(StoreState::Doubtful),
            Ok(Some(seen)) => {
                self.mistrusted = None;
                let mut as_left = true;
                for Seen { slot, record, .. } in seen {
                    if let Some(keeper) = held.keeper(slot)
                        && record.as_ref() != Ok(keeper.held())
                    {
                        keeper.doubt();
                        as_left = false;
                    }
                }
                if as_left {
                    self.condition.set_store(StoreState::Good);
                }
            }
            // Nobody can begin with this store. Who has a slot goes on, as long as its own records
            // are to the byte what it has left.
            Err(error) => {
                held.doubt_all();
                if self.mistrusted.as_ref() != Some(&error) {
                    error!(%error, "the store is not as it should be");
                    self.mistrusted = Some(error);
                }
            }
        }
    }

    fn survey(
        &mut self,
        holding: Option<&Holding>,
        seeker: &Seeker,
    ) -> Result<Option<Vec<Seen>>, StoreError> {
        let mine = holding.into_iter().flat_map(Holding::numbers).chain(seeker.slots());
        let seen = self.store.survey(&mine.collect::<Vec<_>>())?;
        if let Some(seen) = &seen {
            let count = |of: fn(&Seen) -> bool| seen.iter().filter(|seen| of(seen)).count();
            let held = count(|seen| seen.holder.is_some());
            let mine = count(|seen| seen.holder == Some(Holder::Me));
            let bad = count(|seen| seen.record.is_err() && seen.holder.is_none());
            self.condition.set_slots(seen.len() - held - bad, held - mine, mine, bad);
        }
        Ok(seen)
    }

    /// Another incarnation takes the place of the one there is, if there is one. Gives the claims
    /// back when nothing can begin with them.
    fn begin(&mut self, holding: &mut Option<Holding>, claims: Vec<Swap>) -> Result<(), Vec<Swap>> {
        let ahead_ms = self.claimant.ahead_ms;
        let seed = match host::random() {
            Ok(seed) => seed,
            Err(error) => {
                error!(%error, "no random numbers: no lane can begin");
                return Err(claims);
            }
        };
        let entropy = Entropy::new(seed, self.node);
        let (held, lanes) =
            Holding::begin(self.namespace, &self.plans, claims, ahead_ms, &entropy)?;
        self.opened = true;
        let slots = held.slots();
        self.tenure.begin(Arc::clone(&slots), Arc::clone(held.gate()));
        let seats = lanes.into_iter().map(|lane| {
            let (gate, slots) = (Arc::clone(held.gate()), Arc::clone(&slots));
            Some(Seat { lane, gate, slots })
        });
        let returned = self.hand_over(seats.collect());
        self.mixed |= returned.is_none();
        if let Some(before) = holding.replace(held) {
            self.let_go(before, returned);
        }
        self.condition.set_store(StoreState::Good);
        let _ = self.events.send(KeeperEvent::Opened(slots));
        Ok(())
    }

    /// The incarnation ends, and there is no other one yet.
    fn take_back(&mut self, held: Holding, now_ms: u64) {
        info!(now_ms, "the windows that were left are used up");
        self.tenure.end();
        let returned = self.hand_over(self.threads.iter().map(|_| None).collect());
        self.let_go(held, returned);
    }

    /// Gives each thread its seat, or none, and takes the lanes they had. `None` when a thread does
    /// not answer: it is about to end.
    fn hand_over(&self, seats: Vec<Option<Seat>>) -> Option<Vec<Lane>> {
        let (returned, lanes) = mpsc::channel();
        for (thread, seat) in self.threads.iter().zip(seats) {
            let _ = thread.send(Handover { seat, returned: returned.clone() });
        }
        drop(returned);
        let answers = self.threads.iter().map(|_| lanes.recv_timeout(HANDOVER_TIMEOUT).ok());
        let lanes: Option<Vec<Option<Lane>>> = answers.collect();
        Some(lanes?.into_iter().flatten().collect())
    }

    /// Gives back what is still held of an incarnation that has ended.
    fn let_go(&mut self, held: Holding, lanes: Option<Vec<Lane>>) {
        match lanes {
            Some(lanes) => held.release(&mut *self.store, lanes, self.time.now_ms()),
            None => {
                warn!("a thread has not handed over its lane: no window is given back");
                held.abandon(&mut *self.store);
            }
        }
    }

    /// Gives the unused rest of the windows back at the end.
    fn release(&mut self, holding: Option<Holding>, lanes: Option<Vec<Lane>>) {
        let Some(held) = holding else { return };
        match lanes.filter(|_| !self.mixed) {
            Some(lanes) => held.release(&mut *self.store, lanes, self.time.now_ms()),
            None => {
                warn!("not all shards have ended well: the rest of the window is not given back");
            }
        }
    }

    /// Waits for the order to stop. A server that is gone is one that stops.
    fn stopped(&self, wait: Duration) -> Option<Option<Vec<Lane>>> {
        match self.stop.recv_timeout(wait) {
            Ok(lanes) => Some(lanes),
            Err(RecvTimeoutError::Disconnected) => Some(None),
            Err(RecvTimeoutError::Timeout) => None,
        }
    }
}
