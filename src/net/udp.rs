//! The UDP door of a shard: batches of datagrams in, batches of replies out.

use std::collections::VecDeque;
use std::io;
use std::rc::Rc;

use coreflake_protocol::Kind;
use quinn_udp::{UdpSockRef, UdpSocketState};
use tokio::time::Instant;

use crate::limits::{
    DRAIN_QUIET, TURN_DATAGRAMS_MAX, UDP_SOURCES_MAX, UDP_WAITING_IDS_MAX,
    UDP_WAITING_IDS_PER_SOURCE_MAX, UDP_WAITING_MAX,
};
use crate::net::datagram::{self, Answer, DatagramRequest, Meaning};
use crate::net::inbox::Inbox;
use crate::net::outbox::{Outbox, Route, Wire};
use crate::net::source::SourceFilter;
use crate::readable::readable;
use crate::service::{Service, Turn};
use crate::shard::Shard;
use crate::tick_queue::Place;

/// The socket and the buffers of a shard's UDP door, allocated once.
#[derive(Debug)]
pub(crate) struct UdpDoor {
    wire: Wire,
    shard: Rc<Shard>,
    filter: SourceFilter,
    inbox: Inbox,
    outbox: Outbox,
    waiting: Waiting,
    /// The door's places among those who wait for numbers: one for all its requests of a kind.
    places: [Place; Kind::ALL.len()],
}

/// Requests for which the tick had no numbers, by kind, in the order they came.
#[derive(Debug)]
struct Waiting {
    lines: [VecDeque<(Route, DatagramRequest)>; Kind::ALL.len()],
    requests: usize,
    ids: u32,
    ids_by_place: Box<[u32]>,
}

impl UdpDoor {
    pub(crate) fn new(
        socket: std::net::UdpSocket,
        filter: SourceFilter,
        shard: Rc<Shard>,
    ) -> io::Result<Self> {
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        Ok(Self {
            wire: Wire { socket: readable(socket)?, state },
            filter,
            inbox: Inbox::new(),
            outbox: Outbox::new(),
            waiting: Waiting {
                lines: Kind::ALL.map(|_| VecDeque::with_capacity(UDP_WAITING_MAX)),
                requests: 0,
                ids: 0,
                ids_by_place: vec![0; UDP_SOURCES_MAX].into_boxed_slice(),
            },
            places: Kind::ALL.map(|kind| Place::new(shard.queues.of(kind))),
            shard,
        })
    }

    /// Answers datagrams until the server stops, and for a moment longer those that ask in vain.
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
        loop {
            let waiting = self.waiting.requests > 0;
            let more = !self.inbox.is_empty();
            let mut let_in = None;
            tokio::select! {
                biased;
                index = Place::first_let_in(&mut self.places), if waiting => {
                    let_in = Some(Kind::ALL[index]);
                }
                // First the connections of this shard have their turn.
                () = tokio::task::yield_now(), if more => {}
                received = self.inbox.receive(&self.wire), if !more => received?,
            }
            self.turn(let_in)?;
        }
    }

    /// Answers those who waited, when they are let in, and then a part of what was received.
    fn turn(&mut self, let_in: Option<Kind>) -> io::Result<()> {
        let shard = Rc::clone(&self.shard);
        let mut service = shard.service.borrow_mut();
        let turn = service.turn();
        let mut until_ms = [None; Kind::ALL.len()];
        if let Some(kind) = let_in {
            until_ms[kind.index()] = self.resume(kind, &mut service, &turn);
        }

        let now = shard.coarse_clock.elapsed();
        for _ in 0..TURN_DATAGRAMS_MAX {
            let Some((route, bytes)) = self.inbox.next() else { break };
            service.counters().datagrams.add(1);
            service.counters().received_bytes.add(bytes.len() as u64);
            if let Err(reason) = self.filter.check(&route, now) {
                service.counters().reject(reason);
                continue;
            }
            match datagram::read(bytes, &service, &turn, self.outbox.bytes()) {
                Meaning::Settled(answer) => self.settle(route, answer, &service),
                Meaning::Generate(request) => {
                    let kind = request.kind();
                    let first = self.waiting.lines[kind.index()].is_empty();
                    let nobody = || shard.queues.of(kind).is_empty();
                    let may_issue = first && (let_in == Some(kind) || nobody());
                    let wait = self.issue(route, request, may_issue, &mut service, &turn);
                    if wait.is_some() {
                        until_ms[kind.index()] = wait;
                    }
                }
            }
        }
        service.end_turn(&turn);
        self.outbox.flush(&self.wire, service.counters());

        for kind in Kind::ALL {
            let queue = shard.queues.of(kind);
            if let Some(until_ms) = until_ms[kind.index()] {
                queue.open_at(until_ms, turn.until(until_ms))?;
            } else if let_in == Some(kind) {
                queue.let_in_next();
            }
            if !self.waiting.lines[kind.index()].is_empty() {
                self.places[kind.index()].join();
            }
        }
        Ok(())
    }

    /// Answers those who waited for a kind, as long as there are numbers: `Some` when there are no
    /// more.
    fn resume(&mut self, kind: Kind, service: &mut Service, turn: &Turn) -> Option<u64> {
        while let Some((route, request)) = self.waiting.lines[kind.index()].front().copied() {
            match datagram::generate(&request, service, turn, self.outbox.bytes()) {
                Answer::Wait(until_ms) => return Some(until_ms),
                answer => self.settle(route, answer, service),
            }
            self.waiting.remove_first(kind, &self.filter);
        }
        None
    }

    /// Answers a request for IDs, or puts it behind those who wait: `Some` when it is the first to.
    fn issue(
        &mut self,
        route: Route,
        request: DatagramRequest,
        may_issue: bool,
        service: &mut Service,
        turn: &Turn,
    ) -> Option<u64> {
        let mut until = None;
        if may_issue {
            match datagram::generate(&request, service, turn, self.outbox.bytes()) {
                Answer::Wait(until_ms) => until = Some(until_ms),
                answer => {
                    self.settle(route, answer, service);
                    return None;
                }
            }
        }
        if !self.waiting.add(route, request, &self.filter) {
            let answer = datagram::overloaded(&request, service, self.outbox.bytes());
            self.settle(route, answer, service);
        }
        until
    }

    fn settle(&mut self, route: Route, answer: Answer, service: &Service) {
        match answer {
            Answer::Reply => self.outbox.push(route, &self.wire, service.counters()),
            Answer::Drop(reason) => service.counters().reject(reason),
            Answer::Wait(_) => unreachable!("only a request for IDs waits, and is put aside"),
        }
    }
}

impl Waiting {
    /// Takes a request in, or says that there are too many, of this source or of all.
    fn add(&mut self, route: Route, request: DatagramRequest, filter: &SourceFilter) -> bool {
        let of_source = &mut self.ids_by_place[filter.place(&route)];
        let full = self.requests == UDP_WAITING_MAX
            || self.ids + request.ids() > UDP_WAITING_IDS_MAX
            || *of_source + request.ids() > UDP_WAITING_IDS_PER_SOURCE_MAX;
        if !full {
            *of_source += request.ids();
            self.ids += request.ids();
            self.requests += 1;
            self.lines[request.kind().index()].push_back((route, request));
        }
        !full
    }

    fn remove_first(&mut self, kind: Kind, filter: &SourceFilter) {
        if let Some((route, request)) = self.lines[kind.index()].pop_front() {
            self.requests -= 1;
            self.ids -= request.ids();
            self.ids_by_place[filter.place(&route)] -= request.ids();
        }
    }
}
