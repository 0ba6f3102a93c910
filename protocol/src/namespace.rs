//! One ID space: what every server that feeds one table must agree on.

use core::fmt;
use core::num::NonZeroU32;

use crate::any_id::{AnyId, IdError};
use crate::id::{Id, Run, Slot, Tick};
use crate::kind::Kind;
use crate::layout::Layout;
use crate::scale::Scale;
use crate::wide::{self, Placed};
use crate::widths::Widths;

/// Layout and epoch of each kind. Two slots of one namespace never make the same ID of one kind.
///
/// `instagram` has 40 bits of time below the sign (so that its IDs fit a signed integer too) and 23
/// bits behind them: the slot, then a number. The user's shard are the upper bits of these 23; it
/// follows from the slot, so two slots never have a shard in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Namespace {
    layout: Layout,
    instagram: Layout,
    shard_bits: u8,
}

/// Why settings do not make a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamespaceError {
    /// The shard of `instagram` has so many bits.
    ShardBits {
        /// How many.
        shard_bits: u8,
        /// The fewest allowed: the width of a slot.
        shard_bits_min: u8,
    },
    /// The epoch of `instagram`, or the one of the layout, leaves no time for it.
    Epoch(u64),
}

/// What an ID says, by the settings of a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Parsed {
    /// When the ID was made, in milliseconds since the Unix epoch.
    pub unix_ms: u64,
    /// Datacenter and worker part of the slot; none when it names no slot of this namespace.
    pub slot: Option<Slot>,
    /// The place within the tick: the sequence of a 64-bit ID, the number of a 128-bit one.
    pub sequence: u32,
}

/// Bits of an `instagram` ID behind the time, and of the time below the sign.
const INSTAGRAM_BITS: u8 = 23;
const INSTAGRAM_TIMESTAMP_BITS: u8 = 40;

/// The widest shard: one bit of sequence is left.
const SHARD_BITS_MAX: u8 = INSTAGRAM_BITS - 1;

/// What is usual: 13 bits of shard and 10 of sequence.
const SHARD_BITS: u8 = 13;

/// Ticks of the 128-bit kinds, in bits: 278 years from the epoch of the namespace.
const WIDE_TICK_BITS: u32 = 43;

const CLOCK_SEQUENCE_MAX: u16 = (1 << wide::CLOCK_SEQUENCE_BITS) - 1;

/// Numbers per tick of a 128-bit kind that are used at most, in bits: more than a node can make.
const WIDE_SPACE_BITS_MAX: u8 = 20;

impl Namespace {
    /// The namespace of [`Layout::SNOWFLAKE`].
    pub const DEFAULT: Self = match Self::new(Layout::SNOWFLAKE, None, None) {
        Ok(namespace) => namespace,
        Err(_) => panic!("the default layout leaves room for all kinds"),
    };

    /// The namespace of this layout. Shards of `instagram` have 13 bits, or the width of a slot
    /// when that is more, and its epoch is the one of the layout, unless something else is said.
    ///
    /// # Errors
    ///
    /// When the shard would be narrower than a slot, or wider than 22 bits, or there is no time.
    pub const fn new(
        layout: Layout,
        shard_bits: Option<u8>,
        instagram_epoch_ms: Option<u64>,
    ) -> Result<Self, NamespaceError> {
        let Widths { datacenter, worker, .. } = layout.widths();
        let shard_bits_min = datacenter + worker;
        let shard_bits = match shard_bits {
            Some(shard_bits) => shard_bits,
            None if shard_bits_min > SHARD_BITS => shard_bits_min,
            None => SHARD_BITS,
        };
        if shard_bits < shard_bits_min || shard_bits > SHARD_BITS_MAX || shard_bits == 0 {
            return Err(NamespaceError::ShardBits { shard_bits, shard_bits_min });
        }
        let epoch_ms = match instagram_epoch_ms {
            Some(epoch_ms) => epoch_ms,
            None => layout.epoch_ms(),
        };
        let (timestamp, sequence) = (INSTAGRAM_TIMESTAMP_BITS, INSTAGRAM_BITS - shard_bits_min);
        let widths = Widths { timestamp, datacenter, worker, sequence };
        let Ok(instagram) = Layout::new(widths, 1, epoch_ms) else {
            return Err(NamespaceError::Epoch(epoch_ms));
        };
        if layout.epoch_ms() > wide::UUID1_MS_MAX {
            return Err(NamespaceError::Epoch(layout.epoch_ms()));
        }
        Ok(Self { layout, instagram, shard_bits })
    }

    /// The layout of `snowflake`.
    pub const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The layout of `instagram`, with the shard and sequence of the user as one number.
    pub const fn instagram(&self) -> &Layout {
        &self.instagram
    }

    /// How many of the 23 bits of an `instagram` ID are the shard.
    pub const fn shard_bits(&self) -> u8 {
        self.shard_bits
    }

    /// How IDs of this kind count time.
    pub const fn scale(&self, kind: Kind) -> Scale {
        match kind {
            Kind::Snowflake => self.layout.scale(),
            Kind::Instagram => self.instagram.scale(),
            Kind::Uuid1 | Kind::Ulid | Kind::Uuid7 => {
                let epoch_ms = self.layout.epoch_ms();
                let end_ms = match kind {
                    Kind::Uuid1 => wide::UUID1_MS_MAX,
                    _ => wide::UNIX_MS_MAX,
                };
                let left = end_ms - epoch_ms;
                let bits_max = (1 << WIDE_TICK_BITS) - 1;
                let tick_max = Tick::new(if left < bits_max { left } else { bits_max });
                match Scale::new(epoch_ms, 1, tick_max) {
                    Some(scale) => scale,
                    None => panic!("48 bits of time fit 64"),
                }
            }
        }
    }

    /// How many IDs of this kind one slot can make in one tick.
    pub const fn space(&self, kind: Kind) -> u32 {
        match kind {
            Kind::Snowflake => self.layout.sequence_space(),
            Kind::Instagram => self.instagram.sequence_space(),
            Kind::Uuid1 => wide::UUID1_SPACE,
            Kind::Ulid | Kind::Uuid7 => {
                let bits = self.number_bits();
                1 << if bits < WIDE_SPACE_BITS_MAX { bits } else { WIDE_SPACE_BITS_MAX }
            }
        }
    }

    /// `count` consecutive 64-bit IDs of one tick, from `number` on.
    ///
    /// # Panics
    ///
    /// When a part is out of range, the run would leave its tick, or the kind has 128 bits.
    pub const fn pack_run(
        &self,
        kind: Kind,
        tick: Tick,
        slot: Slot,
        number: u32,
        count: NonZeroU32,
    ) -> Run {
        let layout = match kind {
            Kind::Snowflake => &self.layout,
            Kind::Instagram => &self.instagram,
            Kind::Uuid1 | Kind::Ulid | Kind::Uuid7 => panic!("a kind of 128 bits"),
        };
        match layout.sequence(number) {
            Ok(sequence) => layout.pack_run(tick, slot, sequence, count),
            Err(_) => panic!("a number outside its tick"),
        }
    }

    /// One 128-bit ID. `random` are bits that nobody can guess, of which the lowest are used;
    /// `node` is the node field of a UUID of version 1. A slot that does not fit the 14 bits of the
    /// clock sequence takes the place of the lowest 16 bits of the node.
    ///
    /// # Panics
    ///
    /// When a part is out of range, or the kind has 64 bits.
    #[allow(clippy::cast_possible_truncation)] // Masked to 14 bits.
    pub const fn pack_wide(
        &self,
        kind: Kind,
        unix_ms: u64,
        slot: Slot,
        number: u32,
        random: u64,
        node: u64,
    ) -> u128 {
        let slot = self.layout.slot_number(slot);
        if matches!(kind, Kind::Uuid1) {
            let node = if self.slot_is_in_node() { node & !0xffff | slot as u64 } else { node };
            return wide::uuid1(unix_ms, number, slot & CLOCK_SEQUENCE_MAX, node);
        }
        assert!((number as u64) < 1 << self.number_bits(), "a number outside its tick");
        let place = ((slot as u64) << self.number_bits() | number as u64) as u32;
        match kind {
            Kind::Ulid => wide::ulid(Placed { unix_ms, place }, random),
            Kind::Uuid7 => wide::uuid7(Placed { unix_ms, place }, random),
            _ => panic!("a kind of 64 bits"),
        }
    }

    /// Takes an ID apart. It need not be one that was ever issued.
    ///
    /// # Errors
    ///
    /// When it lies past the end of its layout.
    pub fn parse(&self, id: AnyId) -> Result<Parsed, IdError> {
        let bits = id.bits();
        match id.kind() {
            Kind::Snowflake => {
                let (id, id_max) = (id.id().ok_or(IdError::Form)?, self.layout.id_max());
                if id > id_max {
                    return Err(IdError::PastEnd { id_max });
                }
                Ok(self.parsed(&self.layout, id))
            }
            Kind::Instagram => {
                let id = id.id().ok_or(IdError::Form)?;
                let sequence = id.get() & ((1 << (INSTAGRAM_BITS - self.shard_bits)) - 1);
                let sequence = u32::try_from(sequence).map_err(|_| IdError::Form)?;
                Ok(Parsed { sequence, ..self.parsed(&self.instagram, id) })
            }
            Kind::Uuid1 => {
                let time = wide::unix_time(wide::uuid1_time(bits));
                let (unix_ms, sequence) = time.ok_or(IdError::Before1970)?;
                let slot = id.node().and_then(|(node, clock_sequence)| {
                    if !self.slot_is_in_node() {
                        return self.slot(clock_sequence.into());
                    }
                    let slot = node & 0xffff;
                    let is_ours = slot & u64::from(CLOCK_SEQUENCE_MAX) == clock_sequence.into();
                    if is_ours { self.slot(slot) } else { None }
                });
                Ok(Parsed { unix_ms, slot, sequence })
            }
            Kind::Ulid => Ok(self.placed(wide::read_ulid(bits))),
            Kind::Uuid7 => Ok(self.placed(wide::read_uuid7(bits))),
        }
    }

    /// The shard of an `instagram` ID.
    #[allow(clippy::cast_possible_truncation)] // At most 22 bits.
    pub const fn shard(&self, id: Id) -> u32 {
        let bits = id.get() & ((1 << INSTAGRAM_BITS) - 1);
        (bits >> (INSTAGRAM_BITS - self.shard_bits)) as u32
    }

    /// Names the namespace: a hash of what must not change (FNV-1a, 64 bit). It goes over the four
    /// widths as bytes and the epoch in big-endian order; then, unless ticks have 1 ms and
    /// `instagram` is as usual, over the length of a tick and the shard bits as bytes and the epoch
    /// of `instagram`. Two nodes with different fingerprints must not feed one table.
    pub fn fingerprint(&self) -> u64 {
        const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
        const PRIME: u64 = 0x0100_0000_01b3;
        let Widths { timestamp, datacenter, worker, sequence } = self.layout.widths();
        let hash = |hash: u64, bytes: &[u8]| {
            bytes.iter().fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(PRIME))
        };
        let mut fingerprint = hash(OFFSET_BASIS, &[timestamp, datacenter, worker, sequence]);
        fingerprint = hash(fingerprint, &self.layout.epoch_ms().to_be_bytes());
        let tick_ms = self.layout.scale().tick_ms();
        if tick_ms != 1 || Self::new(self.layout, None, None) != Ok(*self) {
            fingerprint = hash(fingerprint, &[tick_ms, self.shard_bits]);
            fingerprint = hash(fingerprint, &self.instagram.epoch_ms().to_be_bytes());
        }
        fingerprint
    }

    /// Whether slots are too wide for the clock sequence of a `uuid1`, which has 14 bits, so that
    /// the node has to tell them apart.
    pub const fn slot_is_in_node(&self) -> bool {
        self.layout.widths().slot() > wide::CLOCK_SEQUENCE_BITS as u16
    }

    /// Bits of the number in `ulid` and `uuid7`.
    const fn number_bits(&self) -> u8 {
        let widths = self.layout.widths();
        wide::PLACE_BITS - widths.datacenter - widths.worker
    }

    fn slot(&self, number: u64) -> Option<Slot> {
        let number = u16::try_from(number).ok()?;
        let (datacenter_id, worker_id) = self.layout.slot_parts(number);
        let slot = self.layout.slot(datacenter_id.into(), worker_id.into()).ok()?;
        (self.layout.slot_number(slot) == number).then_some(slot)
    }

    fn parsed(&self, layout: &Layout, id: Id) -> Parsed {
        let parts = layout.parse(id);
        let slot = layout.slot(parts.datacenter_id.into(), parts.worker_id.into()).ok();
        Parsed { unix_ms: parts.unix_ms, slot, sequence: parts.sequence }
    }

    #[allow(clippy::cast_possible_truncation)] // Masked.
    fn placed(&self, placed: Placed) -> Parsed {
        let (place, bits) = (u64::from(placed.place), self.number_bits());
        let sequence = (place & ((1 << bits) - 1)) as u32;
        Parsed { unix_ms: placed.unix_ms, slot: self.slot(place >> bits), sequence }
    }
}

impl fmt::Display for NamespaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ShardBits { shard_bits, shard_bits_min } => write!(
                f,
                "a shard of {shard_bits} bits: {} (the width of a slot) to {SHARD_BITS_MAX} are \
                 allowed",
                (*shard_bits_min).max(1)
            ),
            Self::Epoch(epoch_ms) => write!(f, "epoch {epoch_ms} leaves no time for IDs"),
        }
    }
}

impl core::error::Error for NamespaceError {}

#[cfg(test)]
mod tests;
