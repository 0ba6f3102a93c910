//! Which sort of ID a request is about.

use core::fmt;
use core::str::FromStr;

/// A kind of ID, as one byte on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// 64-bit, time-ordered: time, datacenter, worker, sequence.
    Snowflake,
    /// 64-bit, time-ordered: time, shard of the user's database, sequence.
    Instagram,
    /// 128-bit: UUID version 1 of RFC 9562. Its bytes do not sort by time.
    Uuid1,
    /// 128-bit, time-ordered, 26 characters.
    Ulid,
    /// 128-bit, time-ordered: UUID version 7 of RFC 9562.
    Uuid7,
}

/// The name is that of no kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownKind;

impl Kind {
    /// Every kind this version speaks, in the order of their bytes.
    pub const ALL: [Self; 5] =
        [Self::Snowflake, Self::Instagram, Self::Uuid1, Self::Ulid, Self::Uuid7];

    /// The kind's byte on the wire.
    pub const fn wire(self) -> u8 {
        match self {
            Self::Snowflake => 1,
            Self::Instagram => 2,
            Self::Uuid1 => 3,
            Self::Ulid => 4,
            Self::Uuid7 => 5,
        }
    }

    /// The kind with this byte, or `None`.
    pub const fn from_wire(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Snowflake),
            2 => Some(Self::Instagram),
            3 => Some(Self::Uuid1),
            4 => Some(Self::Ulid),
            5 => Some(Self::Uuid7),
            _ => None,
        }
    }

    /// Its place in [`Kind::ALL`].
    pub const fn index(self) -> usize {
        self.wire() as usize - 1
    }

    /// The name used in configuration, on the command line and in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Snowflake => "snowflake",
            Self::Instagram => "instagram",
            Self::Uuid1 => "uuid1",
            Self::Ulid => "ulid",
            Self::Uuid7 => "uuid7",
        }
    }

    /// Whether its IDs have 128 bits. All others are numbers of 63 bits.
    pub const fn is_wide(self) -> bool {
        matches!(self, Self::Uuid1 | Self::Ulid | Self::Uuid7)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|kind| kind.name() == name).ok_or(UnknownKind)
    }
}

impl fmt::Display for UnknownKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the kinds are")?;
        Kind::ALL.iter().enumerate().try_for_each(|(place, kind)| {
            write!(f, "{} `{kind}`", if place == 0 { "" } else { "," })
        })
    }
}

impl core::error::Error for UnknownKind {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_found_by_byte_and_by_name() {
        for (place, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(Kind::from_wire(kind.wire()), Some(kind));
            assert_eq!(kind.name().parse(), Ok(kind));
            assert_eq!(kind.index(), place);
        }
        assert_eq!((Kind::from_wire(0), Kind::from_wire(6)), (None, None));
        assert_eq!("ULID".parse::<Kind>(), Err(UnknownKind));
        let text = "the kinds are `snowflake`, `instagram`, `uuid1`, `ulid`, `uuid7`";
        assert_eq!(UnknownKind.to_string(), text);
    }
}
