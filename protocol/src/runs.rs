//! 64-bit IDs on the wire: runs of 12 bytes each, so a thousand consecutive IDs travel in the space
//! of one.

use core::num::NonZeroU32;

use crate::id::{Id, Run};

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
    pub fn iter(&self) -> impl Iterator<Item = Run> + Clone + use<'a> {
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
