//! One TCP connection: requests are pipelined and replies come in their order, so the requests in
//! flight are a queue.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use coreflake_protocol::frame::{RESPONSE_SIZE_MAX, Split, split};
use coreflake_protocol::{ErrorReply, Frame, Info, Request, Response};

use crate::clock::Clock;
use crate::ledger::{Expectation, Flight, Ledger, Order};
use crate::span::Brought;
use crate::stats::Failure;
use crate::stream::{self, Outbox, READ_SIZE, closed, invalid, is_temporary};
use crate::target::{LinkSettings, refusal};

/// One read takes at most this many bytes behind the beginning of a frame that an earlier one left.
pub(crate) const SCRATCH_SIZE: usize = RESPONSE_SIZE_MAX + READ_SIZE;

/// A connection to the server.
#[derive(Debug)]
pub(crate) struct TcpLink {
    stream: TcpStream,
    settings: LinkSettings,
    expected: Option<Expectation>,
    order: Order,
    /// The oldest first. The last one has the request ID `next_request_id - 1`.
    flights: VecDeque<Flight>,
    next_request_id: u64,
    out: Outbox,
    /// The beginning of a reply.
    partial: Vec<u8>,
}

impl TcpLink {
    /// Connects, shows the token and asks for INFO, in one round trip after the handshake.
    pub(crate) fn connect(
        address: SocketAddr,
        settings: LinkSettings,
        token: Option<&[u8]>,
        timeout: Duration,
    ) -> io::Result<(Self, Info)> {
        let deadline = Instant::now() + timeout;
        let stream = TcpStream::connect_timeout(&address, timeout)?;
        stream.set_nodelay(true)?;
        let mut link = Self {
            stream,
            settings,
            expected: None,
            order: Order::default(),
            flights: VecDeque::with_capacity(settings.pipeline),
            next_request_id: 1,
            out: Outbox::default(),
            partial: Vec::new(),
        };
        let info = link.introduce(token, deadline, |_| ())?;
        link.expected = Some(Expectation::new((&info).into(), settings.count, false));
        link.stream.set_nonblocking(true)?;
        Ok((link, info))
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.flights.len()
    }

    pub(crate) fn has_room(&self) -> bool {
        self.flights.len() < self.settings.pipeline
    }

    /// Queues a request for [`TcpLink::flush`].
    pub(crate) fn send(&mut self, flight: Flight) {
        let request = Request::Generate { kind: self.settings.kind, count: self.settings.count };
        request.encode(self.take_request_id(), self.out.bytes());
        self.flights.push_back(flight);
    }

    /// Writes what is queued, with one call. Returns whether all of it went out.
    pub(crate) fn flush(&mut self) -> io::Result<bool> {
        self.out.write(&mut self.stream)
    }

    /// Reads once and takes every whole reply.
    pub(crate) fn receive(
        &mut self,
        scratch: &mut [u8],
        ledger: &mut Ledger,
        clock: &Clock,
    ) -> io::Result<()> {
        let held = self.partial.len();
        scratch[..held].copy_from_slice(&self.partial);
        let size = match self.stream.read(&mut scratch[held..held + READ_SIZE]) {
            Ok(0) => return Err(closed()),
            Ok(size) => size,
            Err(error) if is_temporary(&error) => return Ok(()),
            Err(error) => return Err(error),
        };
        let received_ns = clock.now_ns();
        let mut rest = &scratch[..held + size];
        while let Split::Complete { frame, consumed } =
            split(rest, RESPONSE_SIZE_MAX).map_err(invalid)?
        {
            self.take(&frame, ledger, received_ns)?;
            rest = &rest[consumed..];
        }
        self.partial.clear();
        self.partial.extend_from_slice(rest);
        Ok(())
    }

    /// Gives up on every request in flight.
    pub(crate) fn abandon(&mut self, ledger: &mut Ledger) {
        self.flights.drain(..).for_each(|flight| ledger.failed(flight, Failure::Lost));
    }

    /// Asks for INFO once more, when nothing is measured any longer.
    pub(crate) fn closing_info(
        &mut self,
        deadline: Instant,
        ledger: &mut Ledger,
    ) -> io::Result<Info> {
        self.stream.set_nonblocking(false)?;
        let expected = self.expected;
        self.introduce(None, deadline, |brought| {
            if let Some(expected) = &expected {
                ledger.late(brought.spans(), expected);
            }
        })
    }

    fn take(&mut self, frame: &Frame<'_>, ledger: &mut Ledger, received_ns: u64) -> io::Result<()> {
        let reply = Response::decode(frame).map_err(invalid)?;
        let oldest = self.next_request_id - self.flights.len() as u64;
        let (Some(expected), Some(flight)) = (&self.expected, self.flights.front().copied()) else {
            return Err(invalid("a reply without a request"));
        };
        if frame.header.request_id != oldest {
            if let Response::Error(error) = reply {
                // A frame that the server could not read has no request ID to echo.
                ledger.broken(Failure::Refused(error.code));
                return Err(refusal(&error));
            }
            return Err(invalid("a reply out of turn"));
        }
        self.flights.pop_front();
        match reply {
            Response::Generate(generated) => {
                let brought = Brought::read(self.settings.kind, &generated);
                let spans = brought.ok_or_else(|| invalid("no IDs of the kind asked for"))?.spans();
                ledger.answered(flight, spans, expected, &mut self.order, received_ns);
            }
            Response::Error(ErrorReply { code, .. }) => {
                ledger.failed(flight, Failure::Refused(code));
            }
            _ => return Err(invalid("a reply to another operation")),
        }
        Ok(())
    }

    /// Shows the token, if any, and asks for INFO, on a blocking socket. `late` sees the IDs in
    /// replies to earlier requests.
    fn introduce(
        &mut self,
        token: Option<&[u8]>,
        deadline: Instant,
        mut late: impl FnMut(Brought<'_>),
    ) -> io::Result<Info> {
        let first = self.next_request_id;
        for request in token.map(|token| Request::Auth { token }).into_iter().chain([Request::Info])
        {
            request.encode(self.take_request_id(), self.out.bytes());
        }
        self.out.write_all(&mut self.stream, deadline)?;
        loop {
            let bytes = std::mem::take(&mut self.partial);
            let mut rest = bytes.as_slice();
            while let Split::Complete { frame, consumed } =
                split(rest, RESPONSE_SIZE_MAX).map_err(invalid)?
            {
                rest = &rest[consumed..];
                match Response::decode(&frame).map_err(invalid)? {
                    Response::Info(info) => return Ok(info),
                    Response::Generate(generated) => {
                        Brought::read(self.settings.kind, &generated).map(&mut late);
                    }
                    Response::Error(error) if frame.header.request_id >= first => {
                        return Err(refusal(&error));
                    }
                    _ => {}
                }
            }
            self.partial = rest.to_vec();
            stream::read_more(&mut self.stream, &mut self.partial, deadline)?;
        }
    }

    const fn take_request_id(&mut self) -> u64 {
        let request_id = self.next_request_id;
        self.next_request_id += 1;
        request_id
    }
}

impl AsFd for TcpLink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
