//! The load over gRPC. A thread has a tokio runtime of its own with the HTTP/2 connections in it,
//! and follows the same schedule as the event loop over sockets does.
//!
//! Calls on one connection run side by side, so their replies have no order among each other. What
//! has to hold, and is checked: the IDs in a reply ascend, and a call made after a reply was
//! received brings higher IDs than that reply did.

mod channel;
mod line;
mod timer;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use coreflake_protocol::AnyId;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::runtime::{Builder, Runtime};
use tokio::time::{timeout, timeout_at};

use crate::clock::Clock;
use crate::ledger::{Flight, Ledger};
use crate::progress::Counters;
use crate::schedule::Schedule;
use crate::span::spans;
use crate::stats::Failure;
use crate::target::{CONNECT_TIMEOUT, LinkSettings, Target};
use crate::worker::{BREAKAGES_MAX, CLOSING_TIMEOUT, CLOSING_TIMEOUT_TOTAL, Outcome};
use line::{Call, Line, Reply};
use timer::Timer;

/// The connections of one thread, in the runtime that serves them.
#[derive(Debug)]
pub(crate) struct Hand {
    runtime: Runtime,
    lines: Vec<Line>,
}

/// One thread of the load.
pub(crate) struct Worker {
    lines: Vec<Line>,
    alive: usize,
    calls: FuturesUnordered<Call>,
    schedule: Schedule,
    ledger: Ledger,
    counters: Arc<Counters>,
    /// The IDs of one reply; kept to use its memory again.
    ids: Vec<AnyId>,
    breakages: Vec<String>,
}

/// Makes the connections, for `threads` threads: connection `c` goes to thread `c mod threads`. The
/// message of an error names the target.
pub(crate) fn connect(
    target: &Target,
    connections: u32,
    threads: u32,
    settings: LinkSettings,
    token: Option<&[u8]>,
) -> Result<Vec<Hand>, String> {
    let unreachable = |error: io::Error| target.unreachable(&error);
    let mut hands = (0..threads).map(|_| Hand::new()).collect::<io::Result<Vec<_>>>();
    let hands_made = hands.as_mut().map_err(|error| target.unreachable(error))?;
    let mut reached = None;
    let threads = hands_made.len();
    for number in 0..usize::try_from(connections).unwrap_or(usize::MAX) {
        let Hand { runtime, lines } = &mut hands_made[number % threads];
        let connect =
            |address| runtime.block_on(connect_one(address, target.authority(), settings, token));
        let line = match reached {
            Some(address) => connect(address).map_err(unreachable)?,
            None => {
                let (address, line) = target.reach(connect)?;
                reached = Some(address);
                line
            }
        };
        lines.push(line);
    }
    hands.map_err(unreachable)
}

async fn connect_one(
    address: SocketAddr,
    authority: &str,
    settings: LinkSettings,
    token: Option<&[u8]>,
) -> io::Result<Line> {
    let connected = timeout(CONNECT_TIMEOUT, Line::connect(address, authority, settings, token));
    connected.await.unwrap_or_else(|_| Err(io::Error::other("no answer in time")))
}

impl Hand {
    fn new() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        Ok(Self { runtime, lines: Vec::new() })
    }

    /// Waits for the start, runs to the end and closes the account. `schedule` is that of these
    /// connections.
    pub(crate) fn run(
        self,
        schedule: Schedule,
        ledger: Ledger,
        counters: Arc<Counters>,
        clock: &Clock,
    ) -> io::Result<Outcome> {
        let Self { runtime, lines } = self;
        let worker = Worker {
            alive: lines.len(),
            lines,
            calls: FuturesUnordered::new(),
            schedule,
            ledger,
            counters,
            ids: Vec::new(),
            breakages: Vec::new(),
        };
        runtime.block_on(worker.run(clock))
    }
}

impl Worker {
    async fn run(mut self, clock: &Clock) -> io::Result<Outcome> {
        let mut timer = Timer::new()?;
        while let Some(left) = clock.until_start() {
            timer.sleep(left).await?;
        }
        self.schedule.begin();
        let ended_ns = loop {
            let now_ns = clock.now_ns();
            if self.alive == 0 {
                break now_ns.min(self.schedule.end_ns());
            }
            self.schedule.mark_due(now_ns);
            self.send_ready(clock);
            self.counters.publish(&self.ledger.tally().whole_run);
            let calls = self.calls.len();
            if self.schedule.is_over(now_ns, || calls) {
                break self.schedule.end_ns();
            }
            timer.arm(self.schedule.wake_ns(now_ns), clock.now_ns())?;
            // Without a reply this waits for the timer, and then the runtime moves the bytes of the
            // connections: a plan that is behind cannot starve them.
            tokio::select! {
                biased;
                Some(reply) = self.calls.next() => self.take_ready(reply),
                fired = timer.fired() => fired?,
            }
        };
        Ok(self.close(ended_ns).await)
    }

    /// Makes the calls that the lines owe, as far as they have room.
    fn send_ready(&mut self, clock: &Clock) {
        while let Some(index) = self.schedule.pop_ready() {
            let line = &mut self.lines[index];
            if line.is_closed() {
                self.break_off(index, "the server closed the connection");
                continue;
            }
            let sent_ns = clock.now_ns();
            while line.has_room() {
                let Some(intended_ns) = self.schedule.intended_ns(index, sent_ns) else {
                    break;
                };
                let flight = Flight { intended_ns, sent_ns };
                self.calls.push(line.call(index, flight, *clock));
                self.schedule.pass(index);
                self.ledger.sent(flight);
            }
        }
    }

    /// Takes a reply, and all others that are there.
    fn take_ready(&mut self, first: Reply) {
        self.take(first);
        while let Some(Some(reply)) = self.calls.next().now_or_never() {
            self.take(reply);
        }
    }

    fn take(&mut self, reply: Reply) {
        let Reply { index, flight, mut order, received_ns, ids } = reply;
        let line = &mut self.lines[index];
        line.in_flight -= 1;
        match ids {
            Ok(found) if line::read_ids(line.settings.kind, &found, &mut self.ids) => {
                let spans = spans(&self.ids);
                self.ledger.answered(flight, spans, &line.expected, &mut order, received_ns);
                line.highest = line.highest.joined(order);
            }
            Ok(_) => self.ledger.failed(flight, Failure::InvalidReply),
            Err(status) if line::is_local(&status) && line.is_closed() => {
                self.ledger.failed(flight, Failure::Lost);
                self.break_off(index, &line::refusal(&status).to_string());
                return;
            }
            Err(status) => self.ledger.failed(flight, line::failure(&status)),
        }
        if self.schedule.has_backlog(index) {
            self.schedule.mark_ready(index);
        }
    }

    /// Goes on without a connection. Its calls come back by themselves.
    fn break_off(&mut self, index: usize, cause: &str) {
        let line = &mut self.lines[index];
        if line.is_broken {
            return;
        }
        line.is_broken = true;
        self.alive -= 1;
        self.ledger.broken(Failure::ConnectionClosed);
        if self.breakages.len() < BREAKAGES_MAX {
            self.breakages.push(format!("connection {}: {cause}", self.schedule.number(index)));
        }
    }

    async fn close(mut self, ended_ns: u64) -> Outcome {
        let start = Instant::now();
        for call in &self.calls {
            self.ledger.failed(call.flight, Failure::Lost);
        }
        let late = (start + CLOSING_TIMEOUT).into();
        while let Ok(Some(reply)) = timeout_at(late, self.calls.next()).await {
            let line = &self.lines[reply.index];
            if let Ok(found) = &reply.ids
                && line::read_ids(line.settings.kind, found, &mut self.ids)
            {
                self.ledger.late(spans(&self.ids), &line.expected);
            }
        }
        let mut answering = 0;
        for line in self.lines.iter_mut().filter(|line| !line.is_broken) {
            let end = (start + CLOSING_TIMEOUT_TOTAL).min(Instant::now() + CLOSING_TIMEOUT);
            if let Ok(Ok(())) = timeout_at(end.into(), line.close()).await {
                answering += 1;
            }
        }
        self.counters.publish(&self.ledger.tally().whole_run);
        let (passed, tally) = (self.schedule.passed(), self.ledger.finish());
        let breakages = self.breakages;
        Outcome { tally, ended_ns, passed, closing: Vec::new(), answering, breakages }
    }
}
