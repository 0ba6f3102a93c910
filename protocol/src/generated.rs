//! The payload of a GENERATE reply: runs of 64-bit IDs, or 128-bit IDs one by one.

use crate::any_id::AnyId;
use crate::frame;
use crate::id::Run;
use crate::kind::Kind;
use crate::request::Opcode;
use crate::runs::{RUN_SIZE, Runs};

/// Bytes of one 128-bit ID.
pub const WIDE_SIZE: usize = 16;

/// What a GENERATE reply carries. How to read it follows from the kind that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generated<'a> {
    bytes: &'a [u8],
}

/// The 128-bit IDs of a GENERATE reply, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WideIds<'a> {
    kind: Kind,
    bytes: &'a [u8],
}

impl<'a> Generated<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// The runs of a 64-bit kind, or `None` when one of them is no run or there is none.
    pub fn runs(&self) -> Option<Runs<'a>> {
        Runs::decode(self.bytes)
    }

    /// The IDs of a 128-bit kind, or `None` when one of them is none of this kind or there is none.
    pub fn wide(&self, kind: Kind) -> Option<WideIds<'a>> {
        let (ids, rest) = self.bytes.as_chunks::<WIDE_SIZE>();
        let whole = rest.is_empty() && !ids.is_empty();
        let valid = |id: &[u8; WIDE_SIZE]| AnyId::wide(kind, u128::from_be_bytes(*id)).is_ok();
        (whole && ids.iter().all(valid)).then_some(WideIds { kind, bytes: self.bytes })
    }
}

impl<'a> WideIds<'a> {
    /// The IDs in the order they were made.
    pub fn iter(&self) -> impl Iterator<Item = AnyId> + Clone + use<'a> {
        let kind = self.kind;
        let ids = self.bytes.as_chunks::<WIDE_SIZE>().0.iter();
        ids.filter_map(move |id| AnyId::wide(kind, u128::from_be_bytes(*id)).ok())
    }

    /// How many there are.
    pub const fn id_count(&self) -> u64 {
        (self.bytes.len() / WIDE_SIZE) as u64
    }
}

/// Writes a GENERATE reply piece by piece into a buffer that the caller owns. It holds no reference
/// to the buffer, so a reply that has to wait for the next tick can be set aside and continued.
#[derive(Debug)]
pub struct IdsWriter {
    start: usize,
    last: Option<Run>,
    is_empty: bool,
}

impl IdsWriter {
    /// Begins the reply to `request_id` at the end of `out`.
    pub fn begin(out: &mut Vec<u8>, request_id: u64) -> Self {
        Self {
            start: frame::begin(out, Opcode::Generate.reply(), request_id),
            last: None,
            is_empty: true,
        }
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
        self.is_empty = false;
    }

    /// Appends a 128-bit ID.
    pub fn push_wide(&mut self, out: &mut Vec<u8>, bits: u128) {
        out.extend_from_slice(&bits.to_be_bytes());
        self.is_empty = false;
    }

    /// Whether no ID has been written yet.
    pub const fn is_empty(&self) -> bool {
        self.is_empty
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
