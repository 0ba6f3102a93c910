//! The test vectors of `vectors/v1.json`, which come from an encoder of its own, against this
//! crate.

mod fields;
mod specification;

use std::collections::{BTreeMap, BTreeSet};

use coreflake_protocol::frame::{
    self, DATAGRAM_SIZE_MAX, REQUEST_SIZE_MAX, RESPONSE_SIZE_MAX, Split,
};
use coreflake_protocol::{
    DecodeError, ErrorCode, ErrorReply, Frame, Generated, IdsWriter, Kind, Opcode, Request,
    Response,
};
use serde::Deserialize;
use serde_json::Value;

use self::fields::{request_fields, response_fields};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Direction {
    Request,
    Response,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Transport {
    Tcp,
    Udp,
    Both,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    name: String,
    direction: Direction,
    transport: Transport,
    hex: String,
    expect: BTreeMap<String, Value>,
    #[serde(default = "yes")]
    canonical: bool,
}

const fn yes() -> bool {
    true
}

impl Vector {
    fn bytes(&self) -> Vec<u8> {
        let digits: Vec<u8> = self
            .hex
            .chars()
            .map(|digit| {
                let value = digit.to_digit(16).expect("hex holds hexadecimal digits");
                u8::try_from(value).expect("a digit is below 16")
            })
            .collect();
        let (pairs, rest) = digits.as_chunks::<2>();
        assert!(rest.is_empty(), "{}: half a byte", self.name);
        pairs.iter().map(|[high, low]| high << 4 | low).collect()
    }

    fn is_good(&self) -> bool {
        !self.expect.contains_key("error")
    }

    fn size_max(&self) -> usize {
        match self.direction {
            Direction::Request => REQUEST_SIZE_MAX,
            Direction::Response => RESPONSE_SIZE_MAX,
        }
    }

    fn expected(&self, key: &str) -> Option<&str> {
        self.expect.get(key).and_then(Value::as_str)
    }
}

fn vectors() -> Vec<Vector> {
    serde_json::from_str(include_str!("../../vectors/v1.json"))
        .expect("the file has the known shape")
}

fn good(direction: Direction) -> Vec<Vector> {
    vectors().into_iter().filter(|it| it.direction == direction && it.is_good()).collect()
}

fn bad(direction: Direction) -> Vec<Vector> {
    vectors().into_iter().filter(|it| it.direction == direction && !it.is_good()).collect()
}

/// The first frame and what stands behind it.
fn whole(bytes: &[u8], size_max: usize) -> (Frame<'_>, &[u8]) {
    match frame::split(bytes, size_max) {
        Ok(Split::Complete { frame, consumed }) => (frame, &bytes[consumed..]),
        other => panic!("not a frame: {other:?}"),
    }
}

/// What a server makes of the front of a connection: `None` when it waits for more.
fn request(bytes: &[u8]) -> Result<Option<Request<'_>>, DecodeError> {
    match frame::split(bytes, REQUEST_SIZE_MAX)? {
        Split::Complete { frame, .. } => Request::decode(&frame).map(Some),
        Split::Incomplete => Ok(None),
    }
}

/// What a client makes of it: `Err` when the reply is unusable.
fn response(bytes: &[u8]) -> Result<Option<Response<'_>>, ()> {
    match frame::split(bytes, RESPONSE_SIZE_MAX).map_err(drop)? {
        Split::Complete { frame, .. } => Response::decode(&frame).map(Some).map_err(drop),
        Split::Incomplete => Ok(None),
    }
}

/// Whether a datagram is one that a server looks at: the rules of the specification on top of
/// `request`.
fn datagram_is_well_formed(bytes: &[u8]) -> bool {
    let Ok(Split::Complete { frame, consumed }) = frame::split(bytes, REQUEST_SIZE_MAX) else {
        return false;
    };
    let is_auth = frame.header.opcode == Opcode::Auth.wire();
    let is_padded_with_zeros = bytes[consumed..].iter().all(|byte| *byte == 0);
    bytes.len() <= DATAGRAM_SIZE_MAX && is_padded_with_zeros && !is_auth
}

/// The kind that was asked for: the bytes of a reply do not say it.
fn kind_of(vector: &Vector) -> Kind {
    vector.expected("kind").map_or(Kind::Snowflake, |name| name.parse().expect("a kind"))
}

fn encode_response(response: &Response<'_>, request_id: u64, kind: Kind) -> Vec<u8> {
    let mut out = Vec::new();
    if let Response::Generate(generated) = response {
        let mut writer = IdsWriter::begin(&mut out, request_id);
        if kind.is_wide() {
            let ids = generated.wide(kind).into_iter().flat_map(|ids| ids.iter());
            ids.for_each(|id| writer.push_wide(&mut out, id.bits()));
        } else {
            let runs = generated.runs().into_iter().flat_map(|runs| runs.iter());
            runs.for_each(|run| writer.push(&mut out, run));
        }
        writer.finish(&mut out);
    } else {
        response.encode(request_id, &mut out);
    }
    out
}

#[test]
fn good_requests_decode_to_their_fields_and_encode_to_their_bytes() {
    for vector in good(Direction::Request) {
        let (name, bytes) = (&vector.name, vector.bytes());
        let (frame, rest) = whole(&bytes, REQUEST_SIZE_MAX);
        let request = Request::decode(&frame).unwrap_or_else(|error| panic!("{name}: {error}"));
        let expect = serde_json::to_value(&vector.expect).unwrap();
        assert_eq!(request_fields(&frame.header, &request), expect, "{name}");

        let mut encoded = Vec::new();
        request.encode(frame.header.request_id, &mut encoded);
        assert_eq!(encoded, bytes[..bytes.len() - rest.len()], "{name}");
        assert_eq!(vector.canonical, rest.is_empty(), "{name}");
        assert!(
            vector.transport == Transport::Udp || rest.is_empty(),
            "{name}: TCP has no padding"
        );
        assert_eq!(datagram_is_well_formed(&bytes), vector.transport != Transport::Tcp, "{name}");
    }
}

#[test]
fn good_replies_decode_to_their_fields_and_encode_to_their_bytes() {
    for vector in good(Direction::Response) {
        let (name, bytes) = (&vector.name, vector.bytes());
        let (frame, rest) = whole(&bytes, RESPONSE_SIZE_MAX);
        assert!(rest.is_empty(), "{name}: replies have no padding");
        let response = Response::decode(&frame).unwrap_or_else(|error| panic!("{name}: {error}"));
        let expect = serde_json::to_value(&vector.expect).unwrap();
        let kind = kind_of(&vector);
        assert_eq!(response_fields(&frame.header, &response, kind), expect, "{name}");

        let encoded = encode_response(&response, frame.header.request_id, kind);
        if vector.canonical {
            assert_eq!(encoded, bytes, "{name}");
        } else {
            // Trailing bytes, or values that only a newer server has, are not written.
            assert_ne!(encoded, bytes, "{name}");
            let (again, _) = whole(&encoded, RESPONSE_SIZE_MAX);
            assert_eq!(Response::decode(&again), Ok(response), "{name}");
        }
    }
}

#[test]
fn bad_requests_get_exactly_their_code() {
    for vector in bad(Direction::Request) {
        let (name, bytes) = (&vector.name, vector.bytes());
        let Some(code) = vector.expected("error") else {
            assert_eq!(vector.transport, Transport::Udp, "{name}: only a datagram lacks a code");
            assert!(!datagram_is_well_formed(&bytes), "{name}");
            continue;
        };
        let error = request(&bytes).expect_err(name);
        assert_eq!(error.code().name(), code, "{name}");

        let closes = error.code().closes_connection();
        match vector.expected("tcp") {
            Some("error") => assert!(!closes, "{name}"),
            Some("error_close") => assert!(closes, "{name}"),
            Some("close") => assert_eq!(error.code(), ErrorCode::FrameSize, "{name}"),
            other => panic!("{name}: tcp {other:?}"),
        }
        let is_answered = matches!(
            error.code(),
            ErrorCode::UnknownKind | ErrorCode::InvalidCount | ErrorCode::InvalidId
        );
        match vector.expected("udp") {
            Some("error") => assert!(is_answered && datagram_is_well_formed(&bytes), "{name}"),
            Some("drop") => assert!(!is_answered, "{name}"),
            None => assert_eq!(vector.transport, Transport::Tcp, "{name}"),
            other => panic!("{name}: udp {other:?}"),
        }
    }
}

/// Whether a client that asked for this kind can use what came.
fn usable(generated: &Generated<'_>, kind: Kind) -> bool {
    if kind.is_wide() { generated.wide(kind).is_some() } else { generated.runs().is_some() }
}

#[test]
fn bad_replies_are_refused() {
    for vector in bad(Direction::Response) {
        let (name, bytes) = (&vector.name, vector.bytes());
        assert_eq!(vector.expected("error"), Some("INVALID_REPLY"), "{name}");
        let usable = match response(&bytes) {
            Ok(Some(Response::Generate(generated))) => usable(&generated, kind_of(&vector)),
            Ok(_) => true,
            Err(()) => false,
        };
        assert!(!usable, "{name}");
    }
}

#[test]
fn a_good_frame_is_incomplete_until_its_last_byte() {
    for vector in vectors().into_iter().filter(Vector::is_good) {
        let bytes = vector.bytes();
        let (_, rest) = whole(&bytes, vector.size_max());
        for cut in 0..bytes.len() - rest.len() {
            let split = frame::split(&bytes[..cut], vector.size_max());
            assert_eq!(split, Ok(Split::Incomplete), "{} cut at {cut}", vector.name);
        }
    }
}

/// The length says that the frame ends where it was cut: a field is missing, or a run, or a piece
/// of text.
#[test]
fn a_payload_cut_short_never_panics_and_never_passes_for_a_request() {
    for vector in vectors().into_iter().filter(Vector::is_good) {
        let (name, mut bytes) = (&vector.name, vector.bytes());
        let (frame, _) = whole(&bytes, vector.size_max());
        for size in 0..frame.payload.len() {
            bytes[..4].copy_from_slice(&u32::try_from(12 + size).unwrap().to_be_bytes());
            let _ = response(&bytes[..16 + size]);
            let cut = request(&bytes[..16 + size]);
            match vector.direction {
                Direction::Request if vector.expected("op") == Some("AUTH") && size > 0 => {
                    assert!(matches!(cut, Ok(Some(Request::Auth { .. }))), "{name} cut at {size}");
                }
                _ => assert!(cut.is_err(), "{name} cut at {size}"),
            }
        }
    }
}

#[test]
fn no_flipped_bit_panics_and_what_still_decodes_encodes() {
    for vector in vectors() {
        let mut bytes = vector.bytes();
        for bit in 0..bytes.len() * 8 {
            let mask = 1 << (bit % 8);
            bytes[bit / 8] ^= mask;
            if let Ok(Some(request)) = request(&bytes) {
                let (frame, rest) = whole(&bytes, REQUEST_SIZE_MAX);
                let mut encoded = Vec::new();
                request.encode(frame.header.request_id, &mut encoded);
                assert_eq!(encoded, bytes[..bytes.len() - rest.len()], "{} bit {bit}", vector.name);
            }
            if let Ok(Some(response)) = response(&bytes) {
                let (frame, _) = whole(&bytes, RESPONSE_SIZE_MAX);
                encode_response(&response, frame.header.request_id, kind_of(&vector));
            }
            bytes[bit / 8] ^= mask;
        }
    }
}

#[test]
fn all_good_requests_pipelined_in_one_buffer_come_out_in_order() {
    let requests: Vec<_> = good(Direction::Request).into_iter().filter(|it| it.canonical).collect();
    let stream: Vec<u8> = requests.iter().flat_map(Vector::bytes).collect();
    let mut rest = &stream[..];
    for vector in &requests {
        let (frame, behind) = whole(rest, REQUEST_SIZE_MAX);
        assert_eq!(rest[..rest.len() - behind.len()], vector.bytes(), "{}", vector.name);
        assert!(Request::decode(&frame).is_ok(), "{}", vector.name);
        rest = behind;
    }
    assert!(rest.is_empty());
}

/// A code or an operation added without a vector fails here.
#[test]
fn every_code_and_every_operation_has_a_vector() {
    let mut replied_codes = BTreeSet::new();
    let mut replied_opcodes = BTreeSet::new();
    for vector in good(Direction::Response) {
        let bytes = vector.bytes();
        let (frame, _) = whole(&bytes, RESPONSE_SIZE_MAX);
        replied_opcodes.insert(frame.header.opcode);
        if let Ok(Response::Error(ErrorReply { code, .. })) = Response::decode(&frame) {
            replied_codes.insert(code);
        }
    }
    for code in ErrorCode::ALL {
        assert!(replied_codes.contains(&code.wire()), "no ERROR reply with {code}");
    }

    let requested: BTreeSet<_> = good(Direction::Request)
        .iter()
        .map(|vector| whole(&vector.bytes(), REQUEST_SIZE_MAX).0.header.opcode)
        .collect();
    for opcode in Opcode::ALL {
        assert!(requested.contains(&opcode.wire()), "no request {opcode:?}");
        assert!(replied_opcodes.contains(&opcode.reply()), "no reply to {opcode:?}");
    }

    let refused: BTreeSet<_> = bad(Direction::Request)
        .iter()
        .filter_map(|vector| vector.expected("error").map(str::to_owned))
        .collect();
    // Those that `DecodeError` can have; the others depend on more than the bytes.
    for code in ErrorCode::ALL.into_iter().filter(|code| code.wire() <= 0x0009) {
        assert!(refused.contains(code.name()), "no request that is refused with {code}");
    }
}

#[test]
fn names_are_unique() {
    let vectors = vectors();
    let names: BTreeSet<_> = vectors.iter().map(|vector| &vector.name).collect();
    assert_eq!(names.len(), vectors.len());
}
