//! Waiting to the microsecond. The timers of tokio round up to whole milliseconds, which would show
//! in the latency of every request that leaves by a plan.

use std::io;
use std::time::Duration;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::net::unix::pipe::Receiver;

/// A timer of the kernel's that tokio waits for and reads like a pipe: what it has for descriptors
/// of any kind is unsafe.
#[derive(Debug)]
pub(crate) struct Timer {
    fd: Receiver,
    /// When it fires next.
    armed_ns: Option<u64>,
}

impl Timer {
    /// To be called inside a runtime.
    pub(crate) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let fd = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        Ok(Self { fd: Receiver::from_owned_fd_unchecked(fd)?, armed_ns: None })
    }

    /// Makes it fire at `wake_ns` at the latest. One that is set to an earlier time stays: waking
    /// once too often costs less than setting it anew for every reply.
    pub(crate) fn arm(&mut self, wake_ns: u64, now_ns: u64) -> io::Result<()> {
        if self.armed_ns.is_some_and(|armed_ns| armed_ns <= wake_ns) {
            return Ok(());
        }
        self.set(Duration::from_nanos(wake_ns.saturating_sub(now_ns)))?;
        self.armed_ns = Some(wake_ns);
        Ok(())
    }

    /// Waits until it fires.
    pub(crate) async fn fired(&mut self) -> io::Result<()> {
        let mut count = [0; size_of::<u64>()];
        loop {
            self.fd.readable().await?;
            match self.fd.try_read(&mut count) {
                // It may have been set anew since it became readable.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => {
                    self.armed_ns = None;
                    return read.map(|_| ());
                }
            }
        }
    }

    /// Waits for so long.
    pub(crate) async fn sleep(&mut self, duration: Duration) -> io::Result<()> {
        self.set(duration)?;
        self.fired().await
    }

    fn set(&self, duration: Duration) -> io::Result<()> {
        // Zero would switch it off.
        let duration = duration.max(Duration::from_nanos(1));
        let it_value = Timespec::try_from(duration).map_err(io::Error::other)?;
        let once = Itimerspec { it_interval: Timespec::default(), it_value };
        timerfd_settime(&self.fd, TimerfdTimerFlags::empty(), &once)?;
        Ok(())
    }
}
