//! Who waits for sequence space, in the order they came, and the timer that lets them in.
//!
//! Whoever finds the tick used up, or others waiting already, goes to the end of the queue. At the
//! next tick the first one is let in; when it has had its turn and something is left, it lets in
//! the next. So a peer that always wants more is served no earlier than one that wants a single ID.
//!
//! The timer is a timerfd: the runtime's own timers are rounded up to whole milliseconds, and who
//! waited with them for the next tick would miss most of it.

use core::cell::Cell;
use core::pin::Pin;
use core::time::Duration;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;

use coreflake_protocol::Tick;
use rustix::io::{Errno, read};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

/// The queue of one shard.
///
/// As long as somebody waits, the timer is armed or somebody has been let in and has not had its
/// turn: otherwise nobody would ever be let in again. Hence [`TickQueue::let_in_next`] after every
/// turn of one who was let in and does not go back to the end.
#[derive(Debug)]
pub(crate) struct TickQueue {
    timer: AsyncFd<OwnedFd>,
    armed_for: Cell<Option<Tick>>,
    line: Arc<Notify>,
    waiting: Cell<usize>,
}

/// A place in the queue, reused by its owner. It keeps its rank while its owner does something
/// else.
#[derive(Debug)]
pub(crate) struct Place {
    queue: Rc<TickQueue>,
    let_in: Pin<Box<OwnedNotified>>,
    joined: bool,
}

impl TickQueue {
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
            line: Arc::new(Notify::new()),
            waiting: Cell::new(0),
        })
    }

    /// Whether nobody waits. Who finds somebody waiting has to join.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.get() == 0
    }

    /// Sees to it that the first in line is let in at `tick`, which is `remaining` from now.
    pub(crate) fn open_at(&self, tick: Tick, remaining: Duration) -> io::Result<()> {
        if self.armed_for.get().is_none_or(|armed| tick < armed) {
            self.arm(remaining)?;
            self.armed_for.set(Some(tick));
        }
        Ok(())
    }

    /// Lets the first in line in, if there is one.
    pub(crate) fn let_in_next(&self) {
        if !self.is_empty() {
            self.line.notify_one();
        }
    }

    /// Lets the first in line in whenever the timer fires, for ever.
    pub(crate) async fn run(&self) -> io::Result<()> {
        loop {
            let mut ready = self.timer.readable().await?;
            let mut expirations = [0; 8];
            match read(self.timer.get_ref(), &mut expirations) {
                Ok(_) => {
                    self.armed_for.set(None);
                    self.let_in_next();
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

impl Place {
    /// A place that is not in line yet.
    pub(crate) fn new(queue: &Rc<TickQueue>) -> Self {
        let let_in = Box::pin(Arc::clone(&queue.line).notified_owned());
        Self { queue: Rc::clone(queue), let_in, joined: false }
    }

    /// Goes to the end of the line, unless it is in line already.
    pub(crate) fn join(&mut self) {
        if !self.joined {
            self.let_in.set(Arc::clone(&self.queue.line).notified_owned());
            self.let_in.as_mut().enable();
            self.queue.waiting.set(self.queue.waiting.get() + 1);
            self.joined = true;
        }
    }

    /// Waits to be let in. Whoever stops waiting keeps the place.
    pub(crate) async fn let_in(&mut self) {
        self.let_in.as_mut().await;
        self.leave();
    }

    fn leave(&mut self) {
        if self.joined {
            self.queue.waiting.set(self.queue.waiting.get() - 1);
            self.joined = false;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // One who was let in and never came: the notification goes on to the next by itself.
        self.leave();
    }
}
