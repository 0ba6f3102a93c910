//! Which sort of ID a request is about.

/// A kind of ID, as one byte on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// 64-bit, time-ordered: time, datacenter, worker, sequence.
    Snowflake,
}

impl Kind {
    /// Every kind this version speaks.
    pub const ALL: [Self; 1] = [Self::Snowflake];

    /// The kind's byte on the wire.
    pub const fn wire(self) -> u8 {
        match self {
            Self::Snowflake => 1,
        }
    }

    /// The kind with this byte, or `None`.
    pub const fn from_wire(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Snowflake),
            _ => None,
        }
    }

    /// The name used in configuration, on the command line and in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Snowflake => "snowflake",
        }
    }
}
