//! One question to one time server.
//!
//! The packets are `sntpc`'s: it asks, checks the answer and computes the offset. That the answer
//! echoes our own timestamp is its first check, so nobody who cannot see our question can make us
//! believe anything, not even that the server wants to be left alone.

use core::time::Duration;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use sntpc::{Error, NtpContext, NtpResult, NtpTimestampGenerator, NtpUdpSocket};
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};

use crate::clock::WallTime;

/// An answer that took longer, or comes from a server that is farther from its own reference, says
/// too little: it may be wrong by as much.
pub(super) const DISTANCE_MAX: Duration = Duration::from_millis(500);

/// Datagrams looked at for one question. More than one are an attempt to guess the answer.
const DATAGRAMS_MAX: usize = 16;

/// Addresses of one name that are tried until the system has a route to one.
const ADDRESSES_MAX: usize = 4;

/// Why there is no valid answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// The name has no address.
    #[error("the name cannot be resolved: {0}")]
    Unresolved(String),
    /// Nothing can be sent there.
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    /// It does not answer.
    #[error("it does not answer in time")]
    Silent,
    /// Something came, and nothing of it answers our question.
    #[error("no answer to our question: {0}")]
    NotOurs(&'static str),
    /// The answer is not to be used.
    #[error("its answer is not valid: {0}")]
    Invalid(&'static str),
    /// The answer took too long, or the server is too far from its own reference.
    #[error("it is too far away: {what} {} ms", .distance.as_millis())]
    TooFar {
        /// What was measured.
        what: &'static str,
        /// How much it is.
        distance: Duration,
    },
    /// It asks not to be asked ("kiss-o'-death"), with this code.
    #[error("it asks to be left alone ({0})")]
    Kiss(String),
    /// It asked not to be asked, and it is not yet time to try again.
    #[error("it is left alone")]
    Resting,
}

/// The offset in microseconds that the server at the first of `addresses` that has a route reports
/// before the `deadline`.
pub(super) async fn ask(addresses: &[SocketAddr], deadline: Instant) -> Result<i64, NoAnswer> {
    let (socket, server) = open(addresses).await?;
    let wire = Wire { socket, server };
    let context = NtpContext::new(Stopwatch::start());
    let asked = sntpc::sntp_send_request(server, &wire, context).await.map_err(NoAnswer::from)?;
    let mut dropped = NoAnswer::Silent;
    for _ in 0..DATAGRAMS_MAX {
        let answer = sntpc::sntp_process_response(server, &wire, context, asked);
        match timeout_at(deadline, answer).await {
            Err(_) => break,
            Ok(Ok(answer)) => return offset_us(&answer),
            Ok(Err(error)) => match NoAnswer::from(error) {
                // Anybody can send what does not answer our question; the answer may still come.
                not_ours @ NoAnswer::NotOurs(_) => dropped = not_ours,
                reason => return Err(reason),
            },
        }
    }
    Err(dropped)
}

/// A connected socket: the kernel drops what others send, and tells when nobody is there.
async fn open(addresses: &[SocketAddr]) -> Result<(UdpSocket, SocketAddr), NoAnswer> {
    let mut problem = NoAnswer::Unresolved("it has no address".to_owned());
    for server in addresses.iter().take(ADDRESSES_MAX) {
        let any: SocketAddr = match server {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let connected = async {
            let socket = UdpSocket::bind(any).await?;
            socket.connect(server).await.map(|()| socket)
        };
        match connected.await {
            Ok(socket) => return Ok((socket, *server)),
            Err(error) => problem = NoAnswer::Unreachable(error.to_string()),
        }
    }
    Err(problem)
}

fn offset_us(answer: &NtpResult) -> Result<i64, NoAnswer> {
    let root = root_distance(answer.root_delay, answer.root_dispersion);
    let way = Duration::from_micros(answer.roundtrip);
    for (what, distance) in [("root distance", root), ("round trip", way)] {
        if distance > DISTANCE_MAX {
            return Err(NoAnswer::TooFar { what, distance });
        }
    }
    Ok(answer.offset)
}

/// How far the server's clock may be off. Both are in units of 1/65,536 s.
fn root_distance(delay: u32, dispersion: u32) -> Duration {
    let units = u64::from(delay) / 2 + u64::from(dispersion);
    Duration::from_micros((units * 1_000_000) >> 16)
}

impl From<Error> for NoAnswer {
    fn from(error: Error) -> Self {
        match error {
            Error::IncorrectOriginTimestamp => Self::NotOurs("wrong origin timestamp"),
            Error::IncorrectPayload => Self::NotOurs("packet too short"),
            Error::ResponseAddressMismatch => Self::NotOurs("wrong address"),
            Error::IncorrectMode => Self::Invalid("wrong mode"),
            Error::IncorrectResponseVersion => Self::Invalid("wrong version"),
            Error::UnsynchronizedClock => Self::Invalid("its clock is not synchronised"),
            Error::IncorrectStratumHeaders => Self::Invalid("stratum above 15"),
            Error::InvalidTimestamp => Self::Invalid("no transmit timestamp"),
            Error::BackwardReferenceTimestamp => Self::Invalid("its reference is in its future"),
            Error::ExcessiveRootDistance => Self::Invalid("its root distance has no limit"),
            // Four bytes of somebody else, on their way into a log.
            Error::KissOfDeath(code) => {
                Self::Kiss(code.as_str().chars().filter(char::is_ascii_graphic).collect())
            }
            Error::Network | Error::AddressResolve => Self::Unreachable("nobody is there".into()),
            _ => Self::Invalid("reason unknown"),
        }
    }
}

struct Wire {
    socket: UdpSocket,
    server: SocketAddr,
}

impl NtpUdpSocket for Wire {
    async fn send_to(&self, bytes: &[u8], _server: SocketAddr) -> sntpc::Result<usize> {
        self.socket.send(bytes).await.map_err(|_| Error::Network)
    }

    async fn recv_from(&self, bytes: &mut [u8]) -> sntpc::Result<(usize, SocketAddr)> {
        let size = self.socket.recv(bytes).await.map_err(|_| Error::Network)?;
        Ok((size, self.server))
    }
}

/// The wall clock as it was at the start, counted on by the monotonic clock: a wall clock that is
/// set while the answer is on its way must not make half of the step an offset.
#[derive(Clone, Copy)]
struct Stopwatch {
    wall: Duration,
    started: Instant,
    now: Duration,
}

impl Stopwatch {
    fn start() -> Self {
        let wall = WallTime::now();
        // Milliseconds are too coarse; what is left of the running one is exact.
        let next_ms = wall.unix_ms() + 1;
        let wall = Duration::from_millis(next_ms) - wall.until(next_ms);
        Self { wall, started: Instant::now(), now: wall }
    }
}

impl NtpTimestampGenerator for Stopwatch {
    fn init(&mut self) {
        self.now = self.wall + self.started.elapsed();
    }

    fn timestamp_sec(&self) -> u64 {
        self.now.as_secs()
    }

    fn timestamp_subsec_micros(&self) -> u32 {
        self.now.subsec_micros()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_distance_is_half_the_delay_and_the_dispersion() {
        let second = 1 << 16;
        assert_eq!(root_distance(second, 0), Duration::from_millis(500));
        assert_eq!(root_distance(0, second), Duration::from_secs(1));
        assert_eq!(root_distance(second / 2, second / 4), Duration::from_millis(500));
        assert!(root_distance(u32::MAX, u32::MAX) > Duration::from_secs(98_000));
    }
}
