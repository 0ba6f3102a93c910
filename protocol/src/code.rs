//! Why a request was not answered: one number per reason, stable for ever.

use core::fmt;

/// The reason in an ERROR reply. Codes from 0x0100 on are refusals: the request was good, and the
/// same request may succeed after `retry_after_ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorCode {
    /// The length of a frame is below the header or above the limit. The connection closes.
    FrameSize,
    /// The version of a frame is not spoken here. The connection closes.
    UnsupportedVersion,
    /// No operation has this opcode.
    UnknownOpcode,
    /// A bit that must be zero is not.
    ReservedBits,
    /// The payload is too short or too long for its operation.
    PayloadSize,
    /// No kind of ID has this number.
    UnknownKind,
    /// The count is 0 or above the limit.
    InvalidCount,
    /// The number is no ID of the kind.
    InvalidId,
    /// A reply was sent as a request. The connection closes.
    UnexpectedResponse,
    /// The connection has not shown a valid token. The connection closes.
    Unauthenticated,
    /// The reply would be longer than the datagram that asked for it: pad the request.
    ReplyTooLarge,
    /// The server has no window yet.
    Starting,
    /// The server is shutting down: use another one.
    Draining,
    /// The clock went back by a second or more.
    ClockRegression,
    /// The clock differs from the time of others by more than a second.
    ClockDrift,
    /// The reserved window is used up and could not be extended.
    WindowExhausted,
    /// The clock is past the last tick of the layout. Retrying does not help.
    TimestampExhausted,
    /// Too many requests are waiting for sequence space.
    Overloaded,
}

impl ErrorCode {
    /// Every code, in the order of their numbers.
    pub const ALL: [Self; 18] = [
        Self::FrameSize,
        Self::UnsupportedVersion,
        Self::UnknownOpcode,
        Self::ReservedBits,
        Self::PayloadSize,
        Self::UnknownKind,
        Self::InvalidCount,
        Self::InvalidId,
        Self::UnexpectedResponse,
        Self::Unauthenticated,
        Self::ReplyTooLarge,
        Self::Starting,
        Self::Draining,
        Self::ClockRegression,
        Self::WindowExhausted,
        Self::TimestampExhausted,
        Self::Overloaded,
        Self::ClockDrift,
    ];

    /// The code's number on the wire.
    pub const fn wire(self) -> u16 {
        match self {
            Self::FrameSize => 0x0001,
            Self::UnsupportedVersion => 0x0002,
            Self::UnknownOpcode => 0x0003,
            Self::ReservedBits => 0x0004,
            Self::PayloadSize => 0x0005,
            Self::UnknownKind => 0x0006,
            Self::InvalidCount => 0x0007,
            Self::InvalidId => 0x0008,
            Self::UnexpectedResponse => 0x0009,
            Self::Unauthenticated => 0x000a,
            Self::ReplyTooLarge => 0x000b,
            Self::Starting => 0x0100,
            Self::Draining => 0x0101,
            Self::ClockRegression => 0x0102,
            Self::WindowExhausted => 0x0103,
            Self::TimestampExhausted => 0x0104,
            Self::Overloaded => 0x0105,
            Self::ClockDrift => 0x0106,
        }
    }

    /// The code with this number, or `None`: a newer server may know more.
    pub fn from_wire(number: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.wire() == number)
    }

    /// The name used in documents, messages and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::FrameSize => "FRAME_SIZE",
            Self::UnsupportedVersion => "UNSUPPORTED_VERSION",
            Self::UnknownOpcode => "UNKNOWN_OPCODE",
            Self::ReservedBits => "RESERVED_BITS",
            Self::PayloadSize => "PAYLOAD_SIZE",
            Self::UnknownKind => "UNKNOWN_KIND",
            Self::InvalidCount => "INVALID_COUNT",
            Self::InvalidId => "INVALID_ID",
            Self::UnexpectedResponse => "UNEXPECTED_RESPONSE",
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::ReplyTooLarge => "REPLY_TOO_LARGE",
            Self::Starting => "STARTING",
            Self::Draining => "DRAINING",
            Self::ClockRegression => "CLOCK_REGRESSION",
            Self::WindowExhausted => "WINDOW_EXHAUSTED",
            Self::TimestampExhausted => "TIMESTAMP_EXHAUSTED",
            Self::Overloaded => "OVERLOADED",
            Self::ClockDrift => "CLOCK_DRIFT",
        }
    }

    /// Whether the same request may succeed later or elsewhere.
    pub const fn is_retryable(self) -> bool {
        self.wire() >= 0x0100 && !matches!(self, Self::TimestampExhausted)
    }

    /// Whether the server closes the connection behind the reply.
    pub const fn closes_connection(self) -> bool {
        matches!(
            self,
            Self::FrameSize
                | Self::UnsupportedVersion
                | Self::UnexpectedResponse
                | Self::Unauthenticated
        )
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_unique_ascending_and_come_back() {
        assert!(ErrorCode::ALL.windows(2).all(|pair| pair[0].wire() < pair[1].wire()));
        assert!(ErrorCode::ALL.iter().all(|code| ErrorCode::from_wire(code.wire()) == Some(*code)));
        assert_eq!(ErrorCode::from_wire(0), None);
    }
}
