//! The control plane: watches, and decides when the server ends. It waits for nobody who may take
//! long.

use core::future::Future;
use core::pin::pin;
use std::io;
use std::sync::Arc;

use coreflake_engine::drift::DriftState;
use coreflake_protocol::{ClockState, Slot, StoreState};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tracing::{error, warn};

use crate::clock_monitor::{ClockMonitor, TrustedTime};
use crate::condition::Condition;
use crate::identity::StoreError;
use crate::keeper::KeeperEvent;
use crate::limits::{REFUSE_TIMEOUT, SWAP_SLOW};
use crate::ntp::{NtpMonitor, Round};
use crate::tenure::Tenure;

/// What the control plane looks after.
#[derive(Debug)]
pub(crate) struct Control {
    pub(crate) tenure: Tenure,
    pub(crate) time: TrustedTime,
    pub(crate) condition: Arc<Condition>,
    pub(crate) keeper_events: UnboundedReceiver<KeeperEvent>,
    /// Threads that have ended.
    pub(crate) ended: UnboundedReceiver<String>,
    pub(crate) ntp: NtpMonitor,
}

/// Why a server that ran has ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A thread could not be started.
    #[error("cannot start a thread: {0}")]
    Build(io::Error),
    /// A thread ended before it was told to.
    #[error("{0} ended by itself")]
    ThreadEnded(String),
    /// The control plane has no runtime.
    #[error("cannot start the control plane: {0}")]
    Control(io::Error),
    /// No window was ever reserved, and none will be.
    #[error("{0}")]
    Refused(StoreError),
    /// The store of the windows is of no use any more, and what was reserved is used up.
    #[error("no further window can be reserved: {0}")]
    Store(StoreError),
}

impl Control {
    /// Runs until `stop` is ready, or until nothing can be served any more. Calls `ready` once,
    /// when a window is held, with its slots.
    pub(crate) async fn run(
        mut self,
        ready: impl FnOnce(&[Slot]),
        stop: impl Future<Output = ()>,
    ) -> Result<(), RunError> {
        let mut stop = pin!(stop);
        let mut ready = Some(ready);
        let mut failure = None;
        let mut slow = false;
        let tenure = self.tenure.clone();
        let condition = Arc::clone(&self.condition);
        let monitor = ClockMonitor::new(self.time.clone(), tenure, condition);
        let mut monitor = monitor.map_err(RunError::Control)?;
        let (rounds_sender, mut rounds) = unbounded_channel();
        let mut ntp = pin!(self.ntp.run(move |round| drop(rounds_sender.send(round))));
        loop {
            tokio::select! {
                () = &mut stop => return Ok(()),
                Some(name) = self.ended.recv() => return Err(RunError::ThreadEnded(name)),
                Some(event) = self.keeper_events.recv() => match event {
                    KeeperEvent::Opened(slots) => if let Some(ready) = ready.take() {
                        ready(&slots);
                    },
                    KeeperEvent::Ended(error) if ready.is_some() => {
                        return Err(RunError::Refused(error));
                    }
                    KeeperEvent::Ended(error) => failure = Some(error),
                },
                () = &mut ntp => {}
                Some(round) = rounds.recv() => {
                    Self::judge(&round, &self.tenure, &self.condition);
                    monitor.confirm(round.started, round.confirms_clock());
                }
                due = monitor.due() => {
                    due.map_err(RunError::Control)?;
                    monitor.look();
                    slow = watch_store(&self.condition, slow);
                    let hi_ms = self.tenure.hi_ms().unwrap_or(0);
                    let used_up = self.time.now_ms() > hi_ms + refuse_ms();
                    if let Some(error) = failure.take_if(|_| used_up) {
                        error!(%error, "the reserved window is used up: the server ends");
                        return Err(RunError::Store(error));
                    }
                }
            }
        }
    }

    /// Draws the consequences of what the time servers say.
    fn judge(round: &Round, tenure: &Tenure, condition: &Condition) {
        let clock = match round.state {
            DriftState::Unknown => ClockState::Unknown,
            DriftState::Good { .. } => ClockState::Good,
            DriftState::Alert { .. } => ClockState::Alert,
            DriftState::Refuse { .. } => ClockState::Refusing,
        };
        condition.set_drift(clock, round.state.offset_us().unwrap_or(0));
        tenure.refuse_drift(round.state.refuses());
    }
}

/// How long a used-up window is refused for before the server ends: peers have been told by then.
fn refuse_ms() -> u64 {
    u64::try_from(REFUSE_TIMEOUT.as_millis()).unwrap_or(u64::MAX)
}

/// Tells when the store does not answer for a while. Returns whether it does not.
fn watch_store(condition: &Condition, slow: bool) -> bool {
    let takes = condition.swap_takes().filter(|takes| *takes >= SWAP_SLOW);
    if let Some(takes) = takes
        && !slow
    {
        condition.set_store(StoreState::Doubtful);
        warn!(ms = takes.as_millis(), "the store does not answer; the window is used meanwhile");
    }
    takes.is_some()
}
