//! How the bits of a 64-bit ID are shared: layout as data.
//!
//! ```text
//!  63  62                                  22 21       17 16       12 11                 0
//! +---+--------------------------------------+-----------+-----------+--------------------+
//! | 0 | timestamp: ticks since the epoch (41)| dc (5)    | worker (5)| sequence (12)      |
//! +---+--------------------------------------+-----------+-----------+--------------------+
//! ```

use core::fmt;
use core::num::NonZeroU32;

use crate::id::{Id, Parts, Run, Sequence, Slot, Tick};
use crate::scale::{Scale, TickError};
use crate::widths::Widths;

/// Bit widths, tick and epoch of a 64-bit ID. The widths always fill the 63 bits below the sign, or
/// the 53 bits that a floating-point number keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Layout {
    widths: Widths,
    scale: Scale,
}

/// Why bit widths, tick and epoch do not make a layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayoutError {
    /// The widths add up to this instead of 63 or 53.
    Total(u16),
    /// Datacenter and worker bits together exceed 16.
    SlotTooWide(u16),
    /// The worker has this many bits: more than 15.
    WorkerWidth(u8),
    /// The sequence has no bit, or more than 23.
    SequenceWidth(u8),
    /// A tick lasts this many milliseconds instead of 1 or 10.
    TickLength(u8),
    /// The last tick lies beyond what a 64-bit count of milliseconds holds.
    Epoch(u64),
}

/// A number that its field cannot hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RangeError {
    /// The field, as it is called in configuration and metrics.
    pub field: &'static str,
    /// The number that was given.
    pub value: u64,
    /// The largest number allowed; the smallest is 0.
    pub max: u64,
}

const ID_BITS: u16 = 63;
const JAVASCRIPT_ID_BITS: u16 = 53;
const SLOT_BITS_MAX: u16 = 16;
/// So that 65535 is no worker ID: it stands for none.
const WORKER_BITS_MAX: u8 = 15;
const SEQUENCE_BITS_MAX: u8 = 23;

impl Layout {
    /// 41 bits of time, 5 datacenter, 5 worker, 12 sequence; ticks of 1 ms; epoch
    /// 2021-01-01T00:00:00Z.
    pub const SNOWFLAKE: Self = match Self::new(Widths::SNOWFLAKE, 1, 1_609_459_200_000) {
        Ok(layout) => layout,
        Err(_) => panic!("the preset fills 63 bits"),
    };

    /// A layout of these widths, counting ticks of `tick_ms` milliseconds from `epoch_ms` (Unix
    /// time in milliseconds).
    ///
    /// # Errors
    ///
    /// When the widths do not fill 63 or 53 bits exactly, a part is wider than the project
    /// supports, or a tick is neither 1 ms nor 10 ms long.
    pub const fn new(widths: Widths, tick_ms: u8, epoch_ms: u64) -> Result<Self, LayoutError> {
        let (total, slot) = (widths.total(), widths.slot());
        if total != ID_BITS && total != JAVASCRIPT_ID_BITS {
            return Err(LayoutError::Total(total));
        }
        if slot > SLOT_BITS_MAX {
            return Err(LayoutError::SlotTooWide(slot));
        }
        if widths.worker > WORKER_BITS_MAX {
            return Err(LayoutError::WorkerWidth(widths.worker));
        }
        if widths.sequence == 0 || widths.sequence > SEQUENCE_BITS_MAX {
            return Err(LayoutError::SequenceWidth(widths.sequence));
        }
        if tick_ms != 1 && tick_ms != 10 {
            return Err(LayoutError::TickLength(tick_ms));
        }
        match Scale::new(epoch_ms, tick_ms, Tick::new(mask(widths.timestamp))) {
            Some(scale) => Ok(Self { widths, scale }),
            None => Err(LayoutError::Epoch(epoch_ms)),
        }
    }

    /// The widths of the parts in bits.
    pub const fn widths(&self) -> Widths {
        self.widths
    }

    /// How its timestamps count.
    pub const fn scale(&self) -> Scale {
        self.scale
    }

    /// Tick 0, in milliseconds since the Unix epoch.
    pub const fn epoch_ms(&self) -> u64 {
        self.scale.epoch_ms()
    }

    /// The last millisecond that has a tick, since the Unix epoch.
    pub const fn end_ms(&self) -> u64 {
        self.scale.end_ms()
    }

    /// How many IDs one slot can make in one tick.
    pub const fn sequence_space(&self) -> u32 {
        1 << self.widths.sequence
    }

    /// The last tick the time part can hold.
    pub const fn tick_max(&self) -> Tick {
        self.scale.tick_max()
    }

    /// The largest `datacenter_id`.
    pub const fn datacenter_id_max(&self) -> u64 {
        mask(self.widths.datacenter)
    }

    /// The largest `worker_id`.
    pub const fn worker_id_max(&self) -> u64 {
        mask(self.widths.worker)
    }

    /// The largest ID: every part at its maximum.
    #[allow(clippy::cast_possible_truncation)] // At most 63.
    pub const fn id_max(&self) -> Id {
        match Id::new(mask(self.widths.total() as u8)) {
            Some(id) => id,
            None => panic!("63 bits cannot pass Id::MAX"),
        }
    }

    /// The tick that the wall-clock time `unix_ms` falls into.
    ///
    /// # Errors
    ///
    /// When the time lies before the epoch or past the end of the layout.
    pub const fn tick(&self, unix_ms: u64) -> Result<Tick, TickError> {
        self.scale.tick(unix_ms)
    }

    /// When `tick` begins, in milliseconds since the Unix epoch.
    pub const fn unix_ms(&self, tick: Tick) -> u64 {
        self.scale.unix_ms(tick)
    }

    /// The slot with these numbers.
    ///
    /// # Errors
    ///
    /// When one of the numbers does not fit its bits.
    #[allow(clippy::cast_possible_truncation)] // Both are checked against at most 16 bits.
    pub const fn slot(&self, datacenter_id: u64, worker_id: u64) -> Result<Slot, RangeError> {
        let (datacenter_id_max, worker_id_max) = (self.datacenter_id_max(), self.worker_id_max());
        if datacenter_id > datacenter_id_max {
            return Err(RangeError {
                field: "datacenter_id",
                value: datacenter_id,
                max: datacenter_id_max,
            });
        }
        if worker_id > worker_id_max {
            return Err(RangeError { field: "worker_id", value: worker_id, max: worker_id_max });
        }
        Ok(Slot::new(datacenter_id as u16, worker_id as u16))
    }

    /// Datacenter and worker bits of a slot as one number: what a slot is called in a store.
    ///
    /// # Panics
    ///
    /// When the slot is of another layout.
    #[allow(clippy::cast_possible_truncation)] // A slot has at most 16 bits.
    pub const fn slot_number(&self, slot: Slot) -> u16 {
        assert!(slot.datacenter_id() as u64 <= self.datacenter_id_max(), "slot of another layout");
        assert!(slot.worker_id() as u64 <= self.worker_id_max(), "slot of another layout");
        ((slot.datacenter_id() as u32) << self.widths.worker) as u16 | slot.worker_id()
    }

    /// The datacenter and the worker part of a slot number.
    #[allow(clippy::cast_possible_truncation)] // Masked to at most 16 bits.
    pub const fn slot_parts(&self, number: u16) -> (u16, u16) {
        let datacenter_id = number as u64 >> self.widths.worker & self.datacenter_id_max();
        (datacenter_id as u16, (number as u64 & self.worker_id_max()) as u16)
    }

    /// The place `number` in a tick's sequence space.
    ///
    /// # Errors
    ///
    /// When the number does not fit the sequence bits.
    pub const fn sequence(&self, number: u32) -> Result<Sequence, RangeError> {
        let max = self.sequence_space() - 1;
        if number > max {
            return Err(RangeError { field: "sequence", value: number as u64, max: max as u64 });
        }
        Ok(Sequence::new(number))
    }

    /// The ID of one place in time, slot and sequence. Injective: other parts, other ID.
    ///
    /// # Panics
    ///
    /// When a part is out of range for *this* layout (a caller's bug: parts come from the layout
    /// that packs them, and ticks are compared with [`Layout::tick_max`] first). Masking instead
    /// would turn it silently into somebody else's ID.
    pub const fn pack(&self, tick: Tick, slot: Slot, sequence: Sequence) -> Id {
        assert!(tick.get() <= self.tick_max().get(), "tick past the end of the layout");
        assert!(slot.datacenter_id() as u64 <= self.datacenter_id_max(), "slot of another layout");
        assert!(slot.worker_id() as u64 <= self.worker_id_max(), "slot of another layout");
        assert!(sequence.get() < self.sequence_space(), "sequence of another layout");
        let number = tick.get() << self.timestamp_shift()
            | (slot.datacenter_id() as u64) << (self.widths.worker + self.widths.sequence)
            | (slot.worker_id() as u64) << self.widths.sequence
            | sequence.get() as u64;
        match Id::new(number) {
            Some(id) => id,
            None => panic!("63 bits cannot pass Id::MAX"),
        }
    }

    const fn timestamp_shift(&self) -> u16 {
        self.widths.slot() + self.widths.sequence as u16
    }

    /// `count` consecutive IDs of one tick, from `sequence` on.
    ///
    /// # Panics
    ///
    /// As [`Layout::pack`], and when the run would leave the sequence space of the tick.
    pub const fn pack_run(
        &self,
        tick: Tick,
        slot: Slot,
        sequence: Sequence,
        count: NonZeroU32,
    ) -> Run {
        assert!(count.get() <= self.sequence_space() - sequence.get(), "run leaves its tick");
        match Run::new(self.pack(tick, slot, sequence), count) {
            Some(run) => run,
            None => panic!("a run inside a tick cannot pass Id::MAX"),
        }
    }

    /// Takes an ID apart. Every ID up to [`Layout::id_max`] has parts, since the widths fill all
    /// bits; beyond it the time lies past the end of the layout.
    #[allow(clippy::cast_possible_truncation)] // Each part is masked to at most 22 bits.
    pub const fn parse(&self, id: Id) -> Parts {
        let number = id.get();
        let slot_shift = self.widths.worker + self.widths.sequence;
        let tick = Tick::new(number >> self.timestamp_shift());
        Parts {
            unix_ms: self.unix_ms(tick),
            datacenter_id: ((number >> slot_shift) & self.datacenter_id_max()) as u16,
            worker_id: ((number >> self.widths.sequence) & self.worker_id_max()) as u16,
            sequence: (number & mask(self.widths.sequence)) as u32,
        }
    }
}

const fn mask(bits: u8) -> u64 {
    if bits >= 64 { u64::MAX } else { (1 << bits) - 1 }
}

impl fmt::Display for LayoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Total(bits) => {
                write!(f, "the bit widths add up to {bits}: they must fill {ID_BITS}, or")?;
                write!(f, " {JAVASCRIPT_ID_BITS} for JavaScript")
            }
            Self::SlotTooWide(bits) => {
                write!(
                    f,
                    "datacenter and worker take {bits} bits: at most {SLOT_BITS_MAX} together"
                )
            }
            Self::WorkerWidth(bits) => {
                write!(f, "the worker has {bits} bits: at most {WORKER_BITS_MAX} are allowed")
            }
            Self::SequenceWidth(bits) => {
                write!(f, "the sequence has {bits} bits: 1 to {SEQUENCE_BITS_MAX} are allowed")
            }
            Self::TickLength(tick_ms) => {
                write!(f, "a tick of {tick_ms} ms: 1 ms and 10 ms are allowed")
            }
            Self::Epoch(epoch_ms) => {
                write!(f, "epoch {epoch_ms} puts the end of the layout past a 64-bit time")
            }
        }
    }
}

impl fmt::Display for RangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { field, value, max } = self;
        write!(f, "{field} {value} is out of range: 0 to {max} are allowed")
    }
}

impl core::error::Error for LayoutError {}
impl core::error::Error for RangeError {}

#[cfg(test)]
mod tests;
