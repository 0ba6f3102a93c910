//! The proof of uniqueness: every ID received goes into one set, on a thread of its own.

use std::io;
use std::mem;
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use crate::intervals::{INTERVALS_MAX, Interval, IntervalSet};
use crate::span::Span;

/// Intervals handed over at a time, 512 KiB: sorting it takes about a millisecond.
const CHUNK_INTERVALS: usize = 16 * 1024;
/// Chunks that may wait for the verifier, 32 MiB in all: a second of a million runs per second.
const CHUNKS_WAITING_MAX: usize = 64;
type Chunk = Vec<Interval>;

/// Collects the IDs of one worker thread.
#[derive(Debug)]
pub(crate) struct Recorder {
    chunk: Chunk,
    full: Sender<Chunk>,
    empty: Receiver<Chunk>,
    stalls: u64,
}

/// What is known about all IDs received.
#[derive(Debug)]
pub(crate) struct Proof {
    /// How many different IDs came.
    pub(crate) distinct: u64,
    /// How many came again.
    pub(crate) duplicates: u64,
    /// The first places where IDs came again.
    pub(crate) examples: Vec<Interval>,
    /// How many intervals of consecutive IDs the distinct ones make.
    pub(crate) intervals: usize,
    /// False when the set outgrew its bound and IDs were left out.
    pub(crate) complete: bool,
}

/// Starts the verifier and makes a recorder for each of `workers` threads. The verifier ends when
/// all recorders are gone.
pub(crate) fn start(workers: u32) -> io::Result<(Vec<Recorder>, JoinHandle<Proof>)> {
    let (full, to_verify) = bounded::<Chunk>(CHUNKS_WAITING_MAX);
    let (to_reuse, empty) = bounded::<Chunk>(CHUNKS_WAITING_MAX);
    let recorders = (0..workers)
        .map(|_| Recorder {
            chunk: Vec::with_capacity(CHUNK_INTERVALS),
            full: full.clone(),
            empty: empty.clone(),
            stalls: 0,
        })
        .collect();
    let verifier = thread::Builder::new().name("verifier".to_owned()).spawn(move || {
        let mut set = IntervalSet::new(INTERVALS_MAX);
        for mut chunk in to_verify {
            set.add(&mut chunk);
            chunk.clear();
            // A full list of empty chunks needs no more of them.
            let _ = to_reuse.try_send(chunk);
        }
        Proof::new(set)
    })?;
    Ok((recorders, verifier))
}

impl Recorder {
    /// Adds the IDs of `span` to the proof.
    pub(crate) fn push(&mut self, span: Span) {
        let (start, end) = (span.start(), span.end());
        if let Some(last) = self.chunk.last_mut()
            && last.end == start
        {
            last.end = end;
            return;
        }
        self.chunk.push(Interval { start, end });
        if self.chunk.len() == CHUNK_INTERVALS {
            let next = self.empty.try_recv();
            let next = next.unwrap_or_else(|_| Vec::with_capacity(CHUNK_INTERVALS));
            let full = mem::replace(&mut self.chunk, next);
            self.hand_over(full);
        }
    }

    /// Hands over what is left. Returns how often the verifier was too slow and held up the thread.
    pub(crate) fn finish(mut self) -> u64 {
        let rest = mem::take(&mut self.chunk);
        self.hand_over(rest);
        self.stalls
    }

    /// Waits when the verifier is behind: latency suffers, and the report says so, but no ID is
    /// lost.
    fn hand_over(&mut self, chunk: Chunk) {
        if let Err(TrySendError::Full(chunk)) = self.full.try_send(chunk) {
            self.stalls += 1;
            // It fails only when the verifier panicked, which joining it reports.
            let _ = self.full.send(chunk);
        }
    }
}

impl Proof {
    fn new(set: IntervalSet) -> Self {
        let summary = set.finish();
        let intervals = &summary.intervals;
        Self {
            distinct: intervals.iter().map(|interval| interval.len()).sum(),
            duplicates: summary.repeats.ids,
            intervals: intervals.len(),
            examples: summary.repeats.examples,
            complete: summary.complete,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use coreflake_protocol::{Id, Kind, Run};

    use super::*;

    fn run(first: u64, count: u32) -> Span {
        let count = NonZeroU32::new(count).unwrap();
        let run = Run::new(Id::new(first).unwrap(), count).unwrap();
        Span::of_run(Kind::Snowflake, run).unwrap()
    }

    #[test]
    fn duplicates_are_found_across_threads_and_chunks() {
        let (mut recorders, verifier) = start(2).unwrap();
        let last = 3 * CHUNK_INTERVALS as u64;
        for number in 0..last {
            recorders[0].push(run(number * 10, 3));
        }
        recorders[1].push(run(1, 1));
        recorders[1].push(run(last * 5 + 2, 2));
        assert_eq!(recorders.into_iter().map(Recorder::finish).sum::<u64>(), 0, "stalls");
        let proof = verifier.join().unwrap();
        assert_eq!((proof.duplicates, proof.distinct), (2, last * 3 + 1));
        assert!(proof.complete);
    }

    #[test]
    fn consecutive_runs_take_one_interval() {
        let (mut recorders, verifier) = start(1).unwrap();
        for number in 0..1_000_000 {
            recorders[0].push(run(number, 1));
        }
        assert_eq!(recorders.into_iter().map(Recorder::finish).sum::<u64>(), 0, "stalls");
        let proof = verifier.join().unwrap();
        assert_eq!((proof.duplicates, proof.distinct, proof.intervals), (0, 1_000_000, 1));
    }

    #[test]
    fn the_largest_id_fits() {
        let (mut recorders, verifier) = start(1).unwrap();
        recorders[0].push(run(Id::MAX.get(), 1));
        assert_eq!(recorders.into_iter().map(Recorder::finish).sum::<u64>(), 0, "stalls");
        let proof = verifier.join().unwrap();
        assert_eq!((proof.distinct, proof.intervals), (1, 1));
    }
}
