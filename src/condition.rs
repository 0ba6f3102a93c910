//! How the control plane is, for whoever asks: written by it alone, read by all.

use core::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, Ordering};
use core::time::Duration;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use coreflake_protocol::{ClockState, StoreState};

/// What HEALTH says of clock and store.
#[derive(Debug, Default)]
pub(crate) struct Condition {
    clock: AtomicU8,
    clock_suspect: AtomicBool,
    clock_offset_us: AtomicI64,
    clock_steps: AtomicU64,
    store: AtomicU8,
    slots_free: AtomicU64,
    slots_taken: AtomicU64,
    slots_mine: AtomicU64,
    slots_unusable: AtomicU64,
    claims: AtomicU64,
    claim_conflicts: AtomicU64,
    losses: AtomicU64,
    swap: Mutex<Option<Instant>>,
}

impl Condition {
    pub(crate) fn set_drift(&self, clock: ClockState, offset_us: i64) {
        self.clock.store(clock.wire(), Ordering::Relaxed);
        self.clock_offset_us.store(offset_us, Ordering::Relaxed);
    }

    pub(crate) fn set_clock(&self, suspect: bool, steps: u64) {
        self.clock_suspect.store(suspect, Ordering::Relaxed);
        self.clock_steps.store(steps, Ordering::Relaxed);
    }

    pub(crate) fn set_store(&self, store: StoreState) {
        self.store.store(store.wire(), Ordering::Relaxed);
    }

    /// How many slots of the pool nobody has, others have, this node has, nobody can use.
    pub(crate) fn set_slots(&self, free: usize, taken: usize, mine: usize, unusable: usize) {
        let all = [&self.slots_free, &self.slots_taken, &self.slots_mine, &self.slots_unusable];
        for (count, value) in all.into_iter().zip([free, taken, mine, unusable]) {
            count.store(value as u64, Ordering::Relaxed);
        }
    }

    /// As [`Condition::set_slots`], by the names used in documents and metrics.
    pub(crate) fn slots(&self) -> [(&'static str, u64); 4] {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        [
            ("free", count(&self.slots_free)),
            ("taken", count(&self.slots_taken)),
            ("mine", count(&self.slots_mine)),
            ("unusable", count(&self.slots_unusable)),
        ]
    }

    /// How many claims were tried, and how many of them somebody else was before.
    pub(crate) fn set_claims(&self, claims: u64, conflicts: u64) {
        self.claims.store(claims, Ordering::Relaxed);
        self.claim_conflicts.store(conflicts, Ordering::Relaxed);
    }

    pub(crate) fn claims(&self) -> (u64, u64) {
        let conflicts = self.claim_conflicts.load(Ordering::Relaxed);
        (self.claims.load(Ordering::Relaxed), conflicts)
    }

    /// A slot was lost to somebody else.
    pub(crate) fn count_loss(&self) {
        self.losses.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn losses(&self) -> u64 {
        self.losses.load(Ordering::Relaxed)
    }

    /// The store is asked to swap a record.
    pub(crate) fn swap_begins(&self) {
        *self.swap.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// The store has answered.
    pub(crate) fn swap_ends(&self) {
        *self.swap.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// How long the store has not answered, if it has been asked.
    pub(crate) fn swap_takes(&self) -> Option<Duration> {
        let begun = *self.swap.lock().unwrap_or_else(PoisonError::into_inner);
        begun.map(|begun| begun.elapsed())
    }

    pub(crate) fn clock(&self) -> ClockState {
        ClockState::from_wire(self.clock.load(Ordering::Relaxed))
    }

    pub(crate) fn clock_suspect(&self) -> bool {
        self.clock_suspect.load(Ordering::Relaxed)
    }

    pub(crate) fn clock_offset_us(&self) -> i64 {
        self.clock_offset_us.load(Ordering::Relaxed)
    }

    pub(crate) fn clock_steps(&self) -> u64 {
        self.clock_steps.load(Ordering::Relaxed)
    }

    pub(crate) fn store(&self) -> StoreState {
        StoreState::from_wire(self.store.load(Ordering::Relaxed))
    }
}
