//! One connected UDP socket: every request carries a nonce, and a table as large as the limit of
//! requests in flight knows which are out.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use coreflake_protocol::frame::{DATAGRAM_SIZE_MAX, HEADER_SIZE, RESPONSE_SIZE_MAX, Split, split};
use coreflake_protocol::{AnyId, ErrorReply, Info, RUN_SIZE, Request, Response, WIDE_SIZE};
use fastrand::Rng;
use socket2::SockRef;

use crate::args::PIPELINE_MAX;
use crate::clock::Clock;
use crate::ledger::{Expectation, Flight, Ledger, Order};
use crate::span::{Brought, Span};
use crate::stats::Failure;
use crate::stream::{invalid, is_temporary, left};
use crate::target::{LinkSettings, refusal};

/// A request without an answer for this long is lost and its place is free.
const REPLY_TIMEOUT_NS: u64 = 200_000_000;
/// INFO asks again after this long.
const INFO_RETRY: Duration = Duration::from_millis(250);
/// Room for the INFO reply of 96 bytes and for what later versions may add to it.
const INFO_DATAGRAM_SIZE: usize = 184;
/// Datagrams taken per wake, so that one socket cannot keep the others waiting.
const RECEIVE_MAX: usize = 64;
/// Best effort: the kernel caps it at `net.core.rmem_max` and `wmem_max`.
const SOCKET_BUFFER_SIZE: usize = 4 << 20;
/// The place in the table is the low part of a nonce; the high part is random.
const PLACE_MASK: u64 = PIPELINE_MAX as u64 - 1;

const _: () = assert!(PIPELINE_MAX & (PIPELINE_MAX - 1) == 0);

/// A socket that talks to the server alone.
#[derive(Debug)]
pub(crate) struct UdpLink {
    socket: UdpSocket,
    settings: LinkSettings,
    expected: Option<Expectation>,
    order: Order,
    places: Vec<Place>,
    free: Vec<usize>,
    random: Rng,
    datagram: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Place {
    nonce: u64,
    flight: Option<Flight>,
    /// The first ID that answered `nonce`: a datagram that says so again is a copy made by the
    /// network.
    answer: Option<AnyId>,
}

impl UdpLink {
    /// Opens a socket and asks for INFO until it is answered.
    pub(crate) fn connect(
        address: SocketAddr,
        settings: LinkSettings,
        timeout: Duration,
    ) -> io::Result<(Self, Info)> {
        let local: SocketAddr = match address {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(local)?;
        socket.connect(address)?;
        let options = SockRef::from(&socket);
        let _ = options.set_recv_buffer_size(SOCKET_BUFFER_SIZE);
        let _ = options.set_send_buffer_size(SOCKET_BUFFER_SIZE);
        let mut link = Self {
            socket,
            settings,
            expected: None,
            order: Order::default(),
            places: vec![Place::default(); settings.pipeline],
            free: (0..settings.pipeline).rev().collect(),
            random: Rng::new(),
            datagram: Vec::with_capacity(DATAGRAM_SIZE_MAX),
        };
        let info = link.ask_info(Instant::now() + timeout, |_| ())?;
        link.expected = Some(Expectation::new((&info).into(), settings.count, true));
        link.socket.set_nonblocking(true)?;
        Ok((link, info))
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.places.len() - self.free.len()
    }

    pub(crate) fn has_room(&self) -> bool {
        !self.free.is_empty()
    }

    /// Sends a request. Returns false when the socket has no room for it now.
    pub(crate) fn send(&mut self, flight: Flight) -> io::Result<bool> {
        let Some(place) = self.free.pop() else {
            return Ok(false);
        };
        let nonce = (self.random.u64(..) & !PLACE_MASK) | place as u64;
        let request = Request::Generate { kind: self.settings.kind, count: self.settings.count };
        // As many runs, or IDs of 128 bits, as a reply can hold.
        let size = if self.settings.kind.is_wide() { WIDE_SIZE } else { RUN_SIZE };
        let fit = (DATAGRAM_SIZE_MAX - HEADER_SIZE) / size;
        let pieces = usize::try_from(self.settings.count.get()).unwrap_or(fit).min(fit);
        self.encode(&request, nonce, HEADER_SIZE + pieces * size);
        match self.socket.send(&self.datagram) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.free.push(place);
                return Ok(false);
            }
            // The message that nobody listens, or a full device queue: the datagram is gone and the
            // request times out like any other lost one.
            Err(error) if is_refusal(&error) || is_out_of_buffers(&error) => {}
            Err(error) => return Err(error),
        }
        self.places[place] = Place { nonce, flight: Some(flight), answer: None };
        Ok(true)
    }

    /// Takes the datagrams that are there, up to a bound.
    pub(crate) fn receive(
        &mut self,
        scratch: &mut [u8],
        ledger: &mut Ledger,
        clock: &Clock,
    ) -> io::Result<()> {
        for _ in 0..RECEIVE_MAX {
            match self.socket.recv(scratch) {
                Ok(size) => self.take(&scratch[..size], ledger, clock.now_ns()),
                Err(error) if is_temporary(&error) => break,
                Err(error) if is_refusal(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Gives up on requests that are out too long. Returns when the next one will be.
    pub(crate) fn expire(&mut self, now_ns: u64, ledger: &mut Ledger) -> Option<u64> {
        let mut next = None;
        for (index, place) in self.places.iter_mut().enumerate() {
            let Some(flight) = place.flight else {
                continue;
            };
            let deadline_ns = deadline_ns(flight);
            if deadline_ns <= now_ns {
                place.flight = None;
                self.free.push(index);
                ledger.failed(flight, Failure::Lost);
            } else {
                next = Some(next.map_or(deadline_ns, |next: u64| next.min(deadline_ns)));
            }
        }
        next
    }

    /// Gives up on every request in flight.
    pub(crate) fn abandon(&mut self, ledger: &mut Ledger) {
        self.expire(u64::MAX, ledger);
    }

    /// Asks for INFO once more, when nothing is measured any longer.
    pub(crate) fn closing_info(
        &mut self,
        deadline: Instant,
        ledger: &mut Ledger,
    ) -> io::Result<Info> {
        self.socket.set_nonblocking(false)?;
        let expected = self.expected;
        self.ask_info(deadline, |brought| {
            if let Some(expected) = &expected {
                ledger.late(brought.spans(), expected);
            }
        })
    }

    fn take(&mut self, datagram: &[u8], ledger: &mut Ledger, received_ns: u64) {
        let Ok(Split::Complete { frame, .. }) = split(datagram, RESPONSE_SIZE_MAX) else {
            return ledger.broken(Failure::InvalidReply);
        };
        let (Ok(reply), Some(expected)) = (Response::decode(&frame), &self.expected) else {
            return ledger.broken(Failure::InvalidReply);
        };
        let nonce = frame.header.request_id;
        let index = usize::try_from(nonce & PLACE_MASK).unwrap_or(usize::MAX);
        let place = self.places.get_mut(index).filter(|place| place.nonce == nonce);
        let brought = match &reply {
            Response::Generate(generated) => Brought::read(self.settings.kind, generated),
            _ => None,
        };
        let first = brought.and_then(|brought| brought.spans().next()).map(Span::first);
        let answer = place.as_ref().and_then(|place| place.answer);
        let Some((place, flight)) =
            place.and_then(|place| place.flight.take().map(|flight| (place, flight)))
        else {
            ledger.unmatched();
            if let Some(brought) = brought
                && answer != first
            {
                ledger.late(brought.spans(), expected);
            }
            return;
        };
        place.answer = first;
        self.free.push(index);
        match (reply, brought) {
            (_, Some(brought)) => {
                let order = &mut self.order;
                ledger.answered(flight, brought.spans(), expected, order, received_ns);
            }
            (Response::Error(ErrorReply { code, .. }), None) => {
                ledger.failed(flight, Failure::Refused(code));
            }
            _ => ledger.failed(flight, Failure::InvalidReply),
        }
    }

    /// Asks for INFO on a blocking socket. `late` sees the IDs in replies to earlier requests.
    fn ask_info(
        &mut self,
        deadline: Instant,
        mut late: impl FnMut(Brought<'_>),
    ) -> io::Result<Info> {
        let mut buffer = [0; DATAGRAM_SIZE_MAX];
        loop {
            let retry = Instant::now() + left(deadline)?.min(INFO_RETRY);
            let nonce = self.random.u64(..);
            self.encode(&Request::Info, nonce, INFO_DATAGRAM_SIZE);
            self.socket.send(&self.datagram)?;
            while let Ok(wait) = left(retry) {
                self.socket.set_read_timeout(Some(wait))?;
                let size = match self.socket.recv(&mut buffer) {
                    Ok(size) => size,
                    Err(error) if is_temporary(&error) => break,
                    Err(error) => return Err(error),
                };
                let Ok(Split::Complete { frame, .. }) = split(&buffer[..size], RESPONSE_SIZE_MAX)
                else {
                    return Err(invalid("no frame"));
                };
                match Response::decode(&frame).map_err(invalid)? {
                    Response::Info(info) => return Ok(info),
                    Response::Generate(generated) => {
                        Brought::read(self.settings.kind, &generated).map(&mut late);
                    }
                    Response::Error(error) if frame.header.request_id == nonce => {
                        return Err(refusal(&error));
                    }
                    _ => {}
                }
            }
        }
    }

    /// Replies are never longer than their request, so it is padded to the size of the reply.
    fn encode(&mut self, request: &Request<'_>, nonce: u64, size: usize) {
        self.datagram.clear();
        request.encode(nonce, &mut self.datagram);
        self.datagram.resize(size.max(self.datagram.len()), 0);
    }
}

impl AsFd for UdpLink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// When a request is lost.
pub(crate) const fn deadline_ns(flight: Flight) -> u64 {
    flight.sent_ns + REPLY_TIMEOUT_NS
}

fn is_refusal(error: &io::Error) -> bool {
    error.kind() == ErrorKind::ConnectionRefused
}

fn is_out_of_buffers(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::NOBUFS.raw_os_error())
}
