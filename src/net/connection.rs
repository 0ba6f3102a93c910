//! One TCP connection: moves bytes between the socket and its [`Session`].

use core::ops::Range;
use std::io;
use std::rc::Rc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tracing::debug;

use crate::admission::Permit;
use crate::counters::Reject;
use crate::limits::{
    DRAIN_QUIET, FIRST_FRAME_TIMEOUT, FRAME_TIMEOUT, IDLE_TIMEOUT, INPUT_SIZE, LINGER_SIZE_MAX,
    LINGER_TIMEOUT, OUTPUT_SIZE_INITIAL, WRITE_TIMEOUT,
};
use crate::net::deadline::Deadline;
use crate::net::session::{Next, Session};
use crate::shard::Shard;

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
            let progress = {
                let mut service = self.shard.service.borrow_mut();
                let turn = service.turn();
                let input = &self.input[self.received.clone()];
                let progress = self.session.advance(input, &mut service, &turn, &mut self.output);
                service.publish();
                progress
            };
            self.received.start += progress.consumed;
            self.send(progress.complete).await?;
            match progress.next {
                Next::Read => {
                    self.expect_more(progress.consumed);
                    self.receive().await?;
                }
                Next::Yield => tokio::task::yield_now().await,
                Next::Wait(tick) => self.shard.wait(tick).await?,
                Next::Close => return Err(End::Told),
                Next::Drop => return Err(End::Silent),
            }
        }
    }

    /// Sends the first `complete` bytes of the output: in one write, if the peer reads.
    async fn send(&mut self, complete: usize) -> Result<(), End> {
        let mut sent = 0;
        while sent < complete {
            match self.stream.try_write(&self.output[sent..complete]) {
                Ok(0) => return Err(End::Peer),
                Ok(size) => sent += size,
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
    fn expect_more(&mut self, consumed: usize) {
        let now = self.shard.coarse_clock.now();
        if self.received.is_empty() {
            self.received = 0..0;
            if self.session.has_begun() {
                self.deadline.set(now + IDLE_TIMEOUT);
                self.overdue = Reject::IdleTimeout;
            }
            return;
        }
        if consumed > 0 || self.overdue != Reject::FrameTimeout {
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
            let read = timeout(DRAIN_QUIET, stream.read(room)).await;
            read.map_err(|_| End::Told)??
        } else {
            tokio::select! {
                biased;
                read = stream.read(room) => read?,
                () = shard.stopping.cancelled() => {
                    *draining = true;
                    return Ok(());
                }
                () = deadline.passed() => return Err(End::Overdue(*overdue)),
            }
        };
        if size == 0 {
            return Err(End::Peer);
        }
        received.end += size;
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
