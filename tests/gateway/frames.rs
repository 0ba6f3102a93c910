//! HTTP/2 as raw frames.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::common::PATIENCE;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

pub(crate) const FRAME_SIZE_ERROR: u32 = 6;
pub(crate) const REFUSED_STREAM: u32 = 7;
pub(crate) const CANCEL: u32 = 8;
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) kind: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// One connection.
pub(crate) struct Frames {
    stream: TcpStream,
    received: Vec<u8>,
}

/// A frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

pub(crate) fn reset(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes())
}

/// The header fields of a call of GenerateID, packed without a table.
pub(crate) fn fields() -> Vec<u8> {
    fn literal(bytes: &mut Vec<u8>, text: &str) {
        bytes.push(u8::try_from(text.len()).unwrap());
        bytes.extend_from_slice(text.as_bytes());
    }
    // :method POST, :scheme http, then :path and :authority by their names' numbers.
    let mut bytes = vec![0x83, 0x86, 0x04];
    literal(&mut bytes, "/IDGenerator/GenerateID");
    bytes.push(0x01);
    literal(&mut bytes, "localhost");
    for (name, value) in [("content-type", "application/grpc"), ("te", "trailers")] {
        bytes.push(0);
        literal(&mut bytes, name);
        literal(&mut bytes, value);
    }
    bytes
}

impl Frames {
    /// Connects and opens HTTP/2.
    pub(crate) fn open(server: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&server, PATIENCE).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        let mut frames = Self { stream, received: Vec::new() };
        frames.send(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat());
        frames
    }

    /// Sends what the server takes.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> bool {
        match self.stream.write_all(bytes) {
            Ok(()) => true,
            Err(error) => {
                let ended = [ErrorKind::BrokenPipe, ErrorKind::ConnectionReset];
                assert!(ended.contains(&error.kind()), "it neither reads nor closes: {error}");
                false
            }
        }
    }

    /// The next frame; `None` when the server has closed the connection.
    #[track_caller]
    pub(crate) fn next(&mut self) -> Option<Received> {
        loop {
            if let Some(frame) = self.take() {
                return Some(frame);
            }
            let mut buffer = [0; 64 * 1_024];
            match self.stream.read(&mut buffer) {
                Ok(0) => return None,
                Ok(size) => self.received.extend_from_slice(&buffer[..size]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("neither a frame nor the end: {error}"),
            }
        }
    }

    /// The frames until one is as wanted, that one included; or until the end.
    #[track_caller]
    pub(crate) fn until(&mut self, wanted: impl Fn(&Received) -> bool) -> Vec<Received> {
        let mut frames = Vec::new();
        while let Some(frame) = self.next() {
            let found = wanted(&frame);
            frames.push(frame);
            if found {
                break;
            }
        }
        frames
    }

    fn take(&mut self) -> Option<Received> {
        let &[a, b, c, kind, _, w, x, y, z] = self.received.get(..9)? else { return None };
        let size = 9 + usize::try_from(u32::from_be_bytes([0, a, b, c])).unwrap();
        let payload = self.received.get(9..size)?.to_vec();
        self.received.drain(..size);
        Some(Received { kind, stream: u32::from_be_bytes([w, x, y, z]), payload })
    }
}

impl Received {
    /// The error code of RST_STREAM or GOAWAY.
    pub(crate) fn code(&self) -> Option<u32> {
        let at = match self.kind {
            RST_STREAM => 0,
            GOAWAY => 4,
            _ => return None,
        };
        Some(u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap()))
    }
}
