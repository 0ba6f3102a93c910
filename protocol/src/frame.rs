//! Frames: a fixed 16-byte header and a payload, big-endian.
//!
//! ```text
//!  0        4       5       6       8                16
//! +--------+-------+-------+-------+----------------+---------
//! | length |version|opcode | flags | request id     | payload
//! | u32    | u8    | u8    | u16   | u64            |
//! +--------+-------+-------+-------+----------------+---------
//!          |<----------- length bytes ---------------------->|
//! ```

use crate::error::DecodeError;

/// Bytes of the header, the length field included.
pub const HEADER_SIZE: usize = 16;

/// Bytes of the length field, which counts everything behind it.
pub const LENGTH_SIZE: usize = 4;

/// The one version of the protocol.
pub const VERSION: u8 = 1;

/// The longest request in bytes, header included. The longest real one is AUTH with 528.
pub const REQUEST_SIZE_MAX: usize = 1024;

/// The longest reply in bytes, header included: a header and 4,096 IDs of 16 bytes take 65,552.
pub const RESPONSE_SIZE_MAX: usize = 66_560;

/// The longest datagram in bytes: one that no ordinary path fragments.
pub const DATAGRAM_SIZE_MAX: usize = 1200;

/// The bit of an opcode that marks a reply.
pub const RESPONSE_BIT: u8 = 0x80;

const _: () = assert!(HEADER_SIZE + 4096 * 16 <= RESPONSE_SIZE_MAX);
const _: () = assert!(REQUEST_SIZE_MAX <= DATAGRAM_SIZE_MAX);

/// Everything in front of the payload but its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The version, unchecked.
    pub version: u8,
    /// The opcode, unchecked.
    pub opcode: u8,
    /// The flags, unchecked. No flag is defined yet: all must be zero.
    pub flags: u16,
    /// Chosen by whoever asks and echoed in the reply.
    pub request_id: u64,
}

/// One whole frame, borrowed from the buffer it was received in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The header.
    pub header: Header,
    /// What follows the header.
    pub payload: &'a [u8],
}

/// What the front of a buffer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split<'a> {
    /// A frame that takes the first `consumed` bytes.
    Complete {
        /// The frame.
        frame: Frame<'a>,
        /// Its length in bytes.
        consumed: usize,
    },
    /// The beginning of a frame, or nothing.
    Incomplete,
}

/// Takes the first frame of `bytes`. The size is judged as soon as the length field is there, so
/// nobody waits for, or makes room for, a frame that will be refused.
///
/// # Errors
///
/// [`DecodeError::FrameSize`] when the frame is shorter than its header or longer than `size_max`
/// bytes.
pub fn split(bytes: &[u8], size_max: usize) -> Result<Split<'_>, DecodeError> {
    let Some((length, _)) = bytes.split_first_chunk::<LENGTH_SIZE>() else {
        return Ok(Split::Incomplete);
    };
    let length = u32::from_be_bytes(*length);
    let size = usize::try_from(length).unwrap_or(usize::MAX).saturating_add(LENGTH_SIZE);
    if size < HEADER_SIZE || size > size_max {
        let length_max = u32::try_from(size_max - LENGTH_SIZE).unwrap_or(u32::MAX);
        return Err(DecodeError::FrameSize { length, length_max });
    }
    let Some(whole) = bytes.get(..size) else {
        return Ok(Split::Incomplete);
    };
    let Some((header, payload)) = whole.split_first_chunk::<HEADER_SIZE>() else {
        return Ok(Split::Incomplete);
    };
    Ok(Split::Complete { frame: Frame { header: Header::decode(header), payload }, consumed: size })
}

impl Header {
    fn decode(bytes: &[u8; HEADER_SIZE]) -> Self {
        let [_, _, _, _, version, opcode, flags_high, flags_low, request_id @ ..] = *bytes;
        Self {
            version,
            opcode,
            flags: u16::from_be_bytes([flags_high, flags_low]),
            request_id: u64::from_be_bytes(request_id),
        }
    }
}

/// Appends a header whose length is still zero. [`finish`] fills it in; `start` is where it stands.
pub(crate) fn begin(out: &mut Vec<u8>, opcode: u8, request_id: u64) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0, 0, 0, 0, VERSION, opcode, 0, 0]);
    out.extend_from_slice(&request_id.to_be_bytes());
    start
}

/// Writes the length of the frame that began at `start` and ends where `out` ends.
pub(crate) fn finish(out: &mut [u8], start: usize) {
    let length = out.len() - start - LENGTH_SIZE;
    let length = u32::try_from(length).expect("a frame we build is below RESPONSE_SIZE_MAX");
    out[start..start + LENGTH_SIZE].copy_from_slice(&length.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_incomplete_until_its_last_byte() {
        let mut bytes = Vec::new();
        let start = begin(&mut bytes, 0x05, 7);
        bytes.extend_from_slice(b"payload");
        finish(&mut bytes, start);
        for cut in 0..bytes.len() {
            assert_eq!(
                split(&bytes[..cut], REQUEST_SIZE_MAX),
                Ok(Split::Incomplete),
                "cut at {cut}"
            );
        }
        bytes.extend_from_slice(b"next");
        let Ok(Split::Complete { frame, consumed }) = split(&bytes, REQUEST_SIZE_MAX) else {
            panic!("the frame is whole");
        };
        assert_eq!((frame.payload, consumed, frame.header.request_id), (&b"payload"[..], 23, 7));
    }

    #[test]
    fn a_size_out_of_range_is_refused_from_the_length_alone() {
        for length in [0, 11, 1021, u32::MAX] {
            let error = split(&length.to_be_bytes(), REQUEST_SIZE_MAX).unwrap_err();
            assert_eq!(error, DecodeError::FrameSize { length, length_max: 1020 });
        }
        assert_eq!(split(&12u32.to_be_bytes(), REQUEST_SIZE_MAX), Ok(Split::Incomplete));
        assert_eq!(split(&1020u32.to_be_bytes(), REQUEST_SIZE_MAX), Ok(Split::Incomplete));
    }
}
