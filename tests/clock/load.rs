//! Connections that ask for IDs all the time and write down what they get.

use core::ops::RangeInclusive;
use std::collections::VecDeque;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use coreflake_protocol::{ErrorCode, Layout, Run};

use crate::common::frames::{self, generate};
use crate::common::{Peer, pause, until};
use crate::faked;

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
    board: Arc<Board>,
    threads: Vec<JoinHandle<Journal>>,
}

/// What the connections are told, and tell, while they ask.
#[derive(Default)]
struct Board {
    stop: AtomicBool,
    answers: AtomicU64,
    refusals: AtomicU64,
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
    pub(crate) asked: Instant,
    pub(crate) at: Instant,
    /// The time in the last of the IDs, in milliseconds since the Unix epoch.
    pub(crate) stamp_ms: i64,
    /// The true time when they were there.
    pub(crate) true_ms: i64,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Refused {
    pub(crate) asked: Instant,
    pub(crate) at: Instant,
    /// The true time when the refusal was there.
    pub(crate) true_ms: i64,
    pub(crate) code: ErrorCode,
    pub(crate) retry_after_ms: u32,
}

impl Load {
    pub(crate) fn start(server: SocketAddr, shape: Shape) -> Self {
        let board = Arc::new(Board::default());
        let ask = |_| {
            let (board, peer) = (Arc::clone(&board), Peer::connect(server));
            thread::spawn(move || ask(peer, shape, &board))
        };
        let threads = (0..shape.connections).map(ask).collect();
        Self { board, threads }
    }

    /// How many answers with IDs there are so far.
    pub(crate) fn answered(&self) -> u64 {
        self.board.answers.load(Ordering::Relaxed)
    }

    /// Waits for so many answers more.
    #[track_caller]
    pub(crate) fn wait_for_answers(&self, count: u64) {
        let enough = self.answered() + count;
        until("answers", || (self.answered() >= enough).then_some(()));
    }

    /// Waits for so many refusals more.
    #[track_caller]
    pub(crate) fn wait_for_refusals(&self, count: u64) {
        let refused = || self.board.refusals.load(Ordering::Relaxed);
        let enough = refused() + count;
        until("refusals", || (refused() >= enough).then_some(()));
    }

    /// Lets the requests under way end.
    #[track_caller]
    pub(crate) fn finish(self) -> Journal {
        self.board.stop.store(true, Ordering::Relaxed);
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
fn ask(mut peer: Peer, shape: Shape, board: &Board) -> Journal {
    let mut journal = Journal::default();
    let mut under_way = VecDeque::new();
    let (mut request_id, mut last) = (0, 0);
    loop {
        while under_way.len() < shape.depth && !board.stop.load(Ordering::Relaxed) {
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
        // In this order: who is held up between the two takes the answer for a slower one.
        let (true_ms, at) = (faked::true_ms(), Instant::now());
        assert_eq!(reply.request_id(), request_id);
        let Some(error) = reply.error() else {
            let runs = reply.runs();
            assert_eq!(frames::id_count(&runs), shape.count);
            last = frames::assert_ascending(last, &runs);
            let stamp_ms = ms_of(*runs.last().expect("IDs"));
            journal.runs.extend(runs);
            journal.answers.push(Answer { asked, at, stamp_ms, true_ms });
            board.answers.fetch_add(1, Ordering::Relaxed);
            continue;
        };
        let (code, retry_after_ms) = (error.known_code().unwrap(), error.retry_after_ms);
        journal.refusals.push(Refused { asked, at, true_ms, code, retry_after_ms });
        board.refusals.fetch_add(1, Ordering::Relaxed);
        pause(Duration::from_millis(2));
    }
}

impl Answer {
    /// How far the time in the IDs is ahead of the true one, at least and at most: nobody knows
    /// when between the question and the answer they were made.
    pub(crate) fn ahead_ms(&self) -> RangeInclusive<i64> {
        let took_ms = i64::try_from((self.at - self.asked).as_millis()).unwrap() + 1;
        let least_ms = self.stamp_ms - self.true_ms;
        least_ms..=least_ms + took_ms
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

    /// The time that a share of the answers that are so took at most, if there are any.
    pub(crate) fn took(&self, is_so: impl Fn(&Answer) -> bool, share: f64) -> Option<Duration> {
        let some = self.answers.iter().filter(|answer| is_so(answer));
        let mut took: Vec<_> = some.map(|answer| answer.at - answer.asked).collect();
        took.sort_unstable();
        #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)]
        #[allow(clippy::cast_sign_loss)]
        let at = (took.len().saturating_sub(1) as f64 * share) as usize;
        took.get(at).copied()
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
