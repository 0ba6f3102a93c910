//! How the 63 usable bits of an ID are shared: layout as data.
//!
//! ```text
//!  63  62                                  22 21       17 16       12 11                 0
//! +---+--------------------------------------+-----------+-----------+--------------------+
//! | 0 | timestamp: ms since the epoch (41)   | dc (5)    | worker (5)| sequence (12)      |
//! +---+--------------------------------------+-----------+-----------+--------------------+
//! ```

use core::fmt;
use core::num::NonZeroU32;

use crate::id::{Id, Parts, Run, Sequence, Slot, Tick};

/// Bit widths and epoch of a 64-bit ID. The widths always fill the 63 bits below the sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Layout {
    timestamp_bits: u8,
    datacenter_bits: u8,
    worker_bits: u8,
    sequence_bits: u8,
    epoch_ms: u64,
}

/// Why bit widths do not make a layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayoutError {
    /// The widths add up to this instead of 63.
    Total(u16),
    /// Datacenter and worker bits together exceed 16.
    SlotTooWide(u16),
    /// The sequence has no bit, or more than 22.
    SequenceWidth(u8),
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

/// A wall-clock time that the layout has no tick for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TickError {
    /// The time lies before the epoch.
    BeforeEpoch {
        /// The time, in milliseconds since the Unix epoch.
        unix_ms: u64,
        /// The epoch of the layout, in the same unit.
        epoch_ms: u64,
    },
    /// The time lies past the last tick.
    AfterEnd {
        /// The time, in milliseconds since the Unix epoch.
        unix_ms: u64,
        /// The last time the layout can hold, in the same unit.
        end_ms: u64,
    },
}

const ID_BITS: u16 = 63;
const SLOT_BITS_MAX: u16 = 16;
const SEQUENCE_BITS_MAX: u8 = 22;

impl Layout {
    /// 41 bits of time, 5 datacenter, 5 worker, 12 sequence; epoch 2021-01-01T00:00:00Z.
    pub const SNOWFLAKE: Self = match Self::new(41, 5, 5, 12, 1_609_459_200_000) {
        Ok(layout) => layout,
        Err(_) => panic!("the preset fills 63 bits"),
    };

    /// A layout of these widths, counting milliseconds from `epoch_ms` (Unix time in milliseconds).
    ///
    /// # Errors
    ///
    /// When the widths do not fill 63 bits exactly, or a part is wider than the project supports.
    pub const fn new(
        timestamp_bits: u8,
        datacenter_bits: u8,
        worker_bits: u8,
        sequence_bits: u8,
        epoch_ms: u64,
    ) -> Result<Self, LayoutError> {
        let slot = datacenter_bits as u16 + worker_bits as u16;
        let total = timestamp_bits as u16 + slot + sequence_bits as u16;
        if total != ID_BITS {
            return Err(LayoutError::Total(total));
        }
        if slot > SLOT_BITS_MAX {
            return Err(LayoutError::SlotTooWide(slot));
        }
        if sequence_bits == 0 || sequence_bits > SEQUENCE_BITS_MAX {
            return Err(LayoutError::SequenceWidth(sequence_bits));
        }
        if epoch_ms.checked_add(mask(timestamp_bits)).is_none() {
            return Err(LayoutError::Epoch(epoch_ms));
        }
        Ok(Self { timestamp_bits, datacenter_bits, worker_bits, sequence_bits, epoch_ms })
    }

    /// Width of the time part in bits.
    pub const fn timestamp_bits(&self) -> u8 {
        self.timestamp_bits
    }

    /// Width of the datacenter part in bits.
    pub const fn datacenter_bits(&self) -> u8 {
        self.datacenter_bits
    }

    /// Width of the worker part in bits.
    pub const fn worker_bits(&self) -> u8 {
        self.worker_bits
    }

    /// Width of the sequence part in bits.
    pub const fn sequence_bits(&self) -> u8 {
        self.sequence_bits
    }

    /// Tick 0, in milliseconds since the Unix epoch.
    pub const fn epoch_ms(&self) -> u64 {
        self.epoch_ms
    }

    /// How many IDs one slot can make in one tick.
    pub const fn sequence_space(&self) -> u32 {
        1 << self.sequence_bits
    }

    /// The last tick the time part can hold.
    pub const fn tick_max(&self) -> Tick {
        Tick::new(mask(self.timestamp_bits))
    }

    /// The largest `datacenter_id`.
    pub const fn datacenter_id_max(&self) -> u64 {
        mask(self.datacenter_bits)
    }

    /// The largest `worker_id`.
    pub const fn worker_id_max(&self) -> u64 {
        mask(self.worker_bits)
    }

    /// The tick that the wall-clock time `unix_ms` falls into.
    ///
    /// # Errors
    ///
    /// When the time lies before the epoch or past the end of the layout.
    pub const fn tick(&self, unix_ms: u64) -> Result<Tick, TickError> {
        let Some(ticks) = unix_ms.checked_sub(self.epoch_ms) else {
            return Err(TickError::BeforeEpoch { unix_ms, epoch_ms: self.epoch_ms });
        };
        if ticks > self.tick_max().get() {
            return Err(TickError::AfterEnd { unix_ms, end_ms: self.unix_ms(self.tick_max()) });
        }
        Ok(Tick::new(ticks))
    }

    /// When `tick` begins, in milliseconds since the Unix epoch.
    pub const fn unix_ms(&self, tick: Tick) -> u64 {
        self.epoch_ms.saturating_add(tick.get())
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
    pub const fn slot_number(&self, slot: Slot) -> u16 {
        assert!(slot.datacenter_id() as u64 <= self.datacenter_id_max(), "slot of another layout");
        assert!(slot.worker_id() as u64 <= self.worker_id_max(), "slot of another layout");
        slot.datacenter_id() << self.worker_bits | slot.worker_id()
    }

    /// The datacenter and the worker part of a slot number.
    #[allow(clippy::cast_possible_truncation)] // Masked to at most 16 bits.
    pub const fn slot_parts(&self, number: u16) -> (u16, u16) {
        let datacenter_id = number as u64 >> self.worker_bits & self.datacenter_id_max();
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
        let number = tick.get() << (ID_BITS - self.timestamp_bits as u16)
            | (slot.datacenter_id() as u64) << (self.worker_bits + self.sequence_bits)
            | (slot.worker_id() as u64) << self.sequence_bits
            | sequence.get() as u64;
        match Id::new(number) {
            Some(id) => id,
            None => panic!("63 bits cannot pass Id::MAX"),
        }
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

    /// Takes an ID apart. Every ID has parts, since the widths fill all bits.
    #[allow(clippy::cast_possible_truncation)] // Each part is masked to at most 22 bits.
    pub const fn parse(&self, id: Id) -> Parts {
        let number = id.get();
        let slot_shift = self.worker_bits + self.sequence_bits;
        let tick = Tick::new(number >> (ID_BITS - self.timestamp_bits as u16));
        Parts {
            unix_ms: self.unix_ms(tick),
            datacenter_id: ((number >> slot_shift) & self.datacenter_id_max()) as u16,
            worker_id: ((number >> self.sequence_bits) & self.worker_id_max()) as u16,
            sequence: (number & mask(self.sequence_bits)) as u32,
        }
    }

    /// Names the namespace: a hash of epoch and widths (FNV-1a, 64 bit, over the four widths as
    /// bytes and the epoch in big-endian order). Two nodes with different fingerprints must not
    /// feed one table.
    pub const fn fingerprint(&self) -> u64 {
        const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
        const PRIME: u64 = 0x0100_0000_01b3;
        let mut bytes = [0; 12];
        bytes[0] = self.timestamp_bits;
        bytes[1] = self.datacenter_bits;
        bytes[2] = self.worker_bits;
        bytes[3] = self.sequence_bits;
        let epoch = self.epoch_ms.to_be_bytes();
        let mut hash = OFFSET_BASIS;
        let mut index = 0;
        while index < bytes.len() {
            if index >= 4 {
                bytes[index] = epoch[index - 4];
            }
            hash = (hash ^ bytes[index] as u64).wrapping_mul(PRIME);
            index += 1;
        }
        hash
    }
}

const fn mask(bits: u8) -> u64 {
    if bits >= 64 { u64::MAX } else { (1 << bits) - 1 }
}

impl fmt::Display for LayoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Total(bits) => write!(f, "the bit widths add up to {bits}: they must fill 63"),
            Self::SlotTooWide(bits) => {
                write!(
                    f,
                    "datacenter and worker take {bits} bits: at most {SLOT_BITS_MAX} together"
                )
            }
            Self::SequenceWidth(bits) => {
                write!(f, "the sequence has {bits} bits: 1 to {SEQUENCE_BITS_MAX} are allowed")
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

impl fmt::Display for TickError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BeforeEpoch { unix_ms, epoch_ms } => {
                write!(
                    f,
                    "the clock says {unix_ms} ms, before the epoch {epoch_ms} ms: set the clock"
                )
            }
            Self::AfterEnd { unix_ms, end_ms } => {
                write!(f, "the clock says {unix_ms} ms, past the end of the layout {end_ms} ms")
            }
        }
    }
}

impl core::error::Error for LayoutError {}
impl core::error::Error for RangeError {}
impl core::error::Error for TickError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_mission_comes_apart_and_together() {
        let layout = Layout::SNOWFLAKE;
        let id = Id::new(1_234_567_890_123_456_789).unwrap();
        let parts = layout.parse(id);
        let tick = layout.tick(parts.unix_ms).unwrap();
        let slot = layout.slot(parts.datacenter_id.into(), parts.worker_id.into()).unwrap();
        assert_eq!(layout.pack(tick, slot, layout.sequence(parts.sequence).unwrap()), id);
    }

    #[test]
    fn widths_must_fill_63_bits() {
        assert_eq!(Layout::new(41, 5, 5, 13, 0), Err(LayoutError::Total(64)));
        assert_eq!(Layout::new(41, 5, 5, 11, 0), Err(LayoutError::Total(62)));
        assert_eq!(Layout::new(255, 255, 255, 255, 0), Err(LayoutError::Total(1020)));
        assert_eq!(Layout::new(41, 10, 7, 5, 0), Err(LayoutError::SlotTooWide(17)));
        assert_eq!(Layout::new(53, 5, 5, 0, 0), Err(LayoutError::SequenceWidth(0)));
        assert_eq!(Layout::new(40, 0, 0, 23, 0), Err(LayoutError::SequenceWidth(23)));
        assert!(matches!(Layout::new(41, 5, 5, 12, u64::MAX), Err(LayoutError::Epoch(_))));
        assert!(Layout::new(41, 0, 10, 12, 0).is_ok());
    }

    #[test]
    fn a_part_out_of_range_is_an_error_that_names_it() {
        let layout = Layout::SNOWFLAKE;
        let error = layout.slot(0, 32).unwrap_err();
        assert_eq!(error.to_string(), "worker_id 32 is out of range: 0 to 31 are allowed");
        assert_eq!(layout.slot(32, 0).unwrap_err().field, "datacenter_id");
        assert_eq!(layout.sequence(4096).unwrap_err().max, 4095);
        assert!(matches!(layout.tick(0), Err(TickError::BeforeEpoch { .. })));
        let end_ms = layout.unix_ms(layout.tick_max());
        assert_eq!(layout.tick(end_ms), Ok(layout.tick_max()));
        assert!(matches!(layout.tick(end_ms + 1), Err(TickError::AfterEnd { .. })));
    }

    #[test]
    #[should_panic(expected = "tick past the end")]
    fn packing_a_tick_past_the_end_panics_instead_of_masking() {
        let layout = Layout::SNOWFLAKE;
        let slot = layout.slot(0, 0).unwrap();
        layout.pack(layout.tick_max().next(), slot, layout.sequence(0).unwrap());
    }

    #[test]
    #[should_panic(expected = "run leaves its tick")]
    fn a_run_cannot_spill_into_the_worker_bits() {
        let layout = Layout::SNOWFLAKE;
        let slot = layout.slot(0, 0).unwrap();
        let two = NonZeroU32::new(2).unwrap();
        layout.pack_run(Tick::ZERO, slot, layout.sequence(4095).unwrap(), two);
    }

    #[test]
    fn the_fingerprint_tells_epoch_and_widths_apart() {
        let layout = Layout::SNOWFLAKE;
        let later = Layout::new(41, 5, 5, 12, layout.epoch_ms() + 1).unwrap();
        let wider = Layout::new(41, 4, 6, 12, layout.epoch_ms()).unwrap();
        assert_ne!(layout.fingerprint(), later.fingerprint());
        assert_ne!(layout.fingerprint(), wider.fingerprint());
    }
}
