//! A timer exact to microseconds. The runtime's own are rounded up to whole milliseconds, and who
//! waited with them for the next tick would miss most of it.

use core::time::Duration;
use std::io;
use std::os::fd::OwnedFd;

use rustix::io::{Errno, read};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::unix::AsyncFd;

use crate::readable::readable;

/// A timerfd that fires once each time it is armed.
#[derive(Debug)]
pub(crate) struct Timer {
    timer: AsyncFd<OwnedFd>,
}

impl Timer {
    /// Makes the timer. To be called inside the runtime that will wait for it.
    pub(crate) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        Ok(Self { timer: readable(timer)? })
    }

    /// Lets the timer fire `remaining` from now, and not when it was to fire before.
    pub(crate) fn arm(&self, remaining: Duration) -> io::Result<()> {
        // A timer set to zero is a timer switched off.
        let remaining = remaining.max(Duration::from_nanos(1));
        let it_value = Timespec::try_from(remaining).map_err(|_| Errno::INVAL)?;
        let it_interval = Timespec { tv_sec: 0, tv_nsec: 0 };
        let timer = Itimerspec { it_interval, it_value };
        timerfd_settime(self.timer.get_ref(), TimerfdTimerFlags::empty(), &timer)?;
        Ok(())
    }

    /// Waits until it fires. Whoever stops waiting misses nothing: the next one finds it fired.
    pub(crate) async fn fired(&self) -> io::Result<()> {
        loop {
            let mut ready = self.timer.readable().await?;
            let mut expirations = [0; 8];
            match read(self.timer.get_ref(), &mut expirations) {
                Ok(_) => {
                    ready.clear_ready();
                    return Ok(());
                }
                // Armed anew between firing and reading.
                Err(Errno::AGAIN) => ready.clear_ready(),
                Err(error) => return Err(error.into()),
            }
        }
    }
}
