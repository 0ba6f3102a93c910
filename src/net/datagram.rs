//! One datagram: what it means and what is answered. No I/O.
//!
//! Whoever can put a false source address on a datagram must gain nothing by it: a reply is never
//! longer than what asked for it, and what is not a good request is not answered at all (an answer
//! to garbage lets two servers answer each other for ever, CVE-2024-2169).

use coreflake_engine::{Demand, IdSink, Outcome};
use coreflake_protocol::frame::{self, DATAGRAM_SIZE_MAX, HEADER_SIZE, REQUEST_SIZE_MAX, Split};
use coreflake_protocol::{
    Count, DecodeError, ErrorCode, ErrorReply, IdsWriter, Kind, RUN_SIZE, Request, Response, Run,
    WIDE_SIZE,
};

use crate::clock::WallTime;
use crate::counters::Reject;
use crate::limits::OVERLOADED_RETRY_MS;
use crate::service::{Service, Turn, error_reply, refusal_reply};

/// A request for IDs that came in a datagram.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DatagramRequest {
    request_id: u64,
    kind: Kind,
    count: Count,
    /// The size of the datagram, which the reply must not exceed.
    size: usize,
    arrived: WallTime,
}

impl DatagramRequest {
    /// How many IDs are asked for.
    pub(crate) const fn ids(&self) -> u32 {
        self.count.get()
    }

    /// Of which kind.
    pub(crate) const fn kind(&self) -> Kind {
        self.kind
    }
}

/// What becomes of a datagram.
#[derive(Debug)]
pub(crate) enum Answer {
    /// A reply stands at the end of the output.
    Reply,
    /// There is sequence space again at this time, in milliseconds since the Unix epoch.
    Wait(u64),
    /// Nothing is sent.
    Drop(Reject),
}

/// What a datagram asks for.
#[derive(Debug)]
pub(crate) enum Meaning {
    /// IDs.
    Generate(DatagramRequest),
    /// Something that has been answered, or not.
    Settled(Answer),
}

/// Reads a datagram and answers it at the end of `out`, unless it asks for IDs.
pub(crate) fn read(datagram: &[u8], service: &Service, turn: &Turn, out: &mut Vec<u8>) -> Meaning {
    let size = datagram.len();
    if !(HEADER_SIZE..=DATAGRAM_SIZE_MAX).contains(&size) {
        return dropped(Reject::DatagramSize);
    }
    let (frame, padding) = match frame::split(datagram, REQUEST_SIZE_MAX) {
        Ok(Split::Complete { frame, consumed }) => (frame, &datagram[consumed..]),
        Ok(Split::Incomplete) => return dropped(Reject::DatagramSize),
        Err(error) => return dropped(error.into()),
    };
    if padding.iter().any(|byte| *byte != 0) {
        return dropped(Reject::DatagramPadding);
    }
    let request_id = frame.header.request_id;
    let response = match Request::decode(&frame) {
        Ok(Request::Generate { .. }) if service.is_draining() => {
            service.counters().reject(Reject::Draining);
            error_reply(ErrorCode::Draining, 0, b"the server is shutting down")
        }
        Ok(Request::Generate { kind, count }) => {
            let arrived = turn.begun();
            return Meaning::Generate(DatagramRequest { request_id, kind, count, size, arrived });
        }
        Ok(Request::Parse { id }) => match service.parse(id) {
            Ok(parsed) => Response::Parse(parsed.into()),
            Err(error) => {
                let error = DecodeError::InvalidId { kind: id.kind(), error };
                return refused(error, request_id, size, service, out);
            }
        },
        Ok(Request::Health) => Response::Health(service.health(turn)),
        Ok(Request::Info) => Response::Info(service.info(turn)),
        Ok(Request::Ping) => Response::Ping,
        // A datagram has no connection that a token could open.
        Ok(Request::Auth { .. }) => return dropped(Reject::DatagramOperation),
        Err(
            error @ (DecodeError::UnknownKind { .. }
            | DecodeError::InvalidCount { .. }
            | DecodeError::InvalidId { .. }),
        ) => return refused(error, request_id, size, service, out),
        Err(error) => return dropped(error.into()),
    };
    Meaning::Settled(fit(&response, request_id, size, service, out))
}

/// Says what is wrong with a request whose frame is right.
fn refused(
    error: DecodeError,
    request_id: u64,
    size: usize,
    service: &Service,
    out: &mut Vec<u8>,
) -> Meaning {
    service.counters().reject(error.into());
    let text = error.to_string();
    let reply = error_reply(error.code(), 0, text.as_bytes());
    Meaning::Settled(fit(&reply, request_id, size, service, out))
}

/// Issues what fits into the reply to `request`, and answers at the end of `out`.
pub(crate) fn generate(
    request: &DatagramRequest,
    service: &mut Service,
    turn: &Turn,
    out: &mut Vec<u8>,
) -> Answer {
    let mut demand = Demand::new(request.count);
    let mut writer = IdsWriter::begin(out, request.request_id);
    let size_max = out.len() + (request.size - HEADER_SIZE);
    let mut sink = DatagramSink { writer: &mut writer, kind: request.kind, out, size_max };
    if sink.room() == 0 {
        // A request without padding has room for a run, and not for an ID of 128 bits.
        writer.cancel(out);
        return too_large(HEADER_SIZE + WIDE_SIZE, request.request_id, request.size, service, out);
    }
    let outcome = service.generate(turn, request.kind, &mut demand, &mut sink);
    match outcome {
        // Fewer than asked for is an answer: the peer asks again for the rest.
        _ if !writer.is_empty() => {
            writer.finish(out);
            service.met(turn, request.arrived);
            Answer::Reply
        }
        Outcome::Refused(refusal) => {
            writer.cancel(out);
            fit(&refusal_reply(refusal), request.request_id, request.size, service, out)
        }
        Outcome::Wait { until_ms } => {
            writer.cancel(out);
            Answer::Wait(until_ms)
        }
        Outcome::Done => unreachable!("there was room for an ID"),
    }
}

/// Says that too many requests wait for sequence space.
pub(crate) fn overloaded(
    request: &DatagramRequest,
    service: &Service,
    out: &mut Vec<u8>,
) -> Answer {
    service.counters().reject(Reject::Overloaded);
    let text = b"too many requests wait for sequence space";
    let reply = error_reply(ErrorCode::Overloaded, OVERLOADED_RETRY_MS, text);
    fit(&reply, request.request_id, request.size, service, out)
}

/// Encodes a reply that is not longer than the datagram that asked for it: the text of an error is
/// cut; another reply gives way to an error.
fn fit(
    response: &Response<'_>,
    request_id: u64,
    size: usize,
    service: &Service,
    out: &mut Vec<u8>,
) -> Answer {
    let start = out.len();
    if let Response::Error(error) = response {
        let Some(text_size_max) = size.checked_sub(ErrorReply::FRAME_SIZE_MIN) else {
            return Answer::Drop(Reject::ReplyTooLarge);
        };
        // The texts are ASCII: a cut leaves no half character.
        let text = &error.text[..error.text.len().min(text_size_max)];
        Response::Error(ErrorReply { text, ..*error }).encode(request_id, out);
        return Answer::Reply;
    }
    response.encode(request_id, out);
    let reply_size = out.len() - start;
    if reply_size <= size {
        return Answer::Reply;
    }
    out.truncate(start);
    too_large(reply_size, request_id, size, service, out)
}

/// Says how long a datagram has to be for its reply.
fn too_large(
    reply_size: usize,
    request_id: u64,
    size: usize,
    service: &Service,
    out: &mut Vec<u8>,
) -> Answer {
    if size < ErrorReply::FRAME_SIZE_MIN {
        return Answer::Drop(Reject::ReplyTooLarge);
    }
    service.counters().reject(Reject::ReplyTooLarge);
    let text = format!("pad the request to {reply_size} bytes");
    let reply = error_reply(ErrorCode::ReplyTooLarge, 0, text.as_bytes());
    fit(&reply, request_id, size, service, out)
}

const fn dropped(reason: Reject) -> Meaning {
    Meaning::Settled(Answer::Drop(reason))
}

/// IDs of a reply in a datagram: as many as the request had bytes for.
struct DatagramSink<'a> {
    writer: &'a mut IdsWriter,
    kind: Kind,
    out: &'a mut Vec<u8>,
    size_max: usize,
}

impl IdSink for DatagramSink<'_> {
    #[allow(clippy::cast_possible_truncation)] // Of 1,200 bytes.
    fn room(&self) -> u32 {
        let left = self.size_max.saturating_sub(self.out.len());
        match (self.kind.is_wide(), left >= RUN_SIZE) {
            (true, _) => (left / WIDE_SIZE) as u32,
            // However many IDs a run has.
            (false, true) => u32::MAX,
            (false, false) => 0,
        }
    }

    fn push(&mut self, run: Run) {
        self.writer.push(self.out, run);
    }

    fn push_wide(&mut self, bits: u128) {
        self.writer.push_wide(self.out, bits);
    }
}
