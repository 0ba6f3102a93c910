//! Requests as raw bytes, right and wrong, and replies.

use coreflake_protocol::frame::{self, RESPONSE_SIZE_MAX, Split};
use coreflake_protocol::{ErrorCode, ErrorReply, Frame, Info, Kind, Response, Run};

pub(crate) const GENERATE: u8 = 0x01;
pub(crate) const PARSE: u8 = 0x02;
pub(crate) const HEALTH: u8 = 0x03;
pub(crate) const INFO: u8 = 0x04;
pub(crate) const PING: u8 = 0x05;
pub(crate) const AUTH: u8 = 0x06;

/// Any frame whose length is right.
pub(crate) fn frame(opcode: u8, request_id: u64, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(12 + payload.len()).unwrap();
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.extend_from_slice(&[1, opcode, 0, 0]);
    bytes.extend_from_slice(&request_id.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// GENERATE with any count, allowed or not.
pub(crate) fn generate(request_id: u64, count: u32) -> Vec<u8> {
    generate_of(Kind::Snowflake, request_id, count)
}

/// The same of any kind.
pub(crate) fn generate_of(kind: Kind, request_id: u64, count: u32) -> Vec<u8> {
    let [a, b, c, d] = count.to_be_bytes();
    frame(GENERATE, request_id, &[kind.wire(), 0, 0, 0, a, b, c, d, 0, 0, 0, 0])
}

pub(crate) fn parse(request_id: u64, id: u64) -> Vec<u8> {
    let mut payload = vec![1, 0, 0, 0, 0, 0, 0, 0];
    payload.extend_from_slice(&id.to_be_bytes());
    frame(PARSE, request_id, &payload)
}

pub(crate) fn ping(request_id: u64) -> Vec<u8> {
    frame(PING, request_id, &[])
}

pub(crate) fn info(request_id: u64) -> Vec<u8> {
    frame(INFO, request_id, &[])
}

pub(crate) fn auth(request_id: u64, token: &[u8]) -> Vec<u8> {
    frame(AUTH, request_id, token)
}

/// `bytes` with one of them replaced.
pub(crate) fn with(mut bytes: Vec<u8>, at: usize, byte: u8) -> Vec<u8> {
    bytes[at] = byte;
    bytes
}

/// `bytes` with zeros behind them, as a datagram of `size`.
pub(crate) fn padded(mut bytes: Vec<u8>, size: usize) -> Vec<u8> {
    bytes.resize(size, 0);
    bytes
}

/// One whole reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) bytes: Vec<u8>,
}

impl Reply {
    /// Takes the first reply from the front of `bytes`, if it is whole.
    pub(crate) fn take(bytes: &mut Vec<u8>) -> Option<Self> {
        let consumed = match frame::split(bytes, RESPONSE_SIZE_MAX) {
            Ok(Split::Complete { consumed, .. }) => consumed,
            Ok(Split::Incomplete) => return None,
            Err(error) => panic!("no reply begins like this: {error}: {:?}", bytes.get(..16)),
        };
        let rest = bytes.split_off(consumed);
        Some(Self { bytes: std::mem::replace(bytes, rest) })
    }

    fn frame(&self) -> Frame<'_> {
        match frame::split(&self.bytes, RESPONSE_SIZE_MAX) {
            Ok(Split::Complete { frame, consumed }) if consumed == self.bytes.len() => frame,
            other => panic!("not one reply: {other:?}"),
        }
    }

    pub(crate) fn request_id(&self) -> u64 {
        self.frame().header.request_id
    }

    /// What it says; it has to say something.
    pub(crate) fn response(&self) -> Response<'_> {
        Response::decode(&self.frame()).unwrap_or_else(|error| panic!("{error:?}: {self:?}"))
    }

    pub(crate) fn runs(&self) -> Vec<Run> {
        match self.response() {
            Response::Generate(ids) => ids.runs().expect("runs").iter().collect(),
            other => panic!("no IDs but {other:?}"),
        }
    }

    pub(crate) fn info(&self) -> Info {
        match self.response() {
            Response::Info(info) => info,
            other => panic!("no INFO but {other:?}"),
        }
    }

    pub(crate) fn error(&self) -> Option<ErrorReply<'_>> {
        match self.response() {
            Response::Error(error) => Some(error),
            _ => None,
        }
    }

    /// Checks that this is an ERROR with `code` to `request_id`.
    #[track_caller]
    pub(crate) fn assert_error(&self, code: ErrorCode, request_id: u64) {
        let Some(error) = self.error() else { panic!("{code} was expected, not {self:?}") };
        assert_eq!(error.known_code(), Some(code), "{error:?}");
        assert_eq!(self.request_id(), request_id, "the request id of {code}");
        assert!(!error.text.is_empty() || self.bytes.len() == 24, "{code} comes with a text");
    }
}

/// How many IDs `runs` hold.
pub(crate) fn id_count(runs: &[Run]) -> u32 {
    runs.iter().map(|run| run.count().get()).sum()
}

/// Checks that each ID is above the one before, `last` before them all, and gives the new last one.
#[track_caller]
pub(crate) fn assert_ascending(last: u64, runs: &[Run]) -> u64 {
    runs.iter().fold(last, |last, run| {
        assert!(run.first().get() > last, "{} comes after {last}", run.first());
        run.last().get()
    })
}

/// Checks that no two runs hold the same ID.
#[track_caller]
pub(crate) fn assert_disjoint(mut runs: Vec<Run>) {
    runs.sort_unstable_by_key(|run| run.first());
    for pair in runs.windows(2) {
        assert!(pair[0].last() < pair[1].first(), "twice: {pair:?}");
    }
}
