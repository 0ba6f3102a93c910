//! Runs on the wire: 12 bytes each, so a thousand consecutive IDs travel in the space of one.

use core::num::NonZeroU32;

use crate::frame;
use crate::id::{Id, Run};
use crate::request::Opcode;

/// Bytes of one run: first ID u64, count u32.
pub const RUN_SIZE: usize = 12;

/// The runs of a GENERATE reply, checked when the reply was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Runs<'a> {
    bytes: &'a [u8],
}

impl<'a> Runs<'a> {
    /// The runs in `bytes`, or `None` when one of them is no run or there is none.
    pub(crate) fn decode(bytes: &'a [u8]) -> Option<Self> {
        let (runs, rest) = bytes.as_chunks::<RUN_SIZE>();
        let whole = rest.is_empty() && !runs.is_empty();
        (whole && runs.iter().all(|run| decode_run(run).is_some())).then_some(Self { bytes })
    }

    /// The runs in the order they were made.
    pub fn iter(&self) -> impl Iterator<Item = Run> + Clone + 'a {
        self.bytes.as_chunks::<RUN_SIZE>().0.iter().filter_map(decode_run)
    }

    /// How many IDs the runs hold together.
    pub fn id_count(&self) -> u64 {
        self.iter().map(|run| u64::from(run.count().get())).sum()
    }
}

fn decode_run(bytes: &[u8; RUN_SIZE]) -> Option<Run> {
    let [f0, f1, f2, f3, f4, f5, f6, f7, c0, c1, c2, c3] = *bytes;
    let first = Id::new(u64::from_be_bytes([f0, f1, f2, f3, f4, f5, f6, f7]))?;
    Run::new(first, NonZeroU32::new(u32::from_be_bytes([c0, c1, c2, c3]))?)
}

/// Writes a GENERATE reply piece by piece into a buffer that the caller owns. It holds no reference
/// to the buffer, so a reply that has to wait for the next tick can be set aside and continued.
#[derive(Debug)]
pub struct RunsWriter {
    start: usize,
    last: Option<Run>,
}

impl RunsWriter {
    /// Begins the reply to `request_id` at the end of `out`.
    pub fn begin(out: &mut Vec<u8>, request_id: u64) -> Self {
        Self { start: frame::begin(out, Opcode::Generate.reply(), request_id), last: None }
    }

    /// Appends a run, or makes the last one longer when `run` continues it.
    pub fn push(&mut self, out: &mut Vec<u8>, run: Run) {
        let joined = self.last.and_then(|last| last.join(run));
        if joined.is_some() {
            out.truncate(out.len() - RUN_SIZE);
        }
        let run = joined.unwrap_or(run);
        out.extend_from_slice(&run.first().get().to_be_bytes());
        out.extend_from_slice(&run.count().get().to_be_bytes());
        self.last = Some(run);
    }

    /// Whether no run has been written yet.
    pub const fn is_empty(&self) -> bool {
        self.last.is_none()
    }

    /// Where in the buffer the reply begins: everything before it is complete.
    pub const fn start(&self) -> usize {
        self.start
    }

    /// Tells the writer that `size` bytes were taken from the front of its buffer.
    ///
    /// # Panics
    ///
    /// When the reply itself would be cut.
    pub fn shift(&mut self, size: usize) {
        assert!(size <= self.start, "the reply is not complete");
        self.start -= size;
    }

    /// Completes the reply.
    pub fn finish(self, out: &mut [u8]) {
        frame::finish(out, self.start);
    }

    /// Takes the reply back, as if it had never begun.
    pub fn cancel(self, out: &mut Vec<u8>) {
        out.truncate(self.start);
    }
}
