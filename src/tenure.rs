//! What the node issues from at the moment: its slots, and the gate in front of their lanes.
//!
//! A node that loses a slot claims another one and begins anew, with other lanes and another gate.
//! Nobody in the data plane looks here: a thread is handed its [`Seat`], and hands back the one it
//! had.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};

use coreflake_engine::{Gate, Lane};
use coreflake_protocol::Slot;
use tokio::sync::mpsc::UnboundedReceiver;

/// What a thread needs to issue IDs.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) lane: Lane,
    /// What is in front of the lane, and of the others of its incarnation.
    pub(crate) gate: Arc<Gate>,
    /// Ascending.
    pub(crate) slots: Arc<[Slot]>,
}

/// What a thread is told: from now on issue from this seat, or from none.
#[derive(Debug)]
pub(crate) struct Handover {
    pub(crate) seat: Option<Seat>,
    /// Where the lane goes that it had.
    pub(crate) returned: mpsc::Sender<Option<Lane>>,
}

/// What a thread leaves when it ends: its lane, if it had one; nothing when that cannot be told.
pub(crate) type Left = Option<Option<Lane>>;

/// Obeys for ever: `sit` takes a seat and gives back the lane of the one before.
pub(crate) async fn obey(
    mut orders: UnboundedReceiver<Handover>,
    mut sit: impl FnMut(Option<Seat>) -> Option<Lane>,
) {
    while let Some(Handover { seat, returned }) = orders.recv().await {
        let _ = returned.send(sit(seat));
    }
    // The keeper is gone; what is left of the window is used up.
    core::future::pending().await
}

/// The incarnation of the moment, as the control plane sees it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tenure {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    gate: Option<Arc<Gate>>,
    slots: Arc<[Slot]>,
    /// What every gate is told, the next one too.
    drifted: bool,
    ahead_ms: u64,
}

impl Tenure {
    /// Another incarnation begins.
    pub(crate) fn begin(&self, slots: Arc<[Slot]>, gate: Arc<Gate>) {
        let mut inner = self.inner();
        gate.refuse_drift(inner.drifted);
        gate.correct(inner.ahead_ms);
        inner.gate = Some(gate);
        inner.slots = slots;
    }

    /// It has ended, and there is no other one.
    pub(crate) fn end(&self) {
        let mut inner = self.inner();
        inner.gate = None;
        inner.slots = Arc::default();
    }

    /// As [`Gate::refuse_drift`].
    pub(crate) fn refuse_drift(&self, refuse: bool) {
        let mut inner = self.inner();
        inner.drifted = refuse;
        if let Some(gate) = &inner.gate {
            gate.refuse_drift(refuse);
        }
    }

    /// As [`Gate::correct`].
    pub(crate) fn correct(&self, ahead_ms: u64) {
        let mut inner = self.inner();
        inner.ahead_ms = ahead_ms;
        if let Some(gate) = &inner.gate {
            gate.correct(ahead_ms);
        }
    }

    /// The last millisecond that may be used, since the Unix epoch, if any may.
    pub(crate) fn hi_ms(&self) -> Option<u64> {
        self.inner().gate.as_ref().map(|gate| gate.view().hi_ms)
    }

    /// The slots that are held, ascending.
    pub(crate) fn slots(&self) -> Arc<[Slot]> {
        Arc::clone(&self.inner().slots)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
