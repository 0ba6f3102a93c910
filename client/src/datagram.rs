//! Datagrams: one frame, followed by zeros.
//!
//! A reply is never longer than the datagram that asked, so that a server cannot be used to flood
//! somebody whose address was forged. Who wants a long reply pads the request.

use coreflake_protocol::frame::{self, DATAGRAM_SIZE_MAX, HEADER_SIZE, Split};
use coreflake_protocol::{Count, ErrorReply, Frame, Kind, RUN_SIZE, Request, WIDE_SIZE, WorkerIds};

/// Room for every ERROR with its whole text, and for every reply that is no GENERATE.
const PADDED_SIZE_MIN: usize = ErrorReply::FRAME_SIZE_MIN + ErrorReply::TEXT_SIZE_MAX;

/// The longest reply besides GENERATE and ERROR is INFO, of a server with as many workers as may
/// be.
const INFO_FRAME_SIZE: usize = HEADER_SIZE + 96 + 2 * (WorkerIds::MAX - 1);

const _: () = assert!(INFO_FRAME_SIZE < PADDED_SIZE_MIN);

/// Writes `request` into `out` as the only datagram, padded for its reply.
pub(crate) fn encode(request: &Request<'_>, nonce: u64, out: &mut Vec<u8>) {
    out.clear();
    request.encode(nonce, out);
    let size = size(request).max(out.len());
    out.resize(size, 0);
}

/// The frame in `datagram`, or `None` when it is none or something else stands behind it.
pub(crate) fn decode(datagram: &[u8]) -> Option<Frame<'_>> {
    match frame::split(datagram, DATAGRAM_SIZE_MAX) {
        Ok(Split::Complete { frame, consumed }) => {
            datagram[consumed..].iter().all(|byte| *byte == 0).then_some(frame)
        }
        _ => None,
    }
}

/// How long a datagram must be for its reply to fit.
const fn size(request: &Request<'_>) -> usize {
    match request {
        // The one request where speed counts: it is as long as its reply without any padding, and
        // an ERROR fits with its code and delay, which is what a program needs.
        Request::Generate { kind, count: Count::ONE } => {
            HEADER_SIZE + if kind.is_wide() { WIDE_SIZE } else { RUN_SIZE }
        }
        Request::Generate { kind, count } => {
            let count = count.get() as usize;
            let (piece, fit) = pieces(*kind);
            let size = HEADER_SIZE + piece * if count < fit { count } else { fit };
            if size < PADDED_SIZE_MIN { PADDED_SIZE_MIN } else { size }
        }
        _ => PADDED_SIZE_MIN,
    }
}

/// The most IDs that are worth asking for in one datagram. Of 64-bit kinds a single run may hold as
/// many as a request can ask for.
#[allow(clippy::cast_possible_truncation)] // Fewer than the datagram has bytes.
pub(crate) const fn count_max(kind: Kind) -> u32 {
    if kind.is_wide() { pieces(kind).1 as u32 } else { Count::MAX }
}

/// The bytes of a run or of a 128-bit ID, and how many of them fit into a datagram.
const fn pieces(kind: Kind) -> (usize, usize) {
    let size = if kind.is_wide() { WIDE_SIZE } else { RUN_SIZE };
    (size, (DATAGRAM_SIZE_MAX - HEADER_SIZE) / size)
}

#[cfg(test)]
mod tests {

    use super::*;

    fn encoded(request: &Request<'_>) -> Vec<u8> {
        let mut out = vec![0xff; 7];
        encode(request, 7, &mut out);
        out
    }

    fn generate(count: u32) -> Vec<u8> {
        let count = Count::new(count).unwrap();
        encoded(&Request::Generate { kind: Kind::Snowflake, count })
    }

    #[test]
    fn a_datagram_leaves_room_for_its_reply() {
        assert_eq!(generate(1).len(), 28);
        assert_eq!(generate(2).len(), 184);
        assert_eq!(generate(20).len(), 16 + 12 * 20);
        assert_eq!(generate(98).len(), 1192);
        assert_eq!(generate(4096).len(), 1192);
        let wide = |count| {
            let count = Count::new(count).unwrap();
            encoded(&Request::Generate { kind: Kind::Ulid, count }).len()
        };
        assert_eq!([wide(1), wide(2), wide(74), wide(75)], [32, 184, 1200, 1200]);
        assert_eq!(encoded(&Request::Ping).len(), 184);
        assert_eq!(encoded(&Request::Info).len(), 184);
    }

    #[test]
    fn padding_is_zeros_and_nothing_else() {
        let mut datagram = encoded(&Request::Ping);
        let frame = decode(&datagram).unwrap();
        assert_eq!((Request::decode(&frame), frame.header.request_id), (Ok(Request::Ping), 7));
        *datagram.last_mut().unwrap() = 1;
        assert!(decode(&datagram).is_none());
    }

    #[test]
    fn fragments_are_no_datagram() {
        let datagram = generate(1);
        assert!((0..28).all(|cut| decode(&datagram[..cut]).is_none()));
    }
}
