//! Datagrams on their way out. Replies to one peer that follow each other and have the same size
//! leave in one system call (generic segmentation offload).

use core::ops::Range;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use coreflake_protocol::frame::DATAGRAM_SIZE_MAX;
use quinn_udp::{Transmit, UdpSockRef, UdpSocketState};
use tokio::io::unix::AsyncFd;

use crate::counters::{LaneCounters, Reject};

/// Bytes that wait for a system call: a UDP payload cannot be longer, even segmented.
const BYTES_MAX: usize = 60 * 1_024;

/// Where a datagram came from, and where to on this side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) peer: SocketAddr,
    /// The local address the peer used: a reply from another one would not reach it.
    pub(crate) local: Option<IpAddr>,
}

/// A socket and what is known of its offloads.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) socket: AsyncFd<UdpSocket>,
    pub(crate) state: UdpSocketState,
}

/// Replies of equal size to one peer.
#[derive(Debug)]
pub(crate) struct Outbox {
    bytes: Vec<u8>,
    segments: usize,
    segment_size: usize,
    route: Option<Route>,
}

impl Outbox {
    pub(crate) fn new() -> Self {
        let bytes = Vec::with_capacity(BYTES_MAX + DATAGRAM_SIZE_MAX);
        Self { bytes, segments: 0, segment_size: 0, route: None }
    }

    /// Where the next reply is to be appended. [`Outbox::push`] takes it from there.
    pub(crate) fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Takes the reply that was appended for `route`; sends what cannot wait with it.
    pub(crate) fn push(&mut self, route: Route, wire: &Wire, counters: &LaneCounters) {
        let start = self.segments * self.segment_size;
        let size = self.bytes.len() - start;
        debug_assert!(size > 0 && size <= DATAGRAM_SIZE_MAX);
        let joins = self.route == Some(route)
            && self.segment_size == size
            && self.segments < wire.state.max_gso_segments()
            && self.bytes.len() <= BYTES_MAX;
        if !joins {
            self.transmit(0..start, wire, counters);
            self.bytes.copy_within(start.., 0);
            self.bytes.truncate(size);
            self.segments = 0;
            self.segment_size = size;
            self.route = Some(route);
        }
        self.segments += 1;
    }

    /// Sends what is left.
    pub(crate) fn flush(&mut self, wire: &Wire, counters: &LaneCounters) {
        self.transmit(0..self.bytes.len(), wire, counters);
        self.bytes.clear();
        self.segments = 0;
        self.segment_size = 0;
        self.route = None;
    }

    fn transmit(&self, range: Range<usize>, wire: &Wire, counters: &LaneCounters) {
        let Some(route) = self.route.filter(|_| !range.is_empty()) else {
            return;
        };
        let transmit = Transmit {
            destination: route.peer,
            ecn: None,
            contents: &self.bytes[range],
            segment_size: (self.segments > 1).then_some(self.segment_size),
            src_ip: route.local,
        };
        // A reply that the socket does not take is lost, as any datagram may be: the peer asks
        // again.
        if wire.state.try_send(UdpSockRef::from(wire.socket.get_ref()), &transmit).is_err() {
            counters.reject_many(Reject::ReplyNotSent, self.segments as u64);
        } else {
            counters.sent_bytes.add(transmit.contents.len() as u64);
        }
    }
}
