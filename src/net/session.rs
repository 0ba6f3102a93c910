//! One peer on a stream: what its bytes mean and what is answered. No I/O.

use std::sync::Arc;

use coreflake_engine::{Demand, IdSink, Outcome};
use coreflake_protocol::frame::{self, LENGTH_SIZE, REQUEST_SIZE_MAX, RESPONSE_SIZE_MAX, Split};
use coreflake_protocol::{
    AnyId, DecodeError, ErrorCode, Frame, IdError, IdsWriter, Kind, Request, Response, Run,
};

use crate::auth::Tokens;
use crate::clock::WallTime;
use crate::counters::Reject;
use crate::limits::{CONNECTION_ERRORS_MAX, OUTPUT_SIZE_MAX, TURN_FRAMES_MAX, TURN_IDS_MAX};
use crate::service::{Service, Turn, error_reply, refusal_reply};

/// The state of one connection.
#[derive(Debug)]
pub(crate) struct Session {
    tokens: Option<Arc<Tokens>>,
    authenticated: bool,
    /// Whether a frame has been received: from then on the peer speaks this protocol, if badly.
    begun: bool,
    errors: u32,
    waiting: Option<Waiting>,
}

/// A request whose reply is begun and needs more sequence space than the tick had.
#[derive(Debug)]
struct Waiting {
    writer: IdsWriter,
    kind: Kind,
    demand: Demand,
    request_id: u64,
    arrived: WallTime,
}

/// How far a turn came.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Bytes of input that are dealt with.
    pub(crate) consumed: usize,
    /// Bytes of output that are whole replies and can be sent.
    pub(crate) complete: usize,
    /// What comes next, once they are sent.
    pub(crate) next: Next,
}

/// What a connection has to do next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Read: every whole frame is answered.
    Read,
    /// Let others have their turn, then go on with what is there.
    Yield,
    /// Wait until it is this connection's turn to take numbers of a kind: there are more at this
    /// time, in milliseconds since the Unix epoch.
    Wait(Kind, u64),
    /// The same, behind those who wait already.
    Queue(Kind),
    /// Close, after the replies.
    Close,
    /// Close without a word: the peer does not speak this protocol.
    Drop,
}

impl Session {
    pub(crate) fn new(tokens: Option<Arc<Tokens>>) -> Self {
        let authenticated = tokens.is_none();
        Self { tokens, authenticated, begun: false, errors: 0, waiting: None }
    }

    /// Whether the peer has sent a whole frame, and shown a token if one is required.
    pub(crate) const fn is_settled(&self) -> bool {
        self.begun && self.authenticated
    }

    /// Answers the whole frames at the front of `input`, up to the limits of a turn, at the end of
    /// `out`. Unless it `may_issue` IDs of a kind, others have waited longer for them.
    pub(crate) fn advance(
        &mut self,
        input: &[u8],
        may_issue: impl Fn(Kind) -> bool,
        service: &mut Service,
        turn: &Turn,
        out: &mut Vec<u8>,
    ) -> Progress {
        let mut frames = 0;
        let mut ids_left = TURN_IDS_MAX;
        let mut consumed = 0;
        let next = loop {
            if let Some(waiting) = self.waiting.take() {
                let kind = waiting.kind;
                if !may_issue(kind) {
                    self.waiting = Some(waiting);
                    break Next::Queue(kind);
                }
                ids_left = ids_left.saturating_sub(waiting.demand.remaining());
                if let Some(until_ms) = self.issue(waiting, service, turn, out) {
                    break Next::Wait(kind, until_ms);
                }
            }
            let rest = &input[consumed..];
            let split = frame::split(rest, REQUEST_SIZE_MAX);
            let enough = frames == TURN_FRAMES_MAX
                || ids_left == 0
                || out.len() > OUTPUT_SIZE_MAX - RESPONSE_SIZE_MAX;
            match split {
                Ok(Split::Incomplete) => break Next::Read,
                _ if enough => break Next::Yield,
                Ok(Split::Complete { frame, consumed: size }) => {
                    consumed += size;
                    frames += 1;
                    self.begun = true;
                    if let Some(next) = self.answer(&frame, service, turn, out) {
                        break next;
                    }
                }
                Err(error) => {
                    if let Some(reason) = self.foreign(rest) {
                        service.counters().reject(reason);
                        break Next::Drop;
                    }
                    self.reject(error, 0, service, out);
                    break Next::Close;
                }
            }
        };
        service.counters().frames.add(u64::from(frames));
        let complete = self.waiting.as_ref().map_or(out.len(), |waiting| waiting.writer.start());
        Progress { consumed, complete, next }
    }

    /// Notes that `size` bytes were taken from the front of the output.
    pub(crate) fn output_sent(&mut self, size: usize) {
        if let Some(waiting) = &mut self.waiting {
            waiting.writer.shift(size);
        }
    }

    /// Answers one frame. `Some` when the connection does not go on to the next one.
    fn answer(
        &mut self,
        frame: &Frame<'_>,
        service: &mut Service,
        turn: &Turn,
        out: &mut Vec<u8>,
    ) -> Option<Next> {
        let request_id = frame.header.request_id;
        let request = match Request::decode(frame) {
            Ok(request) => request,
            Err(_) if !self.authenticated => {
                return Some(Self::unauthenticated(request_id, service, out));
            }
            Err(error) => return self.reject(error, request_id, service, out),
        };
        if !self.authenticated && !matches!(request, Request::Auth { .. } | Request::Ping) {
            return Some(Self::unauthenticated(request_id, service, out));
        }
        let response = match request {
            Request::Generate { .. } if service.is_draining() => {
                service.counters().reject(Reject::Draining);
                error_reply(ErrorCode::Draining, 0, b"the server is shutting down")
            }
            Request::Generate { kind, count } => {
                let writer = IdsWriter::begin(out, request_id);
                let demand = Demand::new(count);
                let arrived = turn.begun();
                self.waiting = Some(Waiting { writer, kind, demand, request_id, arrived });
                return None;
            }
            Request::Parse { id } => match service.parse(id) {
                Ok(parsed) => Response::Parse(parsed.into()),
                Err(error) => return self.reject(invalid(id, error), request_id, service, out),
            },
            Request::Health => Response::Health(service.health(turn)),
            Request::Info => Response::Info(service.info(turn)),
            Request::Ping => Response::Ping,
            Request::Auth { token } => {
                if self.tokens.as_ref().is_some_and(|tokens| !tokens.accept(token)) {
                    return Some(Self::unauthenticated(request_id, service, out));
                }
                self.authenticated = true;
                Response::Auth
            }
        };
        response.encode(request_id, out);
        None
    }

    /// Goes on with a GENERATE reply. `Some` when it has to wait.
    fn issue(
        &mut self,
        mut waiting: Waiting,
        service: &mut Service,
        turn: &Turn,
        out: &mut Vec<u8>,
    ) -> Option<u64> {
        let mut sink = StreamSink { writer: &mut waiting.writer, out };
        match service.generate(turn, waiting.kind, &mut waiting.demand, &mut sink) {
            Outcome::Done => {
                waiting.writer.finish(out);
                service.met(turn, waiting.arrived);
            }
            Outcome::Wait { until_ms } => {
                self.waiting = Some(waiting);
                return Some(until_ms);
            }
            Outcome::Refused(refusal) => {
                waiting.writer.cancel(out);
                refusal_reply(refusal).encode(waiting.request_id, out);
            }
        }
        None
    }

    /// Says what is wrong with a frame. `Some` when that was the last word.
    #[cold]
    fn reject(
        &mut self,
        error: DecodeError,
        request_id: u64,
        service: &Service,
        out: &mut Vec<u8>,
    ) -> Option<Next> {
        let code = error.code();
        service.counters().reject(error.into());
        error_reply(code, 0, error.to_string().as_bytes()).encode(request_id, out);
        self.errors += 1;
        if self.errors == CONNECTION_ERRORS_MAX {
            service.counters().reject(Reject::TooManyErrors);
            return Some(Next::Close);
        }
        code.closes_connection().then_some(Next::Close)
    }

    #[cold]
    fn unauthenticated(request_id: u64, service: &Service, out: &mut Vec<u8>) -> Next {
        service.counters().reject(Reject::Unauthenticated);
        let text = b"a valid token must be shown first";
        error_reply(ErrorCode::Unauthenticated, 0, text).encode(request_id, out);
        Next::Close
    }

    /// What else the first bytes of a connection may be, when they are no frame.
    #[cold]
    fn foreign(&self, input: &[u8]) -> Option<Reject> {
        if self.begun {
            return None;
        }
        match *input.first_chunk::<LENGTH_SIZE>()? {
            // A TLS record: handshake, version 3.x.
            [0x16, 0x03, _, _] => Some(Reject::TlsOnPlainPort),
            [first, rest @ ..] if first.is_ascii_uppercase() => {
                let text = rest.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ');
                text.then_some(Reject::ForeignProtocol)
            }
            _ => None,
        }
    }
}

/// An ID that the layout has no time for.
const fn invalid(id: AnyId, error: IdError) -> DecodeError {
    DecodeError::InvalidId { kind: id.kind(), error }
}

/// IDs of a reply on a stream: there is room for all of them.
struct StreamSink<'a> {
    writer: &'a mut IdsWriter,
    out: &'a mut Vec<u8>,
}

impl IdSink for StreamSink<'_> {
    fn room(&self) -> u32 {
        u32::MAX
    }

    fn push(&mut self, run: Run) {
        self.writer.push(self.out, run);
    }

    fn push_wide(&mut self, bits: u128) {
        self.writer.push_wide(self.out, bits);
    }
}
