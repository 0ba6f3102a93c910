//! Why a request could not be read.

use core::fmt;

use crate::any_id::IdError;
use crate::code::ErrorCode;
use crate::count::Count;
use crate::frame::{HEADER_SIZE, LENGTH_SIZE, VERSION};
use crate::kind::Kind;

/// What is wrong with the bytes of a request. Small and without text, so that rejecting costs
/// nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// The length field holds this, which is below the header or above the limit.
    FrameSize {
        /// The length field as received.
        length: u32,
        /// The largest length allowed here.
        length_max: u32,
    },
    /// The version byte holds this.
    UnsupportedVersion {
        /// The version as received.
        version: u8,
    },
    /// The opcode is that of a reply.
    UnexpectedResponse {
        /// The opcode as received.
        opcode: u8,
    },
    /// No operation has this opcode.
    UnknownOpcode {
        /// The opcode as received.
        opcode: u8,
    },
    /// A bit that must be zero is not: in the flags or in a reserved field.
    ReservedBits,
    /// The payload has a length that its operation does not.
    PayloadSize {
        /// Bytes of payload received.
        size: usize,
        /// The shortest payload of the operation in bytes.
        size_min: usize,
        /// The longest payload of the operation in bytes.
        size_max: usize,
    },
    /// No kind of ID has this number.
    UnknownKind {
        /// The kind as received.
        kind: u8,
    },
    /// The count is 0 or too large.
    InvalidCount {
        /// The count as received.
        count: u32,
    },
    /// The bits are no ID of the kind.
    InvalidId {
        /// The kind.
        kind: Kind,
        /// What is wrong with them.
        error: IdError,
    },
}

impl DecodeError {
    /// The code that tells the peer.
    pub const fn code(self) -> ErrorCode {
        match self {
            Self::FrameSize { .. } => ErrorCode::FrameSize,
            Self::UnsupportedVersion { .. } => ErrorCode::UnsupportedVersion,
            Self::UnexpectedResponse { .. } => ErrorCode::UnexpectedResponse,
            Self::UnknownOpcode { .. } => ErrorCode::UnknownOpcode,
            Self::ReservedBits => ErrorCode::ReservedBits,
            Self::PayloadSize { .. } => ErrorCode::PayloadSize,
            Self::UnknownKind { .. } => ErrorCode::UnknownKind,
            Self::InvalidCount { .. } => ErrorCode::InvalidCount,
            Self::InvalidId { .. } => ErrorCode::InvalidId,
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::FrameSize { length, length_max } => {
                let length_min = HEADER_SIZE - LENGTH_SIZE;
                write!(f, "length {length}: {length_min} to {length_max} are allowed")
            }
            Self::UnsupportedVersion { version } => {
                write!(f, "version {version}: only {VERSION} is spoken")
            }
            Self::UnexpectedResponse { opcode } => {
                write!(f, "opcode {opcode:#04x} is a reply, requests are below 0x80")
            }
            Self::UnknownOpcode { opcode } => write!(f, "opcode {opcode:#04x} is unknown"),
            Self::ReservedBits => f.write_str("reserved bits must be zero"),
            Self::PayloadSize { size, size_min, size_max } if size_min == size_max => {
                write!(f, "payload of {size} bytes: this operation has {size_min}")
            }
            Self::PayloadSize { size, size_min, size_max } => {
                write!(f, "payload of {size} bytes: {size_min} to {size_max} are allowed")
            }
            Self::UnknownKind { kind } => {
                write!(f, "kind {kind} is unknown; spoken are")?;
                Kind::ALL
                    .iter()
                    .try_for_each(|kind| write!(f, " {} ({})", kind.wire(), kind.name()))
            }
            Self::InvalidCount { count } => {
                write!(f, "count {count}: 1 to {} are allowed", Count::MAX)
            }
            Self::InvalidId { kind, error } => write!(f, "no ID of kind {kind}: {error}"),
        }
    }
}

impl core::error::Error for DecodeError {}
