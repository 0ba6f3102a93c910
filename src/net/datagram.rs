//! One datagram: what it means and what is answered. No I/O.
//!
//! Whoever can put a false source address on a datagram must gain nothing by it: a reply is never
//! longer than what asked for it, and what is not a good request is not answered at all (an answer
//! to garbage lets two servers answer each other for ever, CVE-2024-2169).

use coreflake_engine::{Demand, Outcome, RunSink};
use coreflake_protocol::frame::{self, DATAGRAM_SIZE_MAX, HEADER_SIZE, REQUEST_SIZE_MAX, Split};
use coreflake_protocol::{
    Count, DecodeError, ErrorCode, ErrorReply, RUN_SIZE, Request, Response, Run, RunsWriter, Tick,
};

use crate::clock::WallTime;
use crate::counters::Reject;
use crate::limits::OVERLOADED_RETRY_MS;
use crate::service::{Service, Turn, error_reply, refusal_reply};

/// A request for IDs that came in a datagram.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DatagramRequest {
    request_id: u64,
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
}

/// What becomes of a datagram.
#[derive(Debug)]
pub(crate) enum Answer {
    /// A reply stands at the end of the output.
    Reply,
    /// There is sequence space again at this tick.
    Wait(Tick),
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
        Ok(Request::Generate { kind: _, count }) => {
            let arrived = turn.begun();
            return Meaning::Generate(DatagramRequest { request_id, count, size, arrived });
        }
        Ok(Request::Parse { kind: _, id }) => Response::Parse(service.parse(id)),
        Ok(Request::Health) => Response::Health(service.health(turn)),
        Ok(Request::Info) => Response::Info(service.info(turn)),
        Ok(Request::Ping) => Response::Ping,
        // A datagram has no connection that a token could open.
        Ok(Request::Auth { .. }) => return dropped(Reject::DatagramOperation),
        Err(
            error @ (DecodeError::UnknownKind { .. }
            | DecodeError::InvalidCount { .. }
            | DecodeError::InvalidId { .. }),
        ) => {
            service.counters().reject(error.into());
            let text = error.to_string();
            let reply = error_reply(error.code(), 0, text.as_bytes());
            return Meaning::Settled(fit(&reply, request_id, size, service, out));
        }
        Err(error) => return dropped(error.into()),
    };
    Meaning::Settled(fit(&response, request_id, size, service, out))
}

/// Issues what fits into the reply to `request`, and answers at the end of `out`.
pub(crate) fn generate(
    request: &DatagramRequest,
    service: &mut Service,
    turn: &Turn,
    out: &mut Vec<u8>,
) -> Answer {
    let mut demand = Demand::new(request.count);
    let mut writer = RunsWriter::begin(out, request.request_id);
    let size_max = out.len() + (request.size - HEADER_SIZE);
    let mut sink = DatagramSink { writer: &mut writer, out, size_max };
    let outcome = service.generate(turn, &mut demand, &mut sink);
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
        Outcome::Wait { until } => {
            writer.cancel(out);
            Answer::Wait(until)
        }
        Outcome::Done => unreachable!("a GENERATE frame is as long as a reply with one run"),
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

/// Runs of a reply in a datagram: as many as the request had bytes for.
struct DatagramSink<'a> {
    writer: &'a mut RunsWriter,
    out: &'a mut Vec<u8>,
    size_max: usize,
}

impl RunSink for DatagramSink<'_> {
    fn has_room(&self) -> bool {
        self.out.len() + RUN_SIZE <= self.size_max
    }

    fn push(&mut self, run: Run) {
        self.writer.push(self.out, run);
    }
}
