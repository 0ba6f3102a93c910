//! One TCP connection: moves bytes between the socket and its [`Session`].

use core::ops::Range;
use core::time::Duration;
use std::io;
use std::rc::Rc;

use coreflake_protocol::Kind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::debug;

use crate::admission::Permit;
use crate::counters::Reject;
use crate::limits::{
    DRAIN_GRACE, DRAIN_QUIET, FIRST_FRAME_TIMEOUT, FLUSH_SIZE, FRAME_TIMEOUT, IDLE_TIMEOUT,
    INPUT_SIZE, LINGER_SIZE_MAX, LINGER_TIMEOUT, OUTPUT_SIZE_INITIAL, WRITE_TIMEOUT,
};
use crate::net::deadline::Deadline;
use crate::net::session::{Next, Progress, Session};
use crate::shard::Shard;
use crate::tick_queue::Place;

/// A connection and its buffers, which are allocated here once and used until it ends.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    shard: Rc<Shard>,
    session: Session,
    input: Box<[u8]>,
    /// The part of `input` that is received and not yet dealt with.
    received: Range<usize>,
    output: Vec<u8>,
    deadline: Deadline,
    /// What it means when the deadline passes.
    overdue: Reject,
    draining: bool,
    /// Bytes dealt with since the deadline was last set.
    consumed: usize,
    /// Made when it is first needed, and when it is needed for another kind.
    place: Option<(Kind, Place)>,
    /// The kind of which it is this connection's turn to take numbers.
    let_in: Option<Kind>,
    _permit: Permit,
}

/// Why a connection ends.
#[derive(Debug)]
enum End {
    /// The peer has closed it, or it broke.
    Peer,
    /// The peer was told why, or the server shuts down: what it sent meanwhile is read and
    /// forgotten.
    Told,
    /// The peer is not worth a word.
    Silent,
    /// A deadline passed.
    Overdue(Reject),
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> Self {
        Self::Peer
    }
}

impl Connection {
    pub(crate) fn new(stream: TcpStream, shard: Rc<Shard>, permit: Permit) -> Self {
        let first_frame = shard.coarse_clock.now() + FIRST_FRAME_TIMEOUT;
        Self {
            stream,
            session: Session::new(shard.tokens.clone()),
            shard,
            input: vec![0; INPUT_SIZE].into_boxed_slice(),
            received: 0..0,
            output: Vec::with_capacity(OUTPUT_SIZE_INITIAL),
            deadline: Deadline::new(first_frame),
            overdue: Reject::FirstFrameTimeout,
            draining: false,
            consumed: 0,
            place: None,
            let_in: None,
            _permit: permit,
        }
    }

    /// Serves the connection until it ends.
    pub(crate) async fn serve(mut self) {
        let end = match self.converse().await {
            Ok(never) => match never {},
            Err(end) => end,
        };
        match end {
            End::Peer | End::Silent => {}
            End::Told => self.linger().await,
            End::Overdue(reason) => self.shard.reject(reason),
        }
        debug!(?end, "connection closed");
    }

    async fn converse(&mut self) -> Result<core::convert::Infallible, End> {
        // Ends with the connection; each round answers a frame, or waits for bytes, a tick or its
        // turn.
        loop {
            let progress = self.turn()?;
            self.received.start += progress.consumed;
            self.consumed += progress.consumed;
            let more = progress.next == Next::Yield && self.output.len() < FLUSH_SIZE;
            if !more {
                self.send(progress.complete).await?;
            }
            match progress.next {
                Next::Read => {
                    self.expect_more();
                    self.receive().await?;
                }
                Next::Yield => tokio::task::yield_now().await,
                Next::Wait(kind, until_ms) => {
                    self.join(kind);
                    // If the tick has come while the replies were sent, nobody else will open.
                    self.shard.queues.of(kind).open_at(until_ms, Duration::ZERO)?;
                    self.wait().await;
                }
                Next::Queue(kind) if self.shard.queues.of(kind).is_empty() => {}
                Next::Queue(kind) => {
                    self.join(kind);
                    self.wait().await;
                }
                Next::Close => return Err(End::Told),
                Next::Drop => return Err(End::Silent),
            }
        }
    }

    /// Goes to the end of the line. Not before everything is sent: who is let in must be there.
    fn join(&mut self, kind: Kind) {
        if self.place.as_ref().is_none_or(|(of, _)| *of != kind) {
            self.place = Some((kind, Place::new(self.shard.queues.of(kind))));
        }
        if let Some((_, place)) = &mut self.place {
            place.join();
        }
    }

    async fn wait(&mut self) {
        if let Some((kind, place)) = &mut self.place {
            place.let_in().await;
            self.let_in = Some(*kind);
        }
    }

    /// Answers what is there, as far as one turn goes.
    fn turn(&mut self) -> Result<Progress, End> {
        let queues = &self.shard.queues;
        let let_in = self.let_in.take();
        let may_issue = |kind| let_in == Some(kind) || queues.of(kind).is_empty();
        let mut service = self.shard.service.borrow_mut();
        let turn = service.turn();
        let input = &self.input[self.received.clone()];
        let output = &mut self.output;
        let progress = self.session.advance(input, may_issue, &mut service, &turn, output);
        service.end_turn(&turn);
        let mut waits_for = None;
        if let Next::Wait(kind, until_ms) = progress.next {
            queues.of(kind).open_at(until_ms, turn.until(until_ms))?;
            waits_for = Some(kind);
        }
        if let Some(kind) = let_in.filter(|kind| waits_for != Some(*kind)) {
            queues.of(kind).let_in_next();
        }
        Ok(progress)
    }

    /// Sends the first `complete` bytes of the output: in one write, if the peer reads.
    async fn send(&mut self, complete: usize) -> Result<(), End> {
        let mut sent = 0;
        while sent < complete {
            match self.stream.try_write(&self.output[sent..complete]) {
                Ok(0) => return Err(End::Peer),
                Ok(size) => {
                    sent += size;
                    self.shard.counters.sent_bytes.add(size as u64);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let writable = timeout(WRITE_TIMEOUT, self.stream.writable()).await;
                    writable.map_err(|_| End::Overdue(Reject::SlowReader))??;
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.output.drain(..complete);
        self.session.output_sent(complete);
        Ok(())
    }

    /// Sets the deadline for what has to come next, and makes room for it.
    fn expect_more(&mut self) {
        let now = self.shard.coarse_clock.now();
        let new = core::mem::take(&mut self.consumed) > 0 || self.overdue != Reject::FrameTimeout;
        if self.draining {
            // The deadline is that of the drain.
        } else if self.received.is_empty() {
            if self.session.is_settled() {
                self.deadline.set(now + IDLE_TIMEOUT);
                self.overdue = Reject::IdleTimeout;
            }
        } else if new && (self.session.is_settled() || now + FRAME_TIMEOUT < self.deadline.at()) {
            // The rest of a frame that has begun.
            self.deadline.set(now + FRAME_TIMEOUT);
            self.overdue = Reject::FrameTimeout;
        }
        self.input.copy_within(self.received.clone(), 0);
        self.received = 0..self.received.len();
    }

    async fn receive(&mut self) -> Result<(), End> {
        let Self { stream, input, received, deadline, overdue, draining, shard, .. } = self;
        let room = &mut input[received.end..];
        let size = if *draining {
            let read = timeout_at(deadline.at(), timeout(DRAIN_QUIET, stream.read(room))).await;
            read.map_err(|_| End::Told)?.map_err(|_| End::Told)??
        } else {
            tokio::select! {
                biased;
                read = stream.read(room) => read?,
                () = shard.stopping.cancelled() => {
                    *draining = true;
                    deadline.set(Instant::now() + DRAIN_GRACE);
                    return Ok(());
                }
                () = deadline.passed() => return Err(End::Overdue(*overdue)),
            }
        };
        if size == 0 {
            return Err(End::Peer);
        }
        received.end += size;
        shard.counters.received_bytes.add(size as u64);
        Ok(())
    }

    /// Closes our half and reads on for a while: to close with unread input would reset the
    /// connection, and the reset could overtake the reply that says why.
    async fn linger(&mut self) {
        if self.stream.shutdown().await.is_err() {
            return;
        }
        let input = &mut self.input;
        let stream = &mut self.stream;
        let discard = async {
            let mut discarded = 0;
            while discarded < LINGER_SIZE_MAX {
                match stream.read(input).await {
                    Ok(size) if size > 0 => discarded += size,
                    _ => return,
                }
            }
        };
        let _ = timeout(LINGER_TIMEOUT, discard).await;
    }
}
