//! Who waits for sequence space, in the order they came, and the timer that lets them in.
//!
//! Whoever finds the tick used up, or others waiting already, goes to the end of the queue. At the
//! next tick the first one is let in; when it has had its turn and something is left, it lets in
//! the next. So a peer that always wants more is served no earlier than one that wants a single ID.

use core::cell::Cell;
use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::task::Poll;
use core::time::Duration;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use coreflake_protocol::Kind;
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

use crate::timer::Timer;

/// The queues of one shard: one for each kind, for kinds take no numbers from each other.
#[derive(Debug)]
pub(crate) struct TickQueues([Rc<TickQueue>; Kind::ALL.len()]);

/// The queue of one kind.
///
/// As long as somebody waits, the timer is armed or somebody has been let in and has not had its
/// turn: otherwise nobody would ever be let in again. Hence [`TickQueue::let_in_next`] after every
/// turn of one who was let in and does not go back to the end.
#[derive(Debug)]
pub(crate) struct TickQueue {
    timer: Timer,
    armed_for_ms: Cell<Option<u64>>,
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

impl TickQueues {
    /// Makes the timers. To be called inside the runtime that will wait for them.
    pub(crate) fn new() -> io::Result<Self> {
        let new = || TickQueue::new().map(Rc::new);
        Ok(Self([new()?, new()?, new()?, new()?, new()?]))
    }

    /// The queue of this kind.
    pub(crate) const fn of(&self, kind: Kind) -> &Rc<TickQueue> {
        &self.0[kind.index()]
    }

    /// Lets the first in line in whenever a timer fires, for ever.
    pub(crate) async fn run(&self) -> io::Result<()> {
        let [a, b, c, d, e] = &self.0;
        tokio::try_join!(a.run(), b.run(), c.run(), d.run(), e.run())?;
        Ok(())
    }
}

impl TickQueue {
    fn new() -> io::Result<Self> {
        Ok(Self {
            timer: Timer::new()?,
            armed_for_ms: Cell::new(None),
            line: Arc::new(Notify::new()),
            waiting: Cell::new(0),
        })
    }

    /// Whether nobody waits. Who finds somebody waiting has to join.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.get() == 0
    }

    /// Sees to it that the first in line is let in at `unix_ms`, which is `remaining` from now.
    pub(crate) fn open_at(&self, unix_ms: u64, remaining: Duration) -> io::Result<()> {
        if self.armed_for_ms.get().is_none_or(|armed_ms| unix_ms < armed_ms) {
            self.timer.arm(remaining)?;
            self.armed_for_ms.set(Some(unix_ms));
        }
        Ok(())
    }

    /// Lets the first in line in, if there is one.
    pub(crate) fn let_in_next(&self) {
        if !self.is_empty() {
            self.line.notify_one();
        }
    }

    async fn run(&self) -> io::Result<()> {
        loop {
            self.timer.fired().await?;
            self.armed_for_ms.set(None);
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

    /// Waits until one of these is let in, and tells which. Those that are not in line never are.
    pub(crate) async fn first_let_in(places: &mut [Self]) -> usize {
        let first = poll_fn(|context| {
            let in_line = places.iter_mut().enumerate().filter(|(_, place)| place.joined);
            for (index, place) in in_line {
                if place.let_in.as_mut().poll(context).is_ready() {
                    return Poll::Ready(index);
                }
            }
            Poll::Pending
        });
        let index = first.await;
        places[index].leave();
        index
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
