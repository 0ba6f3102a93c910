//! Looks for slots to claim.

use core::time::Duration;
use std::time::Instant;

use coreflake_engine::keeper::Outcome;
use coreflake_engine::record::Record;
use coreflake_engine::sanity::{self, ImplausibleClock};
use coreflake_engine::{Claimant, NotYet, Swap};
use tracing::{error, info, warn};

use crate::identity::file::SlotKey;
use crate::identity::{Holder, Seen, StoreError, WindowStore};
use crate::limits::{
    CLAIM_BACKOFF_MAX, CLAIM_BACKOFF_MIN, CLAIM_CHOICES_MIN, CLAIM_DOUBTS_MAX, CLAIM_TOLD_INTERVAL,
    PEER_SILENCE_MAX,
};

/// Which slots a node may have, and how many it wants.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// All of one datacenter.
    pub(crate) pool: Vec<SlotKey>,
    /// How many of them.
    pub(crate) count: usize,
    /// Whether they were asked for by their numbers: then the pool has just so many.
    pub(crate) fixed: bool,
    /// How long a slot that was asked for by its number and is held on this very host may stay held
    /// before that is an error: the marker of a process that was killed outlives it.
    pub(crate) stale_after: Duration,
}

/// What a look for slots has come to.
#[derive(Debug)]
pub(super) enum Sought {
    /// All that are wanted are claimed.
    Won(Vec<Swap>),
    /// Not now: look again after this time.
    Wait(Duration),
}

/// What is counted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sightings {
    pub(super) claims: u64,
    pub(super) conflicts: u64,
}

/// One search, with what it remembers from one look to the next.
#[derive(Debug)]
pub(super) struct Seeker {
    wanted: Wanted,
    claimant: Claimant,
    accept_clock: bool,
    /// Claims that were won, while others are missing.
    won: Vec<Swap>,
    /// Claims of which nobody knows whether they were won. One that arrives late is recognised.
    open: Vec<Swap>,
    /// Looks that have led to nothing, one after the other.
    failures: u32,
    told: Option<(String, Instant)>,
    held_since: Option<Instant>,
    /// The attempts of servers that seem to be behind, and since when they have not written.
    behind: Option<(Vec<u64>, Instant)>,
    pub(super) sightings: Sightings,
}

impl Seeker {
    pub(super) fn new(wanted: Wanted, claimant: Claimant, accept_clock: bool) -> Self {
        Self {
            wanted,
            claimant,
            accept_clock,
            won: Vec::new(),
            open: Vec::new(),
            failures: 0,
            told: None,
            held_since: None,
            behind: None,
            sightings: Sightings::default(),
        }
    }

    /// Looks once at all slots, and claims as many as are wanted. `now_ms` is a time that is
    /// trusted.
    pub(super) fn seek(
        &mut self,
        store: &mut dyn WindowStore,
        seen: &[Seen],
        now_ms: u64,
    ) -> Result<Sought, StoreError> {
        if let Err(error) = sanity::check_release(now_ms) {
            return Ok(self.wait(error.to_string(), None));
        }
        self.recognise(seen);
        self.check_pool(seen)?;
        if let Some(error) = self.contradiction(seen, now_ms) {
            return Ok(self.wait(error.to_string(), None));
        }
        let (mut candidates, not_yet) = self.candidates(seen, now_ms)?;
        let missing = self.wanted.count.saturating_sub(self.won.len());
        if candidates.len() < missing {
            self.give_back(store, now_ms);
            let text = self.shortage(seen, candidates.len(), not_yet.is_some());
            return Ok(self.wait(text, not_yet));
        }
        candidates.sort_by_key(|swap| swap.from.bound_ms);
        for swap in self.choose(candidates, missing) {
            self.claim(store, swap)?;
        }
        if self.won.len() == self.wanted.count {
            self.failures = 0;
            self.told = None;
            return Ok(Sought::Won(core::mem::take(&mut self.won)));
        }
        self.failures = self.failures.saturating_add(1);
        Ok(Sought::Wait(self.backoff()))
    }

    /// The slots that were claimed, or perhaps were.
    pub(super) fn slots(&self) -> impl Iterator<Item = u16> + '_ {
        self.won.iter().chain(&self.open).map(|claim| claim.to.slot)
    }

    /// Takes back claims that are of no use as they are.
    pub(super) fn return_claims(&mut self, claims: Vec<Swap>) {
        self.won.extend(claims);
    }

    /// Nobody can say how the slots are.
    pub(super) fn unanswered(&mut self) -> Sought {
        self.wait("the store does not answer: no slot can be claimed".to_owned(), None)
    }

    /// Gives back what was claimed for a node that needs more than that.
    pub(super) fn give_back(&mut self, store: &mut dyn WindowStore, now_ms: u64) {
        for claim in self.won.drain(..) {
            let lo_ms = claim.from.bound_ms;
            let swap = Swap::release(claim.to, lo_ms, None, now_ms, fastrand::u64(..));
            if !matches!(store.release(&swap), Ok(Outcome::Won)) {
                warn!(slot = swap.to.slot, "a slot that is not needed is not given back");
            }
        }
    }

    /// What the clock says that those of others do not, if they are to be believed. The marker of a
    /// server that is dead outlives it, while its window does not: whoever seems to be behind has
    /// to write again, which a server that lives does soon.
    fn contradiction(&mut self, seen: &[Seen], now_ms: u64) -> Option<ImplausibleClock> {
        let others = seen.iter().filter(|seen| matches!(seen.holder, Some(Holder::Other(_))));
        let records: Vec<_> = others.filter_map(|seen| seen.record.as_ref().ok()).collect();
        let writes = records.iter().map(|record| (record.written_ms, record.bound_ms));
        let error = sanity::check_peers(now_ms, &writes.collect::<Vec<_>>()).err();
        if !matches!(error, Some(ImplausibleClock::AheadOfPeers { .. })) {
            self.behind = None;
            return error;
        }
        let attempts: Vec<_> = records.iter().map(|record| record.attempt).collect();
        let (told, since) = self.behind.get_or_insert_with(|| (attempts.clone(), Instant::now()));
        // A marker that went says nothing; a record that was written does.
        if attempts.iter().any(|attempt| !told.contains(attempt)) {
            (*told, *since) = (attempts, Instant::now());
        }
        error.filter(|_| since.elapsed() < PEER_SILENCE_MAX)
    }

    /// Takes claims for won that were in doubt, and have arrived.
    fn recognise(&mut self, seen: &[Seen]) {
        let record_of = |slot| seen.iter().find(|seen| seen.slot == slot)?.record.as_ref().ok();
        let count = self.wanted.count;
        let (open, won) = (&mut self.open, &mut self.won);
        open.retain(|claim| match record_of(claim.to.slot) {
            Some(record) if *record == claim.to && won.len() < count => {
                info!(slot = claim.to.slot, "a claim that was in doubt has arrived");
                won.push(claim.clone());
                false
            }
            // Not written, or not yet.
            Some(record) => *record == claim.from || *record == claim.to,
            None => true,
        });
    }

    /// Whether the slots are such that waiting may help.
    fn check_pool(&mut self, seen: &[Seen]) -> Result<(), StoreError> {
        let mut bad = seen.iter().filter(|seen| seen.holder.is_none());
        let mut bad = bad.by_ref().filter_map(|seen| seen.record.as_ref().err());
        let first = bad.next();
        let all_bad = seen.iter().all(|seen| seen.record.is_err() && seen.holder.is_none());
        if let Some(error) = first
            && (self.wanted.fixed || all_bad)
        {
            return Err(error.clone());
        }
        if let Some(error) = first
            && self.told.is_none()
        {
            error!(%error, "a slot that cannot be used");
        }
        if !self.wanted.fixed {
            return Ok(());
        }
        let end_ms = self.wanted.pool.first().map_or(u64::MAX, |key| key.end_ms);
        let records = seen.iter().filter_map(|seen| seen.record.as_ref().ok());
        if let Some(record) = records.into_iter().find(|record| record.bound_ms >= end_ms) {
            return Err(StoreError(format!(
                "slot {} is retired, its ticks are taken to the end of the layout: use another one",
                record.slot
            )));
        }
        let won = |slot| self.won.iter().any(|claim| claim.to.slot == slot);
        let held = seen.iter().filter(|seen| !won(seen.slot)).find_map(|seen| match &seen.holder {
            Some(Holder::Other(host)) => Some((seen.slot, host)),
            _ => None,
        });
        let Some((slot, host)) = held else {
            self.held_since = None;
            return Ok(());
        };
        let since = *self.held_since.get_or_insert_with(Instant::now);
        let here = self.claimant.host.as_str() == host;
        if here && since.elapsed() < self.wanted.stale_after {
            return Ok(());
        }
        Err(StoreError(format!(
            "slot {slot} is held by another server, on host {host}: give one of the two another \
             worker id, or let both take a free one with --worker-mode dynamic"
        )))
    }

    /// What can be claimed now, and how long it takes at most until more can be.
    fn candidates(
        &self,
        seen: &[Seen],
        now_ms: u64,
    ) -> Result<(Vec<Swap>, Option<Duration>), StoreError> {
        let good = |seen: &Seen| seen.record.as_ref().ok().cloned();
        // A slot may rest for long in a pool, but not the whole pool.
        let used_ms = seen.iter().filter_map(good).map(|record| record.written_ms).max();
        let mut candidates = Vec::new();
        let mut not_yet = None;
        for seen in seen.iter().filter(|seen| seen.holder.is_none()) {
            let Some(record) = good(seen) else { continue };
            if self.is_taken_or_retired(&record) {
                continue;
            }
            let used_ms = if self.wanted.fixed { Some(record.written_ms) } else { used_ms };
            let used_ms = used_ms.unwrap_or(record.written_ms);
            match sanity::check_slot(now_ms, record.created_ms, used_ms) {
                Err(ImplausibleClock::LongAfterUse { .. }) if self.accept_clock => {}
                // Made by a clock that was ahead; the others are as good as ever.
                Err(ImplausibleClock::BeforeSlot { .. }) if !self.wanted.fixed => continue,
                result => result.map_err(implausible)?,
            }
            match self.claimant.claim(record, now_ms, fastrand::u64(..)) {
                Ok(swap) => candidates.push(swap),
                Err(NotYet { wait_ms }) => {
                    let wait = Duration::from_millis(wait_ms);
                    not_yet = Some(not_yet.map_or(wait, |least: Duration| least.min(wait)));
                }
            }
        }
        Ok((candidates, not_yet))
    }

    fn is_taken_or_retired(&self, record: &Record) -> bool {
        let of_slot = |claim: &Swap| claim.to.slot == record.slot;
        let key = self.wanted.pool.iter().find(|key| key.slot == record.slot);
        key.is_none_or(|key| record.bound_ms >= key.end_ms) || self.won.iter().any(of_slot)
    }

    /// Takes some of the slots that have rested longest, at random: many nodes that start at the
    /// same moment shall not all try the same one. After each conflict the choice is wider.
    fn choose(&self, mut candidates: Vec<Swap>, missing: usize) -> Vec<Swap> {
        let wider = CLAIM_CHOICES_MIN << self.failures.min(8);
        let choices = wider.max(candidates.len() / 2).max(missing);
        candidates.truncate(choices);
        fastrand::shuffle(&mut candidates);
        candidates.truncate(missing);
        candidates
    }

    fn claim(&mut self, store: &mut dyn WindowStore, swap: Swap) -> Result<(), StoreError> {
        self.sightings.claims += 1;
        match store.claim(&swap)? {
            Outcome::Won => self.won.push(swap),
            Outcome::Lost if self.wanted.fixed => {
                self.sightings.conflicts += 1;
                warn!(slot = swap.to.slot, "the slot was claimed by somebody else just now");
            }
            Outcome::Lost => self.sightings.conflicts += 1,
            Outcome::Unknown => {
                if self.open.len() == CLAIM_DOUBTS_MAX {
                    self.open.remove(0);
                }
                self.open.push(swap);
            }
        }
        Ok(())
    }

    /// Why there are too few candidates.
    fn shortage(&self, seen: &[Seen], free: usize, not_yet: bool) -> String {
        let Wanted { count, fixed, .. } = &self.wanted;
        let all = seen.len();
        if not_yet {
            let which =
                if *fixed { "window of this slot ends" } else { "windows of the free slots end" };
            return format!(
                "the last {which} in the future: nothing is issued until the clock is nearer"
            );
        }
        match (fixed, count) {
            (true, _) => {
                "the slot is held by a server of this host: waiting for its end".to_owned()
            }
            (false, 1) => format!("all {all} slots are taken: waiting for a free one"),
            (false, _) => {
                format!("{count} slots are wanted and {free} of {all} are free: waiting for more")
            }
        }
    }

    /// Says why there is nothing yet, once, and now and then again.
    fn wait(&mut self, text: String, at_most: Option<Duration>) -> Sought {
        let told = self.told.as_ref();
        if told.is_none_or(|(told, at)| *told != text || at.elapsed() > CLAIM_TOLD_INTERVAL) {
            warn!("{text}");
            self.told = Some((text, Instant::now()));
        }
        self.failures = self.failures.saturating_add(1);
        let backoff = self.backoff();
        Sought::Wait(at_most.map_or(backoff, |at_most| backoff.min(at_most)))
    }

    /// Any time up to a limit that doubles with each failure: nodes that failed together do not
    /// come back together.
    fn backoff(&self) -> Duration {
        let limit = CLAIM_BACKOFF_MIN * (1 << self.failures.min(10));
        limit.min(CLAIM_BACKOFF_MAX).mul_f64(fastrand::f64())
    }
}

#[allow(clippy::needless_pass_by_value)] // For `map_err`.
fn implausible(error: ImplausibleClock) -> StoreError {
    StoreError(error.to_string())
}

#[cfg(test)]
mod tests;
