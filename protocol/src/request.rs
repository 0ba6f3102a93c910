//! What a peer can ask for.

use crate::any_id::{AnyId, IdError};
use crate::count::Count;
use crate::encoding::Encoding;
use crate::error::DecodeError;
use crate::frame::{self, Frame, Header, RESPONSE_BIT, VERSION};
use crate::id::Id;
use crate::kind::Kind;
use crate::reader::Reader;

/// The operations, as one byte on the wire. A reply carries the same number with the high bit set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Opcode {
    /// Make IDs.
    Generate,
    /// Take an ID apart.
    Parse,
    /// How the server is.
    Health,
    /// What the server is: layout, slot, limits.
    Info,
    /// Nothing but an answer.
    Ping,
    /// Show a token.
    Auth,
}

/// A request, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// Make `count` IDs of `kind`.
    Generate {
        /// The kind of ID.
        kind: Kind,
        /// How many.
        count: Count,
    },
    /// Take an ID apart.
    Parse {
        /// The ID.
        id: AnyId,
    },
    /// How the server is.
    Health,
    /// What the server is.
    Info,
    /// Nothing but an answer.
    Ping,
    /// Show a token.
    Auth {
        /// The token, 1 to [`Request::TOKEN_SIZE_MAX`] bytes.
        token: &'a [u8],
    },
}

const GENERATE_SIZE: usize = 12;
const PARSE_SIZE: usize = 16;
const PARSE_WIDE_SIZE: usize = 24;

impl Opcode {
    /// Every operation, in the order of their numbers.
    pub const ALL: [Self; 6] =
        [Self::Generate, Self::Parse, Self::Health, Self::Info, Self::Ping, Self::Auth];

    /// The operation's byte on the wire.
    pub const fn wire(self) -> u8 {
        match self {
            Self::Generate => 0x01,
            Self::Parse => 0x02,
            Self::Health => 0x03,
            Self::Info => 0x04,
            Self::Ping => 0x05,
            Self::Auth => 0x06,
        }
    }

    /// The operation with this byte, or `None`.
    pub const fn from_wire(byte: u8) -> Option<Self> {
        match byte {
            0x01 => Some(Self::Generate),
            0x02 => Some(Self::Parse),
            0x03 => Some(Self::Health),
            0x04 => Some(Self::Info),
            0x05 => Some(Self::Ping),
            0x06 => Some(Self::Auth),
            _ => None,
        }
    }

    /// The byte of the operation's reply.
    pub const fn reply(self) -> u8 {
        self.wire() | RESPONSE_BIT
    }
}

impl<'a> Request<'a> {
    /// The longest token in bytes.
    pub const TOKEN_SIZE_MAX: usize = 512;

    /// Reads a request.
    ///
    /// # Errors
    ///
    /// Says what is wrong: header, size, kind, reserved bytes and value are judged in this order.
    pub fn decode(frame: &Frame<'a>) -> Result<Self, DecodeError> {
        let opcode = check_header(&frame.header)?;
        let payload = frame.payload;
        match opcode {
            Opcode::Generate => {
                let mut reader = sized(payload, GENERATE_SIZE)?;
                let kind = kind(reader.u8())?;
                let reserved = reader.zeros::<3>();
                let count = reader.u32();
                if !(reserved & reader.zeros::<4>()) {
                    return Err(DecodeError::ReservedBits);
                }
                let count = Count::new(count).ok_or(DecodeError::InvalidCount { count })?;
                Ok(Self::Generate { kind, count })
            }
            Opcode::Parse => parse(payload).map(|id| Self::Parse { id }),
            Opcode::Health => sized(payload, 0).map(|_| Self::Health),
            Opcode::Info => sized(payload, 0).map(|_| Self::Info),
            Opcode::Ping => sized(payload, 0).map(|_| Self::Ping),
            Opcode::Auth => {
                if payload.is_empty() || payload.len() > Self::TOKEN_SIZE_MAX {
                    let (size, size_max) = (payload.len(), Self::TOKEN_SIZE_MAX);
                    return Err(DecodeError::PayloadSize { size, size_min: 1, size_max });
                }
                Ok(Self::Auth { token: payload })
            }
        }
    }

    /// Appends the request as one frame.
    ///
    /// # Panics
    ///
    /// When a token is longer than [`Request::TOKEN_SIZE_MAX`] or empty.
    pub fn encode(&self, request_id: u64, out: &mut Vec<u8>) {
        let start = frame::begin(out, self.opcode().wire(), request_id);
        match *self {
            Self::Generate { kind, count } => {
                out.extend_from_slice(&[kind.wire(), 0, 0, 0]);
                out.extend_from_slice(&count.get().to_be_bytes());
                out.extend_from_slice(&[0; 4]);
            }
            Self::Parse { id } => {
                out.extend_from_slice(&[id.kind().wire(), 0, 0, 0, 0, 0, 0, 0]);
                match id.id() {
                    Some(id) => out.extend_from_slice(&id.get().to_be_bytes()),
                    None => out.extend_from_slice(&id.bits().to_be_bytes()),
                }
            }
            Self::Health | Self::Info | Self::Ping => {}
            Self::Auth { token } => {
                assert!((1..=Self::TOKEN_SIZE_MAX).contains(&token.len()), "token size");
                out.extend_from_slice(token);
            }
        }
        frame::finish(out, start);
    }

    /// The operation.
    pub const fn opcode(&self) -> Opcode {
        match self {
            Self::Generate { .. } => Opcode::Generate,
            Self::Parse { .. } => Opcode::Parse,
            Self::Health => Opcode::Health,
            Self::Info => Opcode::Info,
            Self::Ping => Opcode::Ping,
            Self::Auth { .. } => Opcode::Auth,
        }
    }
}

fn check_header(header: &Header) -> Result<Opcode, DecodeError> {
    let Header { version, opcode, flags, request_id: _ } = *header;
    if version != VERSION {
        return Err(DecodeError::UnsupportedVersion { version });
    }
    if opcode & RESPONSE_BIT != 0 {
        return Err(DecodeError::UnexpectedResponse { opcode });
    }
    let known = Opcode::from_wire(opcode).ok_or(DecodeError::UnknownOpcode { opcode })?;
    if flags != 0 {
        return Err(DecodeError::ReservedBits);
    }
    Ok(known)
}

/// The ID that a PARSE asks about: of 64 or 128 bits, as its kind has them.
fn parse(payload: &[u8]) -> Result<AnyId, DecodeError> {
    if payload.len() != PARSE_WIDE_SIZE {
        sized(payload, PARSE_SIZE).map_err(|_| parse_size(payload))?;
    }
    let mut reader = Reader::new(payload);
    let kind = kind(reader.u8())?;
    if kind.is_wide() != (payload.len() == PARSE_WIDE_SIZE) {
        return Err(parse_size(payload));
    }
    if !reader.zeros::<7>() {
        return Err(DecodeError::ReservedBits);
    }
    if kind.is_wide() {
        let bits = u128::from(reader.u64()) << 64 | u128::from(reader.u64());
        return AnyId::wide(kind, bits).map_err(|error| DecodeError::InvalidId { kind, error });
    }
    let id = Id::new(reader.u64()).and_then(|id| AnyId::narrow(kind, id));
    let error = IdError::Encoded(Encoding::Decimal);
    id.ok_or(DecodeError::InvalidId { kind, error })
}

const fn parse_size(payload: &[u8]) -> DecodeError {
    let size = payload.len();
    DecodeError::PayloadSize { size, size_min: PARSE_SIZE, size_max: PARSE_WIDE_SIZE }
}

fn sized(payload: &[u8], size: usize) -> Result<Reader<'_>, DecodeError> {
    if payload.len() != size {
        let (size_min, size_max) = (size, size);
        return Err(DecodeError::PayloadSize { size: payload.len(), size_min, size_max });
    }
    Ok(Reader::new(payload))
}

fn kind(byte: u8) -> Result<Kind, DecodeError> {
    Kind::from_wire(byte).ok_or(DecodeError::UnknownKind { kind: byte })
}
