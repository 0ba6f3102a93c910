//! What every link over a byte stream does: write what is queued, read with a deadline.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Bytes taken by one read.
pub(crate) const READ_SIZE: usize = 64 * 1024;

/// Requests on their way out.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// Those from `unwritten` on are still to be written.
    bytes: Vec<u8>,
    unwritten: usize,
}

impl Outbox {
    /// Where the next request is appended.
    pub(crate) const fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Writes what is queued, with one call. Returns whether all of it went out.
    pub(crate) fn write(&mut self, stream: &mut TcpStream) -> io::Result<bool> {
        if self.unwritten == self.bytes.len() {
            return Ok(true);
        }
        match stream.write(&self.bytes[self.unwritten..]) {
            Ok(size) => self.unwritten += size,
            Err(error) if is_temporary(&error) => {}
            Err(error) => return Err(error),
        }
        let is_done = self.unwritten == self.bytes.len();
        if is_done {
            self.clear();
        }
        Ok(is_done)
    }

    /// Writes what is queued to a blocking stream.
    pub(crate) fn write_all(
        &mut self,
        stream: &mut TcpStream,
        deadline: Instant,
    ) -> io::Result<()> {
        stream.set_write_timeout(Some(left(deadline)?))?;
        stream.write_all(&self.bytes[self.unwritten..])?;
        self.clear();
        Ok(())
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.unwritten = 0;
    }
}

/// Appends to `held` what a blocking stream brings; nothing if that takes too long.
pub(crate) fn read_more(
    stream: &mut TcpStream,
    held: &mut Vec<u8>,
    deadline: Instant,
) -> io::Result<()> {
    stream.set_read_timeout(Some(left(deadline)?))?;
    let before = held.len();
    held.resize(before + READ_SIZE, 0);
    let size = match stream.read(&mut held[before..]) {
        Ok(0) => return Err(closed()),
        Ok(size) => size,
        Err(error) if is_temporary(&error) => 0,
        Err(error) => return Err(error),
    };
    held.truncate(before + size);
    Ok(())
}

/// The time until `deadline`, or an error when it has passed.
pub(crate) fn left(deadline: Instant) -> io::Result<Duration> {
    deadline
        .checked_duration_since(Instant::now())
        .filter(|left| !left.is_zero())
        .ok_or_else(|| io::Error::new(ErrorKind::TimedOut, "no answer in time"))
}

/// Whether a call on a socket only has to be made again.
pub(crate) fn is_temporary(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

/// A reply that breaks the protocol.
pub(crate) fn invalid(cause: impl std::fmt::Display) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("invalid reply: {cause}"))
}

/// The other side ended the stream.
pub(crate) fn closed() -> io::Error {
    io::Error::new(ErrorKind::UnexpectedEof, "the server closed the connection")
}
