//! Connections that ask for IDs all the time and write down what they get.

use std::collections::VecDeque;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use coreflake_protocol::{ErrorCode, Layout, Run};

use crate::common::frames::{self, generate};
use crate::common::{Peer, pause};

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) connections: usize,
    /// Requests under way on each connection.
    pub(crate) depth: usize,
    /// IDs per request.
    pub(crate) count: u32,
}

/// Batches, as fast as they come.
pub(crate) const BATCHES: Shape = Shape { connections: 3, depth: 6, count: 400 };

/// One ID at a time.
pub(crate) const SINGLES: Shape = Shape { connections: 2, depth: 1, count: 1 };

/// Connections that ask until they are told to stop.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Journal>>,
}

/// What they got.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    pub(crate) runs: Vec<Run>,
    pub(crate) answers: Vec<Answer>,
    pub(crate) refusals: Vec<Refused>,
    /// How many connections the server has closed.
    pub(crate) closed: usize,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    pub(crate) at: Instant,
    pub(crate) took: Duration,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Refused {
    pub(crate) at: Instant,
    pub(crate) code: ErrorCode,
    pub(crate) retry_after_ms: u32,
}

impl Load {
    pub(crate) fn start(server: SocketAddr, shape: Shape) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let ask = |_| {
            let (stop, peer) = (Arc::clone(&stop), Peer::connect(server));
            thread::spawn(move || ask(peer, shape, &stop))
        };
        let threads = (0..shape.connections).map(ask).collect();
        Self { stop, threads }
    }

    /// Lets the requests under way end.
    #[track_caller]
    pub(crate) fn finish(self) -> Journal {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Journal::default();
        for thread in self.threads {
            let one = thread.join().expect("a connection that goes as it should");
            all.runs.extend(one.runs);
            all.answers.extend(one.answers);
            all.refusals.extend(one.refusals);
            all.closed += one.closed;
        }
        all.answers.sort_unstable_by_key(|answer| answer.at);
        all.refusals.sort_unstable_by_key(|refused| refused.at);
        all
    }
}

/// Asks on one connection. Every ID has to be above the one before.
fn ask(mut peer: Peer, shape: Shape, stop: &AtomicBool) -> Journal {
    let mut journal = Journal::default();
    let mut under_way = VecDeque::new();
    let (mut request_id, mut last) = (0, 0);
    loop {
        while under_way.len() < shape.depth && !stop.load(Ordering::Relaxed) {
            request_id += 1;
            under_way.push_back((request_id, Instant::now()));
            // The read says whether the connection is closed.
            let _ = peer.stream().write_all(&generate(request_id, shape.count));
        }
        let Some((request_id, asked)) = under_way.pop_front() else { return journal };
        let Some(reply) = peer.try_reply() else {
            journal.closed += 1;
            return journal;
        };
        let at = Instant::now();
        assert_eq!(reply.request_id(), request_id);
        let Some(error) = reply.error() else {
            let runs = reply.runs();
            assert_eq!(frames::id_count(&runs), shape.count);
            last = frames::assert_ascending(last, &runs);
            journal.runs.extend(runs);
            journal.answers.push(Answer { at, took: at - asked });
            continue;
        };
        let (code, retry_after_ms) = (error.known_code().unwrap(), error.retry_after_ms);
        journal.refusals.push(Refused { at, code, retry_after_ms });
        pause(Duration::from_millis(2));
    }
}

impl Journal {
    #[track_caller]
    pub(crate) fn assert_no_refusals(&self) {
        assert!(self.refusals.is_empty(), "refused: {:?}", self.refusals.first());
        assert_eq!(self.closed, 0);
        assert!(!self.answers.is_empty());
    }

    /// Checks that everything that was refused was refused for this reason, with a hint when to
    /// come again.
    #[track_caller]
    pub(crate) fn assert_refused_for(&self, code: ErrorCode) {
        assert!(!self.refusals.is_empty(), "nothing was refused");
        for refused in &self.refusals {
            assert_eq!(refused.code, code, "{refused:?}");
            assert!(refused.retry_after_ms > 0, "no hint: {refused:?}");
        }
    }

    /// From `start` on: the first and the last refusal.
    pub(crate) fn refused_between(&self, start: Instant) -> Option<[Duration; 2]> {
        let times = [self.refusals.first()?.at, self.refusals.last()?.at];
        Some(times.map(|at| at.saturating_duration_since(start)))
    }

    /// The time that a share of the answers of a span took at most.
    pub(crate) fn took(&self, from: Instant, to: Instant, share: f64) -> Duration {
        let span = self.answers.iter().filter(|answer| (from..to).contains(&answer.at));
        let mut took: Vec<_> = span.map(|answer| answer.took).collect();
        took.sort_unstable();
        assert!(!took.is_empty(), "no answer in this span");
        #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)]
        #[allow(clippy::cast_sign_loss)]
        let at = ((took.len() - 1) as f64 * share) as usize;
        took[at]
    }

    /// The latest time in the IDs, in milliseconds since the Unix epoch.
    pub(crate) fn last_ms(&self) -> i64 {
        self.runs.iter().map(|run| ms_of(*run)).max().expect("IDs")
    }
}

/// The time in the last ID of a run.
pub(crate) fn ms_of(run: Run) -> i64 {
    i64::try_from(Layout::SNOWFLAKE.parse(run.last()).unix_ms).unwrap()
}
