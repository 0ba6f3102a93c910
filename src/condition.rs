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
