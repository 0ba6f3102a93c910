//! Datagrams as the kernel hands them over: a batch of buffers, each with one datagram or with many
//! of one peer (generic receive offload).

use std::io::{self, IoSliceMut};

use quinn_udp::{BATCH_SIZE, RecvMeta, UdpSockRef};
use tracing::warn;

use crate::limits::UDP_FAILURES_MAX;
use crate::net::outbox::{Route, Wire};

/// Bytes of one receive buffer: the kernel may put up to 64 KiB of datagrams into it.
const BUFFER_SIZE: usize = 64 * 1_024;

/// The receive buffers of a shard, allocated once, and how far they have been read.
#[derive(Debug)]
pub(crate) struct Inbox {
    bytes: Box<[u8]>,
    meta: [RecvMeta; BATCH_SIZE],
    /// Buffers that hold something.
    filled: usize,
    /// The buffer that is read.
    buffer: usize,
    /// Where the next datagram begins in it.
    offset: usize,
}

impl Inbox {
    pub(crate) fn new() -> Self {
        Self {
            bytes: vec![0; BUFFER_SIZE * BATCH_SIZE].into_boxed_slice(),
            meta: [RecvMeta::default(); BATCH_SIZE],
            filled: 0,
            buffer: 0,
            offset: 0,
        }
    }

    /// Whether every datagram received has been taken.
    pub(crate) fn is_empty(&self) -> bool {
        self.buffer == self.filled
    }

    /// Waits for datagrams and receives a batch, in place of the last one.
    pub(crate) async fn receive(&mut self, wire: &Wire) -> io::Result<()> {
        let Self { bytes, meta, .. } = self;
        let Wire { socket, state } = wire;
        let mut failures = 0;
        let filled = loop {
            let mut ready = socket.readable().await?;
            let mut chunks = bytes.chunks_exact_mut(BUFFER_SIZE);
            let mut buffers: [IoSliceMut<'_>; BATCH_SIZE] =
                core::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
            match state.recv(UdpSockRef::from(socket.get_ref()), &mut buffers, meta) {
                Ok(BATCH_SIZE) => break BATCH_SIZE,
                // A batch that is not full has emptied the socket. To say so saves the system call
                // that would only find that out.
                Ok(filled) => {
                    ready.clear_ready();
                    if filled > 0 {
                        break filled;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
                // Short of memory, or an error of an earlier reply: the socket is still good. One
                // that only fails is not.
                Err(error) => {
                    failures += 1;
                    if failures == UDP_FAILURES_MAX {
                        return Err(error);
                    }
                    warn!(%error, "cannot receive datagrams");
                }
            }
        };
        self.filled = filled;
        self.buffer = 0;
        self.offset = 0;
        Ok(())
    }

    /// The next datagram, and where it came from.
    pub(crate) fn next(&mut self) -> Option<(Route, &[u8])> {
        if self.is_empty() {
            return None;
        }
        let meta = &self.meta[self.buffer];
        let route = Route { peer: meta.addr, local: meta.dst_ip };
        let start = self.buffer * BUFFER_SIZE + self.offset;
        // An empty datagram has a stride of zero and is still one datagram.
        let size = meta.stride.min(meta.len - self.offset);
        self.offset += size;
        if size == 0 || self.offset >= meta.len {
            self.buffer += 1;
            self.offset = 0;
        }
        Some((route, &self.bytes[start..start + size]))
    }
}
