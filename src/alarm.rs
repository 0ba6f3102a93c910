//! Waiting for the next tick, to the microsecond.
//!
//! The runtime's own timers are rounded up to whole milliseconds: who waited with them for the next
//! tick would miss most of it. A timerfd fires when it is told to.

use core::cell::Cell;
use core::time::Duration;
use std::io;
use std::os::fd::OwnedFd;

use coreflake_protocol::Tick;
use rustix::io::{Errno, read};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;

/// The alarm of one shard. Everybody who waits for sequence space waits here, and nobody else does.
#[derive(Debug)]
pub(crate) struct TickAlarm {
    timer: AsyncFd<OwnedFd>,
    armed_for: Cell<Option<Tick>>,
    rung: Notify,
}

impl TickAlarm {
    /// Makes the timer. To be called inside the runtime that will wait for it.
    pub(crate) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        // SAFETY: an `OwnedFd` keeps its descriptor open, and returns the same one, until it is
        // dropped.
        #[allow(unsafe_code)]
        let timer = unsafe { AsyncFd::register_with_interest(timer, Interest::READABLE) };
        Ok(Self {
            timer: timer.map_err(io::Error::from)?,
            armed_for: Cell::new(None),
            rung: Notify::new(),
        })
    }

    /// Waits until the alarm rings, which it does at the latest when `remaining`, the time until
    /// `tick`, is over. It may ring earlier for somebody else: whoever wakes looks at the clock
    /// again.
    pub(crate) async fn wait(&self, tick: Tick, remaining: Duration) -> io::Result<()> {
        let rung = self.rung.notified();
        if self.armed_for.get().is_none_or(|armed| tick < armed) {
            self.arm(remaining)?;
            self.armed_for.set(Some(tick));
        }
        rung.await;
        Ok(())
    }

    /// Rings whenever the timer fires, for ever.
    pub(crate) async fn run(&self) -> io::Result<()> {
        loop {
            let mut ready = self.timer.readable().await?;
            let mut expirations = [0; 8];
            match read(self.timer.get_ref(), &mut expirations) {
                Ok(_) => {
                    self.armed_for.set(None);
                    self.rung.notify_waiters();
                }
                // Armed anew between firing and reading.
                Err(Errno::AGAIN) => {}
                Err(error) => return Err(error.into()),
            }
            ready.clear_ready();
        }
    }

    fn arm(&self, remaining: Duration) -> io::Result<()> {
        // A timer set to zero is a timer switched off.
        let remaining = remaining.max(Duration::from_nanos(1));
        let it_value = Timespec::try_from(remaining).map_err(|_| Errno::INVAL)?;
        let it_interval = Timespec { tv_sec: 0, tv_nsec: 0 };
        let timer = Itimerspec { it_interval, it_value };
        timerfd_settime(self.timer.get_ref(), TimerfdTimerFlags::empty(), &timer)?;
        Ok(())
    }
}
