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

use crate::again::Again;
use crate::clock::Clock;
use crate::ledger::{Flight, Ledger};
use crate::progress::Counters;
use crate::schedule::Schedule;
use crate::stats::{Failure, Tally};
use crate::target::{Connected, Link};
use crate::tcp::SCRATCH_SIZE;

/// Events taken per wake; with more than this many sockets ready the rest follow at the next.
const EVENTS_MAX: usize = 1024;
/// The shortest time between two searches for lost requests.
const EXPIRY_INTERVAL_NS: u64 = 1_000_000;
/// For the closing question on one connection, and on all of a thread.
pub(crate) const CLOSING_TIMEOUT: Duration = Duration::from_secs(1);
pub(crate) const CLOSING_TIMEOUT_TOTAL: Duration = Duration::from_secs(2);
/// Broken connections described in the report.
pub(crate) const BREAKAGES_MAX: usize = 4;
/// A sleep ends this close to its time; the kernel's default of 50 us would show in every
/// percentile.
const TIMER_SLACK_NS: NonZeroU64 = NonZeroU64::MIN;

/// The event loop of one thread.
#[derive(Debug)]
pub(crate) struct Worker {
    epoll: OwnedFd,
    lines: Vec<Line>,
    alive: usize,
    schedule: Schedule,
    /// When the search for lost requests may find one.
    expiry_ns: u64,
    ledger: Ledger,
    counters: Arc<Counters>,
    scratch: Box<[u8]>,
    breakages: Vec<String>,
    /// How to connect anew, if that is wanted.
    again: Option<Again>,
    /// When the next attempt is to be made, while a connection is missing.
    again_ns: u64,
}

/// A connection while it lasts.
#[derive(Debug)]
struct Line {
    link: Option<Link>,
    awaits_writable: bool,
    /// Perhaps to another process, whose counters began anew.
    is_anew: bool,
}

/// What a thread brings back.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) tally: Tally,
    /// When sending ended: earlier than planned if no connection was left.
    pub(crate) ended_ns: u64,
    /// Numbers of the connections, and how many requests of the plan each sent or gave up.
    pub(crate) passed: Vec<(u64, u64)>,
    /// What the server said of itself at the end, if it says so much, on connections that lasted.
    pub(crate) closing: Vec<Info>,
    /// On how many connections it answered at the end.
    pub(crate) answering: usize,
    /// The first few connections that broke, and why.
    pub(crate) breakages: Vec<String>,
}

impl Worker {
    /// `schedule` is that of these connections.
    pub(crate) fn new(
        connections: Vec<Connected>,
        schedule: Schedule,
        ledger: Ledger,
        counters: Arc<Counters>,
        again: Option<Again>,
    ) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let alive = connections.len();
        let mut lines = Vec::with_capacity(alive);
        for (index, Connected { link, info: _ }) in connections.into_iter().enumerate() {
            epoll::add(&epoll, &link, EventData::new_u64(index as u64), EventFlags::IN)?;
            lines.push(Line { link: Some(link), awaits_writable: false, is_anew: false });
        }
        Ok(Self {
            epoll,
            lines,
            alive,
            schedule,
            expiry_ns: u64::MAX,
            ledger,
            counters,
            scratch: vec![0; SCRATCH_SIZE].into_boxed_slice(),
            breakages: Vec::new(),
            again,
            again_ns: u64::MAX,
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
        self.schedule.begin();
        let ended_ns = loop {
            let now_ns = clock.now_ns();
            self.connect_again(now_ns)?;
            if self.alive == 0 && self.again_ns == u64::MAX {
                break now_ns.min(self.schedule.end_ns());
            }
            self.schedule.mark_due(now_ns);
            self.expire(now_ns);
            self.send_ready(clock);
            self.counters.publish(&self.ledger.tally().whole_run);
            let Self { lines, schedule, .. } = &mut self;
            if schedule.is_over(now_ns, || in_flight(lines)) {
                break schedule.end_ns();
            }
            let wake_ns = self.schedule.wake_ns(now_ns).min(self.expiry_ns).min(self.again_ns);
            let timeout = Duration::from_nanos(wake_ns.saturating_sub(clock.now_ns()));
            self.wait(&mut events, timeout)?;
            self.receive(&events, clock);
        };
        Ok(self.close(ended_ns))
    }

    fn send_ready(&mut self, clock: &Clock) {
        while let Some(index) = self.schedule.pop_ready() {
            if let Err(error) = self.fill(index, clock) {
                self.break_off(index, &error, clock);
            }
        }
    }

    /// Makes connections anew that broke, each at most once in a while.
    fn connect_again(&mut self, now_ns: u64) -> io::Result<()> {
        let Some(again) = self.again.as_ref().filter(|_| now_ns >= self.again_ns) else {
            return Ok(());
        };
        self.again_ns = u64::MAX;
        for index in 0..self.lines.len() {
            if self.lines[index].link.is_some() {
                continue;
            }
            let Ok(Connected { link, info: _ }) = again.connect() else {
                // Where one is turned away, the others are.
                self.again_ns = Again::next_ns(now_ns);
                break;
            };
            epoll::add(&self.epoll, &link, EventData::new_u64(index as u64), EventFlags::IN)?;
            self.lines[index] = Line { link: Some(link), awaits_writable: false, is_anew: true };
            self.alive += 1;
            self.schedule.mark_ready(index);
        }
        Ok(())
    }

    /// Sends what a line owes, as far as it has room.
    fn fill(&mut self, index: usize, clock: &Clock) -> io::Result<()> {
        let line = &mut self.lines[index];
        let Some(link) = &mut line.link else {
            return Ok(());
        };
        let sent_ns = clock.now_ns();
        let mut is_writable = true;
        while is_writable && link.has_room() {
            let Some(intended_ns) = self.schedule.intended_ns(index, sent_ns) else {
                break;
            };
            let flight = Flight { intended_ns, sent_ns };
            is_writable = link.send(flight)?;
            if is_writable {
                self.schedule.pass(index);
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
                self.schedule.mark_ready(index);
            }
        }
        self.expiry_ns = next_ns.max(now_ns + EXPIRY_INTERVAL_NS);
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
                self.schedule.mark_ready(index);
            }
            if !({ event.flags }).intersects(EventFlags::IN | EventFlags::ERR | EventFlags::HUP) {
                continue;
            }
            let line = &mut self.lines[index];
            if let Some(link) = &mut line.link {
                match link.receive(&mut self.scratch, &mut self.ledger, clock) {
                    Ok(()) if self.schedule.has_backlog(index) => self.schedule.mark_ready(index),
                    Ok(()) => {}
                    Err(error) => self.break_off(index, &error, clock),
                }
            }
        }
    }

    /// Goes on without a connection, for a while or for good.
    fn break_off(&mut self, index: usize, error: &io::Error, clock: &Clock) {
        let line = &mut self.lines[index];
        let Some(mut link) = line.link.take() else {
            return;
        };
        self.alive -= 1;
        if self.again.is_some() {
            self.again_ns = self.again_ns.min(Again::next_ns(clock.now_ns()));
        }
        link.abandon(&mut self.ledger);
        self.ledger.broken(match error.kind() {
            io::ErrorKind::InvalidData => Failure::InvalidReply,
            _ => Failure::ConnectionClosed,
        });
        if self.breakages.len() < BREAKAGES_MAX {
            self.breakages.push(format!("connection {}: {error}", self.schedule.number(index)));
        }
    }

    fn close(mut self, ended_ns: u64) -> Outcome {
        let deadline = Instant::now() + CLOSING_TIMEOUT_TOTAL;
        let (mut closing, mut answering) = (Vec::new(), 0);
        for link in self.lines.iter_mut().filter_map(|line| line.link.as_mut()) {
            link.abandon(&mut self.ledger);
        }
        for Line { link, is_anew, .. } in &mut self.lines {
            let Some(link) = link else {
                continue;
            };
            let deadline = deadline.min(Instant::now() + CLOSING_TIMEOUT);
            if let Ok(info) = link.close(deadline, &mut self.ledger) {
                closing.extend(info.filter(|_| !*is_anew));
                answering += 1;
            }
        }
        let passed = self.schedule.passed();
        self.counters.publish(&self.ledger.tally().whole_run);
        let tally = self.ledger.finish();
        Outcome { tally, ended_ns, passed, closing, answering, breakages: self.breakages }
    }
}

fn in_flight(lines: &[Line]) -> usize {
    lines.iter().filter_map(|line| line.link.as_ref()).map(Link::in_flight).sum()
}
