//! What a server answers.

use core::fmt;

use crate::code::ErrorCode;
use crate::frame::{self, Frame, Header, RESPONSE_BIT, VERSION};
use crate::generated::Generated;
use crate::health::{HEALTH_SIZE, Health};
use crate::info::{INFO_SIZE, Info};
use crate::namespace::Parsed;
use crate::reader::Reader;
use crate::request::Opcode;

/// A reply. PARSE, HEALTH, INFO, PING and AUTH replies may grow at their end in later versions:
/// bytes behind the known fields are ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Response<'a> {
    /// The IDs asked for.
    Generate(Generated<'a>),
    /// The ID taken apart.
    Parse(ParseReply),
    /// How the server is.
    Health(Health),
    /// What the server is.
    Info(Info),
    /// The answer to PING.
    Ping,
    /// The token was accepted.
    Auth,
    /// Why there is no answer.
    Error(ErrorReply<'a>),
}

/// What an ID says, by the namespace of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseReply {
    /// When the ID was made, in milliseconds since the Unix epoch.
    pub unix_ms: u64,
    /// Datacenter and worker part of its slot; none when it names no slot of the namespace.
    pub slot: Option<(u16, u16)>,
    /// The place within the tick: see [`Parsed`].
    pub sequence: u32,
}

/// Why there is no answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ErrorReply<'a> {
    /// The code as a number: a newer server may send one that [`ErrorCode`] does not know.
    pub code: u16,
    /// When to try again in milliseconds; 0 when the request itself is at fault.
    pub retry_after_ms: u32,
    /// For people: UTF-8, at most [`ErrorReply::TEXT_SIZE_MAX`] bytes.
    pub text: &'a [u8],
}

/// Why a reply could not be read. The connection is of no use any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseError {
    /// The version is not spoken here.
    UnsupportedVersion(u8),
    /// No reply has this opcode.
    UnknownOpcode(u8),
    /// A flag is set that this version does not know.
    ReservedBits,
    /// The payload of this opcode is too short or holds a value that cannot be.
    Payload(u8),
}

/// The opcode of every ERROR reply.
pub(crate) const ERROR_OPCODE: u8 = 0xff;

const PARSE_SIZE: usize = 16;

/// Datacenter and worker part of what names no slot: no layout has both.
const NO_SLOT: (u16, u16) = (u16::MAX, u16::MAX);

const ERROR_SIZE: usize = 8;

impl<'a> Response<'a> {
    /// Reads a reply.
    ///
    /// # Errors
    ///
    /// When the frame is no reply of this version or its payload cannot be right.
    pub fn decode(frame: &Frame<'a>) -> Result<Self, ResponseError> {
        let Header { version, opcode, flags, request_id: _ } = frame.header;
        if version != VERSION {
            return Err(ResponseError::UnsupportedVersion(version));
        }
        if flags != 0 {
            return Err(ResponseError::ReservedBits);
        }
        if opcode == ERROR_OPCODE {
            return ErrorReply::decode(frame.payload).map(Self::Error);
        }
        let known = (opcode & RESPONSE_BIT != 0)
            .then(|| Opcode::from_wire(opcode & !RESPONSE_BIT))
            .flatten()
            .ok_or(ResponseError::UnknownOpcode(opcode))?;
        let invalid = ResponseError::Payload(opcode);
        match known {
            Opcode::Generate => Ok(Self::Generate(Generated::new(frame.payload))),
            Opcode::Parse => {
                let mut reader = at_least(frame, PARSE_SIZE)?;
                let unix_ms = reader.u64();
                let slot = (reader.u16(), reader.u16());
                let slot = Some(slot).filter(|slot| *slot != NO_SLOT);
                Ok(Self::Parse(ParseReply { unix_ms, slot, sequence: reader.u32() }))
            }
            Opcode::Health => Ok(Self::Health(Health::decode(at_least(frame, HEALTH_SIZE)?))),
            Opcode::Info => {
                Info::decode(at_least(frame, INFO_SIZE)?).map(Self::Info).ok_or(invalid)
            }
            Opcode::Ping => Ok(Self::Ping),
            Opcode::Auth => Ok(Self::Auth),
        }
    }

    /// Appends the reply as one frame.
    ///
    /// # Panics
    ///
    /// For [`Response::Generate`], which [`IdsWriter`](crate::IdsWriter) writes piece by piece.
    pub fn encode(&self, request_id: u64, out: &mut Vec<u8>) {
        let start = frame::begin(out, self.opcode(), request_id);
        match self {
            Self::Generate(_) => panic!("GENERATE replies are written by IdsWriter"),
            Self::Parse(reply) => {
                let (datacenter_id, worker_id) = reply.slot.unwrap_or(NO_SLOT);
                out.extend_from_slice(&reply.unix_ms.to_be_bytes());
                out.extend_from_slice(&datacenter_id.to_be_bytes());
                out.extend_from_slice(&worker_id.to_be_bytes());
                out.extend_from_slice(&reply.sequence.to_be_bytes());
            }
            Self::Health(health) => health.encode(out),
            Self::Info(info) => info.encode(out),
            Self::Ping | Self::Auth => {}
            Self::Error(error) => error.encode(out),
        }
        frame::finish(out, start);
    }

    const fn opcode(&self) -> u8 {
        match self {
            Self::Generate(_) => Opcode::Generate.reply(),
            Self::Parse(_) => Opcode::Parse.reply(),
            Self::Health(_) => Opcode::Health.reply(),
            Self::Info(_) => Opcode::Info.reply(),
            Self::Ping => Opcode::Ping.reply(),
            Self::Auth => Opcode::Auth.reply(),
            Self::Error(_) => ERROR_OPCODE,
        }
    }
}

impl ParseReply {
    /// The datacenter part of its slot, if it names one.
    pub fn datacenter_id(&self) -> Option<u16> {
        self.slot.map(|(datacenter_id, _)| datacenter_id)
    }

    /// The worker part of its slot, if it names one.
    pub fn worker_id(&self) -> Option<u16> {
        self.slot.map(|(_, worker_id)| worker_id)
    }
}

impl From<Parsed> for ParseReply {
    fn from(parsed: Parsed) -> Self {
        let Parsed { unix_ms, slot, sequence } = parsed;
        let slot = slot.map(|slot| (slot.datacenter_id(), slot.worker_id()));
        Self { unix_ms, slot, sequence }
    }
}

impl<'a> ErrorReply<'a> {
    /// The longest text in bytes; a longer one is cut.
    pub const TEXT_SIZE_MAX: usize = 160;

    /// The shortest ERROR frame, one without text, in bytes.
    pub const FRAME_SIZE_MIN: usize = frame::HEADER_SIZE + ERROR_SIZE;

    /// The code, unless it is newer than this crate.
    pub fn known_code(&self) -> Option<ErrorCode> {
        ErrorCode::from_wire(self.code)
    }

    fn decode(payload: &'a [u8]) -> Result<Self, ResponseError> {
        let invalid = ResponseError::Payload(ERROR_OPCODE);
        if payload.len() < ERROR_SIZE || payload.len() > ERROR_SIZE + Self::TEXT_SIZE_MAX {
            return Err(invalid);
        }
        let mut reader = Reader::new(payload);
        let (code, _reserved) = (reader.u16(), reader.u16());
        let retry_after_ms = reader.u32();
        let text = reader.rest();
        core::str::from_utf8(text).map_err(|_| invalid)?;
        Ok(Self { code, retry_after_ms, text })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.code.to_be_bytes());
        out.extend_from_slice(&[0; 2]);
        out.extend_from_slice(&self.retry_after_ms.to_be_bytes());
        out.extend_from_slice(utf8_prefix(self.text, Self::TEXT_SIZE_MAX));
    }
}

impl fmt::Debug for ErrorReply<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ErrorReply")
            .field("code", &self.code)
            .field("retry_after_ms", &self.retry_after_ms)
            .field("text", &String::from_utf8_lossy(self.text))
            .finish()
    }
}

impl fmt::Display for ResponseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnsupportedVersion(version) => write!(f, "reply in version {version}"),
            Self::UnknownOpcode(opcode) => write!(f, "reply with unknown opcode {opcode:#04x}"),
            Self::ReservedBits => f.write_str("reply with reserved bits set"),
            Self::Payload(opcode) => write!(f, "reply {opcode:#04x} with an impossible payload"),
        }
    }
}

impl core::error::Error for ResponseError {}

/// The front of `text`, at most `size_max` bytes, that ends between two characters.
fn utf8_prefix(text: &[u8], size_max: usize) -> &[u8] {
    let Some(rest) = text.get(size_max..) else { return text };
    let inside = rest.iter().take_while(|byte| **byte & 0xc0 == 0x80).count();
    if inside == 0 {
        return &text[..size_max];
    }
    let cut = &text[..size_max];
    &cut[..cut.iter().rposition(|byte| *byte & 0xc0 != 0x80).unwrap_or(0)]
}

fn at_least<'a>(frame: &Frame<'a>, size: usize) -> Result<Reader<'a>, ResponseError> {
    if frame.payload.len() < size {
        return Err(ResponseError::Payload(frame.header.opcode));
    }
    Ok(Reader::new(frame.payload))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters() {
        for lead in 0..4 {
            let text = format!("{}{}", "x".repeat(lead), "é\u{20ac}\u{1f600}".repeat(40));
            let error = ErrorReply { code: 9, retry_after_ms: 0, text: text.as_bytes() };
            let mut out = Vec::new();
            Response::Error(error).encode(1, &mut out);
            let Ok(frame::Split::Complete { frame, .. }) = frame::split(&out, 1024) else {
                panic!("one frame");
            };
            let Ok(Response::Error(read)) = Response::decode(&frame) else {
                panic!("valid UTF-8");
            };
            assert!(text.as_bytes().starts_with(read.text) && read.text.len() > 150);
        }
    }
}
