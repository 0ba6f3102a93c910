//! IDs of 128 bits: where time, slot and number stand in them.
//!
//! ```text
//! uuid1  time_low 32 | time_mid 16 | 1 | time_hi 12 | 10 | slot 14 | node 48
//! ulid   unix_ms 48 | slot s | number 32 - s | random 48
//! uuid7  unix_ms 48 | 7 | slot and number 12 | 10 | slot and number 20 | random 42
//! ```
//!
//! `s` is the width of the slot in the layout of the namespace. The time of `uuid1` counts 100 ns
//! since 1582-10-15; its number is the place within the millisecond.

/// Bits of slot and number together in `ulid` and `uuid7`.
pub(crate) const PLACE_BITS: u8 = 32;

/// IDs of kind `uuid1` that one slot can make in a millisecond: one for each 100 ns.
pub(crate) const UUID1_SPACE: u32 = 10_000;

/// Bits of the clock sequence, where `uuid1` has the slot.
pub(crate) const CLOCK_SEQUENCE_BITS: u8 = 14;

/// The last millisecond that fits 48 bits.
pub(crate) const UNIX_MS_MAX: u64 = (1 << 48) - 1;

/// From 1582-10-15 to 1970-01-01, in milliseconds (RFC 9562, section 5.1).
const GREGORIAN_MS: u64 = 12_219_292_800_000;

/// The last millisecond whose 10,000 units all fit the 60 bits of a UUID's time: in the year 5236.
pub(crate) const UUID1_MS_MAX: u64 = (1 << 60) / UUID1_SPACE as u64 - GREGORIAN_MS - 1;

/// Random bits behind the place.
pub(crate) const ULID_RANDOM_BITS: u32 = 48;
const UUID7_RANDOM_BITS: u32 = 42;

const VARIANT: u128 = 0b10 << 62;

/// Time and place of an ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) unix_ms: u64,
    /// Slot and number, [`PLACE_BITS`] wide.
    pub(crate) place: u32,
}

pub(crate) const fn ulid(placed: Placed, random: u64) -> u128 {
    assert!(placed.unix_ms <= UNIX_MS_MAX, "48 bits of time");
    (placed.unix_ms as u128) << 80
        | (placed.place as u128) << ULID_RANDOM_BITS
        | low(random, ULID_RANDOM_BITS)
}

#[allow(clippy::cast_possible_truncation)] // Exactly the bits that were put there.
pub(crate) const fn read_ulid(bits: u128) -> Placed {
    Placed { unix_ms: (bits >> 80) as u64, place: (bits >> ULID_RANDOM_BITS) as u32 }
}

pub(crate) const fn uuid7(placed: Placed, random: u64) -> u128 {
    assert!(placed.unix_ms <= UNIX_MS_MAX, "48 bits of time");
    let place = placed.place as u128;
    (placed.unix_ms as u128) << 80
        | 7 << 76
        | (place >> 20) << 64
        | VARIANT
        | (place & 0xf_ffff) << UUID7_RANDOM_BITS
        | low(random, UUID7_RANDOM_BITS)
}

#[allow(clippy::cast_possible_truncation)]
pub(crate) const fn read_uuid7(bits: u128) -> Placed {
    let (high, low) = (bits >> 64 & 0xfff, bits >> UUID7_RANDOM_BITS & 0xf_ffff);
    Placed { unix_ms: (bits >> 80) as u64, place: (high << 20 | low) as u32 }
}

/// `number` is below [`UUID1_SPACE`], `clock_sequence` has [`CLOCK_SEQUENCE_BITS`], `node` 48.
pub(crate) const fn uuid1(unix_ms: u64, number: u32, clock_sequence: u16, node: u64) -> u128 {
    assert!(unix_ms <= UUID1_MS_MAX && number < UUID1_SPACE, "a time of a UUID");
    assert!(clock_sequence >> CLOCK_SEQUENCE_BITS == 0 && node >> 48 == 0, "parts of a UUID");
    let time = (unix_ms + GREGORIAN_MS) * UUID1_SPACE as u64 + number as u64;
    uuid1_of(time, (clock_sequence as u128) << 48 | node as u128)
}

/// A UUID of version 1 with this time and, in its lowest 62 bits, clock sequence and node.
pub(crate) const fn uuid1_of(time: u64, low: u128) -> u128 {
    let time = time as u128;
    let high = (time & 0xffff_ffff) << 96 | (time >> 32 & 0xffff) << 80 | (time >> 48) << 64;
    high | 1 << 76 | VARIANT | low
}

/// The time of a UUID of version 1, in units of 100 ns since 1582-10-15.
#[allow(clippy::cast_possible_truncation)]
pub(crate) const fn uuid1_time(bits: u128) -> u64 {
    let (low, mid, high) = (bits >> 96, bits >> 80 & 0xffff, bits >> 64 & 0xfff);
    (high << 48 | mid << 32 | low) as u64
}

/// The milliseconds since the Unix epoch of such a time and the rest; `None` before that.
#[allow(clippy::cast_possible_truncation)]
pub(crate) const fn unix_time(time: u64) -> Option<(u64, u32)> {
    let rest = (time % UUID1_SPACE as u64) as u32;
    match (time / UUID1_SPACE as u64).checked_sub(GREGORIAN_MS) {
        Some(unix_ms) => Some((unix_ms, rest)),
        None => None,
    }
}

/// The version of a UUID, if its variant is that of RFC 9562.
#[allow(clippy::cast_possible_truncation)]
pub(crate) const fn uuid_version(bits: u128) -> Option<u8> {
    if bits >> 62 & 0b11 != 0b10 {
        return None;
    }
    Some((bits >> 76 & 0xf) as u8)
}

const fn low(random: u64, bits: u32) -> u128 {
    (random & ((1 << bits) - 1)) as u128
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_in_comes_out() {
        for place in [0, 1, 0x1234_5678, 0xf_ffff, 0x10_0000, u32::MAX] {
            for random in [0, u64::MAX] {
                let placed = Placed { unix_ms: 0x0123_4567_89ab, place };
                assert_eq!(read_ulid(ulid(placed, random)), placed);
                assert_eq!(read_uuid7(uuid7(placed, random)), placed);
                assert_eq!(uuid_version(uuid7(placed, random)), Some(7));
            }
        }
        for number in [0, 1, 9_999] {
            let bits = uuid1(1_700_000_000_123, number, 0x3fff, 0xffff_ffff_ffff);
            assert_eq!(unix_time(uuid1_time(bits)), Some((1_700_000_000_123, number)));
            assert_eq!(uuid_version(bits), Some(1));
            assert_eq!((bits >> 48 & 0x3fff, bits & 0xffff_ffff_ffff), (0x3fff, 0xffff_ffff_ffff));
        }
    }

    #[test]
    fn place_stands_above_what_is_random() {
        let at = |place| Placed { unix_ms: 5, place };
        assert!(ulid(at(7), u64::MAX) < ulid(at(8), 0));
        assert!(uuid7(at(0xf_ffff), u64::MAX) < uuid7(at(0x10_0000), 0));
        let later = Placed { unix_ms: 6, place: 0 };
        assert!(uuid7(at(u32::MAX), u64::MAX) < uuid7(later, 0));
    }

    #[test]
    fn the_last_uuid1_has_the_last_time() {
        let bits = uuid1(UUID1_MS_MAX, UUID1_SPACE - 1, 0, 0);
        assert_eq!(uuid_version(bits), Some(1));
        assert_eq!(unix_time(uuid1_time(bits)), Some((UUID1_MS_MAX, UUID1_SPACE - 1)));
        assert!((UUID1_MS_MAX + 2 + GREGORIAN_MS) * u64::from(UUID1_SPACE) > 1 << 60);
    }

    #[test]
    fn a_time_before_1970_is_none() {
        assert_eq!(unix_time(0), None);
        assert_eq!(unix_time(GREGORIAN_MS * 10_000), Some((0, 0)));
        assert_eq!(unix_time(GREGORIAN_MS * 10_000 - 1), None);
    }
}
