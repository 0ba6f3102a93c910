//! The UDP door of a shard: batches of datagrams in, batches of replies out.

use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::rc::Rc;

use quinn_udp::{BATCH_SIZE, RecvMeta, UdpSockRef, UdpSocketState};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::time::Instant;

use coreflake_protocol::Tick;

use crate::limits::{DRAIN_QUIET, UDP_WAITING_MAX};
use crate::net::datagram::{self, Answer, DatagramRequest, Meaning};
use crate::net::outbox::{Outbox, Route};
use crate::net::source::SourceFilter;
use crate::service::{Service, Turn};
use crate::shard::Shard;

/// Bytes of one receive buffer: the kernel may put up to 64 KiB of datagrams of one peer into it.
const RECEIVE_SIZE: usize = 64 * 1_024;

/// The socket and the buffers of a shard's UDP door, allocated once.
#[derive(Debug)]
pub(crate) struct UdpDoor {
    socket: UdpSocket,
    state: UdpSocketState,
    shard: Rc<Shard>,
    filter: SourceFilter,
    outbox: Outbox,
    /// Requests for which this tick had no sequence space, in the order they came.
    waiting: VecDeque<(Route, DatagramRequest)>,
    /// When there is sequence space for the first of them.
    wait_until: Option<Tick>,
    received: Box<[u8]>,
}

impl UdpDoor {
    pub(crate) fn new(
        socket: std::net::UdpSocket,
        filter: SourceFilter,
        shard: Rc<Shard>,
    ) -> io::Result<Self> {
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        Ok(Self {
            socket: UdpSocket::from_std(socket)?,
            state,
            shard,
            filter,
            outbox: Outbox::new(),
            waiting: VecDeque::with_capacity(UDP_WAITING_MAX),
            wait_until: None,
            received: vec![0; RECEIVE_SIZE * BATCH_SIZE].into_boxed_slice(),
        })
    }

    /// Answers datagrams until the server stops, and for a moment longer those that say so.
    pub(crate) async fn run(mut self) -> io::Result<()> {
        let shard = Rc::clone(&self.shard);
        tokio::select! {
            result = self.serve() => return result,
            () = shard.stopping.cancelled() => {}
        }
        let quiet = tokio::time::sleep_until(Instant::now() + DRAIN_QUIET);
        tokio::select! {
            result = self.serve() => result,
            () = quiet => Ok(()),
        }
    }

    async fn serve(&mut self) -> io::Result<()> {
        let mut meta = [RecvMeta::default(); BATCH_SIZE];
        loop {
            let size = match self.wait_until {
                None => self.receive(&mut meta).await?,
                Some(tick) => {
                    let shard = Rc::clone(&self.shard);
                    tokio::select! {
                        biased;
                        waited = shard.wait(tick) => {
                            waited?;
                            0
                        }
                        size = self.receive(&mut meta) => size?,
                    }
                }
            };
            self.answer(&meta[..size]);
            // One batch, then the connections of this shard have their turn.
            tokio::task::yield_now().await;
        }
    }

    /// Receives up to a batch of buffers.
    async fn receive(&mut self, meta: &mut [RecvMeta; BATCH_SIZE]) -> io::Result<usize> {
        let Self { socket, state, received, .. } = self;
        loop {
            socket.readable().await?;
            let mut buffers = received.chunks_exact_mut(RECEIVE_SIZE);
            let mut buffers: [IoSliceMut<'_>; BATCH_SIZE] =
                core::array::from_fn(|_| IoSliceMut::new(buffers.next().unwrap_or_default()));
            let mut size = 0;
            let drained = socket.try_io(Interest::READABLE, || {
                size = state.recv(UdpSockRef::from(&*socket), &mut buffers, meta)?;
                // A batch that is not full has emptied the socket. To say so saves the system call
                // that would only find that out.
                if size < BATCH_SIZE { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
            });
            match drained {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                _ if size > 0 => return Ok(size),
                _ => {}
            }
        }
    }

    fn answer(&mut self, meta: &[RecvMeta]) {
        let shard = Rc::clone(&self.shard);
        let mut service = shard.service.borrow_mut();
        let turn = service.turn();
        self.wait_until = None;
        self.resume(&mut service, &turn);
        let now = shard.coarse_clock.elapsed();
        for (index, meta) in meta.iter().enumerate() {
            let route = Route { peer: meta.addr, local: meta.dst_ip };
            let start = index * RECEIVE_SIZE;
            // An empty datagram has a stride of zero and is still one datagram.
            let (end, stride) = (start + meta.len, meta.stride.max(1));
            for offset in (start..end.max(start + 1)).step_by(stride) {
                service.counters().datagrams.add(1);
                let datagram = offset..end.min(offset + stride);
                if let Err(reason) = self.filter.check(&route, now) {
                    service.counters().reject(reason);
                    continue;
                }
                self.handle(route, datagram, &mut service, &turn);
            }
        }
        self.outbox.flush(&self.socket, &self.state, service.counters());
        service.publish();
    }

    fn handle(
        &mut self,
        route: Route,
        datagram: core::ops::Range<usize>,
        service: &mut Service,
        turn: &Turn,
    ) {
        let out = self.outbox.bytes();
        let answer = match datagram::read(&self.received[datagram], service, turn, out) {
            Meaning::Settled(answer) => answer,
            Meaning::Generate(request) => {
                // Who came first is served first.
                let answer = match self.wait_until {
                    Some(until) => Answer::Wait(until),
                    None => datagram::generate(&request, service, turn, out),
                };
                match answer {
                    Answer::Wait(until) => self.enqueue(route, request, until, service),
                    answer => answer,
                }
            }
        };
        match answer {
            Answer::Reply => {
                self.outbox.push(route, &self.socket, &self.state, service.counters());
            }
            Answer::Wait(_) => {}
            Answer::Drop(reason) => service.counters().reject(reason),
        }
    }

    /// Puts a request behind those who wait already, until there is sequence space at `until`.
    fn enqueue(
        &mut self,
        route: Route,
        request: DatagramRequest,
        until: Tick,
        service: &Service,
    ) -> Answer {
        if self.waiting.len() == UDP_WAITING_MAX {
            return datagram::overloaded(&request, service, self.outbox.bytes());
        }
        self.waiting.push_back((route, request));
        self.wait_until = Some(until);
        Answer::Wait(until)
    }

    /// Answers those who waited, as long as there is sequence space.
    fn resume(&mut self, service: &mut Service, turn: &Turn) {
        while let Some((route, request)) = self.waiting.front().copied() {
            match datagram::generate(&request, service, turn, self.outbox.bytes()) {
                Answer::Wait(until) => {
                    self.wait_until = Some(until);
                    return;
                }
                Answer::Reply => {
                    self.outbox.push(route, &self.socket, &self.state, service.counters());
                }
                Answer::Drop(reason) => service.counters().reject(reason),
            }
            self.waiting.pop_front();
        }
    }
}
