//! One thread of the load generator: an event loop over its connections. Replies are taken first,
//! then requests whose time has come leave, then it sleeps until the next one is due or something
//! arrives.

use std::io;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::{Duration, Instant};

use coreflake_protocol::Info;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustix::time::Timespec;

use crate::clock::Clock;
use crate::ledger::{Flight, Ledger};
use crate::plan::Cursor;
use crate::progress::Counters;
use crate::stats::{Failure, Tally};
use crate::target::{Connected, Link};
use crate::tcp::SCRATCH_SIZE;

/// Events taken per wake; with more than this many sockets ready the rest follow at the next.
const EVENTS_MAX: usize = 1024;
/// How long replies may take after the last request was sent.
const DRAIN_NS: u64 = 1_000_000_000;
/// The shortest time between two searches for lost requests.
const EXPIRY_INTERVAL_NS: u64 = 1_000_000;
/// For the closing INFO on one connection, and on all of a thread.
const CLOSING_TIMEOUT: Duration = Duration::from_secs(1);
const CLOSING_TIMEOUT_TOTAL: Duration = Duration::from_secs(2);
/// Broken connections described in the report.
pub(crate) const BREAKAGES_MAX: usize = 4;
/// A sleep ends this close to its time; the kernel's default of 50 us would show in every
/// percentile.
const TIMER_SLACK_NS: NonZeroU64 = NonZeroU64::MIN;

/// When requests leave.
#[derive(Debug)]
pub(crate) enum Pace {
    /// By a plan.
    Open(Cursor),
    /// When there is room.
    Closed,
}

/// Where warmup ends and where sending ends, in nanoseconds since the start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Phases {
    pub(crate) warmup_ns: u64,
    pub(crate) end_ns: u64,
}

/// The event loop of one thread.
#[derive(Debug)]
pub(crate) struct Worker {
    epoll: OwnedFd,
    lines: Vec<Line>,
    /// Lines that may have something to send, each once.
    ready: Vec<usize>,
    alive: usize,
    pace: Pace,
    phases: Phases,
    is_warm: bool,
    /// False once the requests that were due at the end have had their chance.
    is_sending: bool,
    /// When the search for lost requests may find one.
    expiry_ns: u64,
    ledger: Ledger,
    counters: Arc<Counters>,
    scratch: Box<[u8]>,
    breakages: Vec<String>,
}

/// A connection and where it stands in the plan.
#[derive(Debug)]
struct Line {
    /// Counted over the whole run.
    number: u64,
    link: Option<Link>,
    /// Requests whose time has come.
    due: u64,
    /// Of these, sent or given up: the number of the next one to send.
    passed: u64,
    is_ready: bool,
    awaits_writable: bool,
}

/// What a thread brings back.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) tally: Tally,
    /// When sending ended: earlier than planned if no connection was left.
    pub(crate) ended_ns: u64,
    /// Numbers of the connections, and how many requests of the plan each sent or gave up.
    pub(crate) passed: Vec<(u64, u64)>,
    /// What the server said of itself at the end, on each connection left.
    pub(crate) closing: Vec<Info>,
    /// The first few connections that broke, and why.
    pub(crate) breakages: Vec<String>,
}

impl Worker {
    /// `connections` are the numbers within the run and the links of this thread.
    pub(crate) fn new(
        connections: Vec<(u64, Connected)>,
        pace: Pace,
        phases: Phases,
        ledger: Ledger,
        counters: Arc<Counters>,
    ) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let alive = connections.len();
        let mut lines = Vec::with_capacity(alive);
        for (index, (number, Connected { link, info: _ })) in connections.into_iter().enumerate() {
            epoll::add(&epoll, &link, EventData::new_u64(index as u64), EventFlags::IN)?;
            lines.push(Line {
                number,
                link: Some(link),
                due: 0,
                passed: 0,
                is_ready: false,
                awaits_writable: false,
            });
        }
        Ok(Self {
            epoll,
            ready: Vec::with_capacity(lines.len()),
            lines,
            alive,
            pace,
            phases,
            is_warm: false,
            is_sending: true,
            expiry_ns: u64::MAX,
            ledger,
            counters,
            scratch: vec![0; SCRATCH_SIZE].into_boxed_slice(),
            breakages: Vec::new(),
        })
    }

    /// Waits for the start, runs to the end and closes the account.
    pub(crate) fn run(mut self, clock: &Clock) -> io::Result<Outcome> {
        // Best effort: without it, sleeps end up to 50 us late.
        let _ = rustix::thread::set_current_timer_slack(Some(TIMER_SLACK_NS));
        let mut events = Vec::with_capacity(EVENTS_MAX);
        while let Some(left) = clock.until_start() {
            self.wait(&mut events, left)?;
        }
        if matches!(self.pace, Pace::Closed) {
            (0..self.lines.len()).for_each(|index| self.mark_ready(index));
        }
        let Phases { end_ns, .. } = self.phases;
        let drained_ns = end_ns + DRAIN_NS;
        let ended_ns = loop {
            let now_ns = clock.now_ns();
            if self.alive == 0 {
                break now_ns.min(end_ns);
            }
            self.mark_due(now_ns);
            self.expire(now_ns);
            self.send_ready(clock);
            self.counters.publish(&self.ledger.tally().whole_run);
            self.is_sending = now_ns < end_ns;
            if !self.is_sending && (now_ns >= drained_ns || self.in_flight() == 0) {
                break end_ns;
            }
            let wake_ns = self.wake_ns(if self.is_sending { end_ns } else { drained_ns });
            let timeout = Duration::from_nanos(wake_ns.saturating_sub(clock.now_ns()));
            self.wait(&mut events, timeout)?;
            self.receive(&events, clock);
        };
        Ok(self.close(ended_ns))
    }

    fn in_flight(&self) -> usize {
        self.lines.iter().filter_map(|line| line.link.as_ref()).map(Link::in_flight).sum()
    }

    /// Counts the requests whose time has come.
    fn mark_due(&mut self, now_ns: u64) {
        let Phases { warmup_ns, end_ns } = self.phases;
        let Pace::Open(cursor) = &mut self.pace else {
            return;
        };
        let mut due_ns = cursor.due_ns();
        while due_ns <= now_ns && due_ns < end_ns {
            let index = cursor.advance();
            let line = &mut self.lines[index];
            line.due += 1;
            if !line.is_ready {
                line.is_ready = true;
                self.ready.push(index);
            }
            due_ns = cursor.due_ns();
        }
        if !self.is_warm && now_ns >= warmup_ns {
            self.is_warm = true;
            // Measuring begins without a backlog: what the warmup could not send is given up.
            for line in &mut self.lines {
                line.passed = line.passed.max(cursor.plan().rounds_before(line.number, warmup_ns));
            }
        }
    }

    fn mark_ready(&mut self, index: usize) {
        let line = &mut self.lines[index];
        if !line.is_ready {
            line.is_ready = true;
            self.ready.push(index);
        }
    }

    fn send_ready(&mut self, clock: &Clock) {
        for position in 0..self.ready.len() {
            let index = self.ready[position];
            self.lines[index].is_ready = false;
            if let Err(error) = self.fill(index, clock) {
                self.break_off(index, &error);
            }
        }
        self.ready.clear();
    }

    /// Sends what a line owes, as far as it has room.
    fn fill(&mut self, index: usize, clock: &Clock) -> io::Result<()> {
        let line = &mut self.lines[index];
        let Some(link) = &mut line.link else {
            return Ok(());
        };
        let sent_ns = clock.now_ns();
        let mut is_writable = true;
        while is_writable && link.has_room() && self.is_sending {
            let intended_ns = match &self.pace {
                Pace::Closed if sent_ns < self.phases.end_ns => sent_ns,
                Pace::Open(cursor) if line.passed < line.due => {
                    cursor.plan().intended_ns(line.number, line.passed)
                }
                Pace::Open(_) | Pace::Closed => break,
            };
            let flight = Flight { intended_ns, sent_ns };
            is_writable = link.send(flight)?;
            if is_writable {
                line.passed += 1;
                self.ledger.sent(flight);
                let deadline_ns = link.deadline_ns(flight).unwrap_or(u64::MAX);
                self.expiry_ns = self.expiry_ns.min(deadline_ns);
            }
        }
        is_writable &= link.flush()?;
        if line.awaits_writable == is_writable {
            line.awaits_writable = !is_writable;
            let wanted =
                if is_writable { EventFlags::IN } else { EventFlags::IN | EventFlags::OUT };
            epoll::modify(&self.epoll, &*link, EventData::new_u64(index as u64), wanted)?;
        }
        Ok(())
    }

    /// Gives up on lost requests, which makes room for others.
    fn expire(&mut self, now_ns: u64) {
        if now_ns < self.expiry_ns {
            return;
        }
        let mut next_ns = u64::MAX;
        for index in 0..self.lines.len() {
            if let Some(link) = &mut self.lines[index].link {
                next_ns = next_ns.min(link.expire(now_ns, &mut self.ledger).unwrap_or(u64::MAX));
                self.mark_ready(index);
            }
        }
        self.expiry_ns = next_ns.max(now_ns + EXPIRY_INTERVAL_NS);
    }

    /// When something has to be done even if nothing arrives, `end_ns` at the latest.
    fn wake_ns(&self, end_ns: u64) -> u64 {
        let due_ns = match &self.pace {
            Pace::Open(cursor) => {
                Some(cursor.due_ns()).filter(|due_ns| *due_ns < self.phases.end_ns)
            }
            Pace::Closed => None,
        };
        end_ns.min(self.expiry_ns).min(due_ns.unwrap_or(u64::MAX))
    }

    fn wait(&self, events: &mut Vec<epoll::Event>, timeout: Duration) -> io::Result<()> {
        // A run is shorter than the range of a timespec, so this cannot fail.
        let timeout = Timespec::try_from(timeout).ok();
        events.clear();
        let room = rustix::buffer::spare_capacity(events);
        match epoll::wait(&self.epoll, room, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn receive(&mut self, events: &[epoll::Event], clock: &Clock) {
        for event in events {
            let Ok(index) = usize::try_from(event.data.u64()) else {
                continue;
            };
            if ({ event.flags }).contains(EventFlags::OUT) {
                self.mark_ready(index);
            }
            if !({ event.flags }).intersects(EventFlags::IN | EventFlags::ERR | EventFlags::HUP) {
                continue;
            }
            let line = &mut self.lines[index];
            let has_backlog = line.passed < line.due || matches!(self.pace, Pace::Closed);
            if let Some(link) = &mut line.link {
                match link.receive(&mut self.scratch, &mut self.ledger, clock) {
                    Ok(()) if has_backlog => self.mark_ready(index),
                    Ok(()) => {}
                    Err(error) => self.break_off(index, &error),
                }
            }
        }
    }

    /// Goes on without a connection.
    fn break_off(&mut self, index: usize, error: &io::Error) {
        let line = &mut self.lines[index];
        let Some(mut link) = line.link.take() else {
            return;
        };
        self.alive -= 1;
        link.abandon(&mut self.ledger);
        self.ledger.broken(match error.kind() {
            io::ErrorKind::InvalidData => Failure::InvalidReply,
            _ => Failure::ConnectionClosed,
        });
        if self.breakages.len() < BREAKAGES_MAX {
            self.breakages.push(format!("connection {}: {error}", line.number));
        }
    }

    fn close(mut self, ended_ns: u64) -> Outcome {
        let deadline = Instant::now() + CLOSING_TIMEOUT_TOTAL;
        let mut closing = Vec::with_capacity(self.alive);
        for link in self.lines.iter_mut().filter_map(|line| line.link.as_mut()) {
            link.abandon(&mut self.ledger);
        }
        for link in self.lines.iter_mut().filter_map(|line| line.link.as_mut()) {
            let deadline = deadline.min(Instant::now() + CLOSING_TIMEOUT);
            closing.extend(link.closing_info(deadline, &mut self.ledger).ok());
        }
        let passed = self.lines.iter().map(|line| (line.number, line.passed)).collect();
        self.counters.publish(&self.ledger.tally().whole_run);
        let tally = self.ledger.finish();
        Outcome { tally, ended_ns, passed, closing, breakages: self.breakages }
    }
}
