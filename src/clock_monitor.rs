//! Watches the clock: every step is noticed, told and judged.

use core::time::Duration;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use coreflake_engine::trusted::{Change, Look, TrustedClock};
use rustix::io::{Errno, read};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::unix::AsyncFd;
use tracing::{info, warn};

use crate::clock::{self, WallTime};
use crate::condition::Condition;
use crate::limits::CLOCK_INTERVAL;
use crate::readable::readable;
use crate::tenure::Tenure;

/// The wall clock as far as it is trusted, for whoever reserves by it.
#[derive(Clone, Debug)]
pub(crate) struct TrustedTime {
    clock: Arc<Mutex<TrustedClock>>,
}

impl TrustedTime {
    pub(crate) fn new() -> Self {
        Self { clock: Arc::new(Mutex::new(TrustedClock::new(clock::look()))) }
    }

    /// Milliseconds since the Unix epoch, now.
    ///
    /// Looks for itself whether the clock has just jumped: the monitor may not have seen it yet.
    pub(crate) fn now_ms(&self) -> u64 {
        let look = clock::look();
        self.with(|clock| {
            let mut ahead = clock.clone();
            ahead.look(look, None);
            ahead.now_ms(look)
        })
    }

    /// The same as a time.
    pub(crate) fn now(&self) -> WallTime {
        let now = WallTime::now();
        now.minus_ms(now.unix_ms().saturating_sub(self.now_ms()))
    }

    /// Trusts the wall clock as it is, and gives it in milliseconds since the Unix epoch. As long
    /// as nothing is reserved there is no other time to hold on to.
    pub(crate) fn anchor(&self) -> u64 {
        let look = clock::look();
        self.with(|clock| {
            clock.anchor(look);
            clock.now_ms(look)
        })
    }

    fn with<T>(&self, with: impl FnOnce(&mut TrustedClock) -> T) -> T {
        with(&mut self.clock.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The task that watches.
#[derive(Debug)]
pub(crate) struct ClockMonitor {
    time: TrustedTime,
    tenure: Tenure,
    condition: Arc<Condition>,
    /// Never fires; is cancelled whenever somebody sets the clock.
    alarm: AsyncFd<OwnedFd>,
    /// What other sources of time say of the wall clock, if they say anything.
    confirmed: Option<bool>,
    /// When a jump ahead was last seen: what was said before speaks of the clock as it was.
    jumped: Option<Instant>,
}

impl ClockMonitor {
    /// To be called inside the runtime that will watch.
    pub(crate) fn new(
        time: TrustedTime,
        tenure: Tenure,
        condition: Arc<Condition>,
    ) -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Realtime, flags)?;
        let alarm = readable(timer)?;
        let monitor = Self { time, tenure, condition, alarm, confirmed: None, jumped: None };
        monitor.arm()?;
        Ok(monitor)
    }

    /// Waits until it is time for a look: at once when somebody sets the clock.
    pub(crate) async fn due(&self) -> io::Result<()> {
        tokio::select! {
            ready = self.alarm.readable() => {
                let mut expirations = [0; 8];
                let result = read(self.alarm.get_ref(), &mut expirations);
                ready?.clear_ready();
                match result {
                    Ok(_) | Err(Errno::CANCELED | Errno::AGAIN) => self.arm(),
                    Err(error) => Err(error.into()),
                }
            }
            () = tokio::time::sleep(CLOCK_INTERVAL) => Ok(()),
        }
    }

    /// Tells what other sources of time, asked at `asked`, say of the wall clock.
    pub(crate) fn confirm(&mut self, asked: Instant, confirmed: Option<bool>) {
        if self.jumped.is_none_or(|jumped| asked > jumped) {
            self.confirmed = confirmed;
        }
    }

    /// Looks at the clock, and tells the lanes how far it is to be trusted.
    pub(crate) fn look(&mut self) {
        let look: Look = clock::look();
        let (change, ahead_ms, steps) = self
            .time
            .with(|clock| (clock.look(look, self.confirmed), clock.ahead_ms(), clock.steps()));
        self.tenure.correct(ahead_ms);
        self.condition.set_clock(ahead_ms > 0, steps);
        if let Change::Suspect { .. } = change {
            self.jumped = Some(Instant::now());
            self.confirmed = None;
        }
        match change {
            Change::None => {}
            Change::Step { by_us } => warn!(by_us, steps, "the clock was set"),
            Change::Suspect { by_us } => warn!(
                by_us,
                steps, "the clock jumped ahead; until that is confirmed, time goes on as before"
            ),
            Change::Accepted { by_us } => warn!(by_us, "the jump of the clock is accepted"),
            Change::Recovered => info!(steps, "the clock is back"),
        }
    }

    /// Arms the timer for a time that is never reached: what counts is that it is cancelled.
    fn arm(&self) -> io::Result<()> {
        let far = Duration::from_secs(u64::from(u32::MAX) * 2);
        let it_value = Timespec::try_from(far).map_err(|_| Errno::INVAL)?;
        let timer = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value };
        let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
        timerfd_settime(self.alarm.get_ref(), flags, &timer)?;
        Ok(())
    }
}
