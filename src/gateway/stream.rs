//! A connection of the gateway: bytes that are counted and do not come too slowly.

use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;
use std::io;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::admission::Permit;
use crate::counters::{LaneCounters, Reject};
use crate::limits::{
    FIRST_FRAME_TIMEOUT, GATEWAY_HANDSHAKE_SIZE, GATEWAY_REQUEST_TIMEOUT, WRITE_TIMEOUT,
};

/// What has to come in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// The first byte, and a request after its first byte, whatever the bytes between: HTTP/1. How
    /// long a connection may rest between two is the library's affair.
    Request,
    /// What opens an HTTP/2 connection. After that its own pings tell whether the peer is there.
    Handshake,
}

/// A TCP connection with its deadlines and its permit.
#[derive(Debug)]
pub(crate) struct DoorStream {
    stream: TcpStream,
    pace: Pace,
    received_size: usize,
    reading: Option<Pin<Box<Sleep>>>,
    writing: Option<Pin<Box<Sleep>>>,
    counters: Arc<LaneCounters>,
    _permit: Permit,
}

impl DoorStream {
    pub(crate) fn new(
        stream: TcpStream,
        pace: Pace,
        counters: Arc<LaneCounters>,
        permit: Permit,
    ) -> Self {
        let reading = Some(timer(match pace {
            Pace::Request => FIRST_FRAME_TIMEOUT,
            Pace::Handshake => GATEWAY_REQUEST_TIMEOUT,
        }));
        Self { stream, pace, received_size: 0, reading, writing: None, counters, _permit: permit }
    }

    fn received(&mut self, size: usize) {
        self.counters.received_bytes.add(size as u64);
        self.received_size = self.received_size.saturating_add(size);
        match self.pace {
            Pace::Request if self.reading.is_none() || self.received_size == size => {
                self.reading = Some(timer(GATEWAY_REQUEST_TIMEOUT));
            }
            Pace::Handshake if self.received_size >= GATEWAY_HANDSHAKE_SIZE => self.reading = None,
            Pace::Request | Pace::Handshake => {}
        }
    }

    /// Fails when what should have come has not.
    fn poll_overdue(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(timer) = &mut self.reading {
            ready!(timer.as_mut().poll(cx));
            self.reading = None;
            self.counters.reject(Reject::FrameTimeout);
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Poll::Pending
    }

    /// Notes what became of a write: something went out, or nothing has for too long.
    fn written(
        &mut self,
        cx: &mut Context<'_>,
        result: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match result {
            Poll::Ready(Ok(size)) => {
                self.counters.sent_bytes.add(size as u64);
                self.writing = None;
                if self.pace == Pace::Request {
                    self.reading = None;
                }
                Poll::Ready(Ok(size))
            }
            Poll::Pending => {
                let timer = self.writing.get_or_insert_with(|| timer(WRITE_TIMEOUT));
                ready!(timer.as_mut().poll(cx));
                self.counters.reject(Reject::SlowReader);
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
            failed => failed,
        }
    }
}

impl AsyncRead for DoorStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match Pin::new(&mut self.stream).poll_read(cx, buffer) {
            Poll::Ready(Ok(())) => {
                self.received(buffer.filled().len() - before);
                Poll::Ready(Ok(()))
            }
            Poll::Pending => self.poll_overdue(cx),
            failed => failed,
        }
    }
}

impl AsyncWrite for DoorStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.written(cx, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.written(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

fn timer(after: Duration) -> Pin<Box<Sleep>> {
    Box::pin(sleep_until(Instant::now() + after))
}
