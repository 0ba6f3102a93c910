//! What the connections of one thread owe at a time: the plan, and how far each has come in it.

use std::collections::VecDeque;

use crate::clock::nanoseconds;
use crate::plan::Cursor;
use crate::stop::{STOP_CHECK, Stop};

/// How long replies may take after the last request was sent: the gateway of a server lets requests
/// wait for 2 s.
const DRAIN_NS: u64 = 2_500_000_000;

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

/// The plan of one thread, and who has something to send.
#[derive(Debug)]
pub(crate) struct Schedule {
    pace: Pace,
    phases: Phases,
    stop: Stop,
    is_warm: bool,
    /// False once the requests that were due at the end have had their chance.
    is_sending: bool,
    lines: Vec<Line>,
    /// Lines that may have something to send, each once.
    ready: VecDeque<usize>,
}

/// Where a connection stands in the plan.
#[derive(Debug)]
struct Line {
    /// Counted over the whole run.
    number: u64,
    /// Requests whose time has come.
    due: u64,
    /// Of these, sent or given up: the number of the next one to send.
    passed: u64,
    is_ready: bool,
}

impl Schedule {
    /// `numbers` are those of the thread's connections within the run.
    pub(crate) fn new(
        numbers: impl IntoIterator<Item = u64>,
        pace: Pace,
        phases: Phases,
        stop: Stop,
    ) -> Self {
        let lines = numbers.into_iter();
        let lines: Vec<_> =
            lines.map(|number| Line { number, due: 0, passed: 0, is_ready: false }).collect();
        let ready = VecDeque::with_capacity(lines.len());
        Self { pace, phases, stop, is_warm: false, is_sending: true, lines, ready }
    }

    /// The run begins: without a plan, every line may send at once.
    pub(crate) fn begin(&mut self) {
        if matches!(self.pace, Pace::Closed) {
            (0..self.lines.len()).for_each(|index| self.mark_ready(index));
        }
    }

    /// Counts the requests whose time has come.
    pub(crate) fn mark_due(&mut self, now_ns: u64) {
        self.phases.end_ns = self.stop.end_ns(self.phases.end_ns, now_ns);
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
                self.ready.push_back(index);
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

    pub(crate) fn mark_ready(&mut self, index: usize) {
        let line = &mut self.lines[index];
        if !line.is_ready {
            line.is_ready = true;
            self.ready.push_back(index);
        }
    }

    /// A line that may have something to send.
    pub(crate) fn pop_ready(&mut self) -> Option<usize> {
        let index = self.ready.pop_front()?;
        self.lines[index].is_ready = false;
        Some(index)
    }

    /// When the request that a line may send at `now_ns` should have left; `None` if it owes none.
    pub(crate) fn intended_ns(&self, index: usize, now_ns: u64) -> Option<u64> {
        let line = &self.lines[index];
        match &self.pace {
            Pace::Closed => (self.is_sending && now_ns < self.phases.end_ns).then_some(now_ns),
            Pace::Open(cursor) => (self.is_sending && line.passed < line.due)
                .then(|| cursor.plan().intended_ns(line.number, line.passed)),
        }
    }

    /// The request that [`Schedule::intended_ns`] named was sent.
    pub(crate) fn pass(&mut self, index: usize) {
        self.lines[index].passed += 1;
    }

    /// Whether a line would send as soon as it has room.
    pub(crate) fn has_backlog(&self, index: usize) -> bool {
        let line = &self.lines[index];
        line.passed < line.due || matches!(self.pace, Pace::Closed)
    }

    /// Whether the run is over at `now_ns`, with so many requests still out. From its end on
    /// nothing is sent.
    pub(crate) fn is_over(&mut self, now_ns: u64, in_flight: impl FnOnce() -> usize) -> bool {
        self.is_sending = now_ns < self.phases.end_ns;
        !self.is_sending && (now_ns >= self.drained_ns() || in_flight() == 0)
    }

    /// When something has to be done even if nothing arrives.
    pub(crate) fn wake_ns(&self, now_ns: u64) -> u64 {
        let end_ns = self.phases.end_ns;
        let due_ns = match &self.pace {
            Pace::Open(cursor) => Some(cursor.due_ns()).filter(|due_ns| *due_ns < end_ns),
            Pace::Closed => None,
        };
        let wake_ns = if self.is_sending { end_ns } else { self.drained_ns() };
        wake_ns.min(due_ns.unwrap_or(u64::MAX)).min(now_ns + nanoseconds(STOP_CHECK))
    }

    /// When sending ends.
    pub(crate) const fn end_ns(&self) -> u64 {
        self.phases.end_ns
    }

    pub(crate) fn number(&self, index: usize) -> u64 {
        self.lines[index].number
    }

    /// Numbers of the connections, and how many requests of the plan each sent or gave up.
    pub(crate) fn passed(&self) -> Vec<(u64, u64)> {
        self.lines.iter().map(|line| (line.number, line.passed)).collect()
    }

    const fn drained_ns(&self) -> u64 {
        self.phases.end_ns + DRAIN_NS
    }
}
