//! One HTTP/1.1 connection to the REST door: requests are pipelined and answered in their order, as
//! over TCP.

mod reply;

use std::collections::VecDeque;
use std::io::{self, Read};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use coreflake_protocol::{AnyId, Kind};

use crate::clock::Clock;
use crate::ledger::{Expectation, Flight, Ledger, Order};
use crate::span::spans;
use crate::stats::Failure;
use crate::stream::{self, Outbox, READ_SIZE, closed, invalid, is_temporary};
use crate::target::LinkSettings;
use reply::Reply;
pub(crate) use reply::namespace;

/// A connection to the server.
#[derive(Debug)]
pub(crate) struct HttpLink {
    stream: TcpStream,
    requests: Requests,
    settings: LinkSettings,
    expected: Option<Expectation>,
    order: Order,
    /// The oldest first.
    flights: VecDeque<Flight>,
    /// Requests given up whose replies may come yet, before all others.
    abandoned: usize,
    out: Outbox,
    /// What was read and belongs to no whole reply yet.
    held: Vec<u8>,
    /// The IDs of one reply; kept to use its memory again.
    ids: Vec<AnyId>,
}

/// The bytes of the two requests made, the same every time.
#[derive(Debug)]
struct Requests {
    generate: Box<[u8]>,
    health: Box<[u8]>,
}

impl HttpLink {
    /// Connects to `address`, which `authority` names, and asks how the server is.
    pub(crate) fn connect(
        address: SocketAddr,
        authority: &str,
        settings: LinkSettings,
        token: Option<&[u8]>,
        timeout: Duration,
    ) -> io::Result<Self> {
        let deadline = Instant::now() + timeout;
        let stream = TcpStream::connect_timeout(&address, timeout)?;
        stream.set_nodelay(true)?;
        let mut link = Self {
            stream,
            requests: Requests::new(authority, settings, token),
            settings,
            expected: None,
            order: Order::default(),
            flights: VecDeque::with_capacity(settings.pipeline),
            abandoned: 0,
            out: Outbox::default(),
            held: Vec::new(),
            ids: Vec::new(),
        };
        link.out.bytes().extend_from_slice(&link.requests.health);
        link.out.write_all(&mut link.stream, deadline)?;
        let identity = link.next_reply(deadline, |reply| reply.identity())??;
        link.expected = Some(Expectation::new(identity, settings.count, false));
        link.stream.set_nonblocking(true)?;
        Ok(link)
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.flights.len()
    }

    pub(crate) fn has_room(&self) -> bool {
        self.flights.len() < self.settings.pipeline
    }

    /// Queues a request for [`HttpLink::flush`].
    pub(crate) fn send(&mut self, flight: Flight) {
        self.out.bytes().extend_from_slice(&self.requests.generate);
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
        let size = match self.stream.read(&mut scratch[..READ_SIZE]) {
            Ok(0) => return Err(closed()),
            Ok(size) => size,
            Err(error) if is_temporary(&error) => return Ok(()),
            Err(error) => return Err(error),
        };
        let received_ns = clock.now_ns();
        // Lent out, because the replies in it are taken by the whole link.
        let mut held = std::mem::take(&mut self.held);
        held.extend_from_slice(&scratch[..size]);
        let mut rest = held.as_slice();
        while let Some(reply) = Reply::split(rest)? {
            self.take(&reply, ledger, received_ns)?;
            rest = &rest[reply.size..];
        }
        let taken = held.len() - rest.len();
        held.drain(..taken);
        self.held = held;
        Ok(())
    }

    /// Gives up on every request in flight.
    pub(crate) fn abandon(&mut self, ledger: &mut Ledger) {
        self.abandoned += self.flights.len();
        self.flights.drain(..).for_each(|flight| ledger.failed(flight, Failure::Lost));
    }

    /// Takes the replies to what was given up, and asks whether the server is still there.
    pub(crate) fn close(&mut self, deadline: Instant, ledger: &mut Ledger) -> io::Result<()> {
        self.stream.set_nonblocking(false)?;
        self.out.bytes().extend_from_slice(&self.requests.health);
        self.out.write_all(&mut self.stream, deadline)?;
        let is_single = self.settings.is_single();
        let mut ids = std::mem::take(&mut self.ids);
        for _ in 0..self.abandoned {
            ids.clear();
            let kind = self.settings.kind;
            let read = self.next_reply(deadline, |reply| reply.ids(kind, is_single, &mut ids))?;
            if let (Ok(()), Some(expected)) = (read, &self.expected) {
                ledger.late(spans(&ids), expected);
            }
        }
        self.next_reply(deadline, |reply| reply.identity())??;
        Ok(())
    }

    fn take(&mut self, reply: &Reply<'_>, ledger: &mut Ledger, received_ns: u64) -> io::Result<()> {
        let (Some(expected), Some(flight)) = (&self.expected, self.flights.pop_front()) else {
            return Err(invalid("a reply without a request"));
        };
        self.ids.clear();
        match reply.ids(self.settings.kind, self.settings.is_single(), &mut self.ids) {
            Ok(()) => {
                let spans = spans(&self.ids);
                ledger.answered(flight, spans, expected, &mut self.order, received_ns);
            }
            Err(failure) => ledger.failed(flight, failure),
        }
        Ok(())
    }

    /// Waits for the next reply on a blocking socket.
    fn next_reply<T>(
        &mut self,
        deadline: Instant,
        take: impl FnOnce(&Reply<'_>) -> T,
    ) -> io::Result<T> {
        loop {
            if let Some(reply) = Reply::split(&self.held)? {
                let (taken, size) = (take(&reply), reply.size);
                self.held.drain(..size);
                return Ok(taken);
            }
            stream::read_more(&mut self.stream, &mut self.held, deadline)?;
        }
    }
}

impl AsFd for HttpLink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl Requests {
    fn new(authority: &str, settings: LinkSettings, token: Option<&[u8]>) -> Self {
        let render = |path: &str| {
            let mut bytes = format!("GET {path} HTTP/1.1\r\nhost: {authority}\r\n").into_bytes();
            if let Some(token) = token {
                bytes.extend_from_slice(b"authorization: Bearer ");
                bytes.extend_from_slice(token);
                bytes.extend_from_slice(b"\r\n");
            }
            bytes.extend_from_slice(b"\r\n");
            bytes.into_boxed_slice()
        };
        // What every server understands, as long as nothing else is asked for.
        let kind = |joint: &str| match settings.kind {
            Kind::Snowflake => String::new(),
            kind => format!("{joint}kind={kind}"),
        };
        let generate = if settings.is_single() {
            render(&format!("/api/v1/id{}", kind("?")))
        } else {
            render(&format!("/api/v1/ids?count={}{}", settings.count.get(), kind("&")))
        };
        Self { generate, health: render("/api/v1/health") }
    }
}
