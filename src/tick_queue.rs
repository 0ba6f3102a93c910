//! Who waits for sequence space, in the order they came, and the timer that lets them in.
//!
//! Whoever finds the tick used up, or others waiting already, goes to the end of the queue. At the
//! next tick the first one is let in; when it has had its turn and something is left, it lets in
//! the next. So a peer that always wants more is served no earlier than one that wants a single ID.

use core::cell::Cell;
use core::pin::Pin;
use core::time::Duration;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use coreflake_protocol::Tick;
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

use crate::timer::Timer;

/// The queue of one shard.
///
/// As long as somebody waits, the timer is armed or somebody has been let in and has not had its
/// turn: otherwise nobody would ever be let in again. Hence [`TickQueue::let_in_next`] after every
/// turn of one who was let in and does not go back to the end.
#[derive(Debug)]
pub(crate) struct TickQueue {
    timer: Timer,
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
        Ok(Self {
            timer: Timer::new()?,
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
            self.timer.arm(remaining)?;
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
            self.timer.fired().await?;
            self.armed_for.set(None);
            self.let_in_next();
        }
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
