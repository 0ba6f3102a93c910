//! What the tests share: server processes, other commands, raw peers.

mod command;
pub(crate) mod frames;
mod peer;
mod scratch;
mod server;

use std::net::{TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

pub(crate) use command::{Finished, coreflake, feed, run, state_directory};
pub(crate) use frames::Reply;
pub(crate) use peer::{Datagrams, Peer};
pub(crate) use scratch::Scratch;
pub(crate) use server::Server;

/// How long anything may take that takes no time on an idle machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Lets time pass.
pub(crate) fn pause(duration: Duration) {
    let (_sender, receiver) = mpsc::channel::<()>();
    assert!(receiver.recv_timeout(duration).is_err());
}

/// Asks again and again, every 20 ms, until there is an answer.
pub(crate) fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if let Some(answer) = ask() {
            return answer;
        }
        pause(Duration::from_millis(20));
    }
    panic!("{what}: not within {PATIENCE:?}");
}

/// A port of 127.0.0.1 that is free for TCP and UDP and that the system gives to nobody by itself.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = u16::try_from(std::process::id() % 10_000).unwrap();
    (0..10_000)
        .map(|_| 20_000 + (first + NEXT.fetch_add(1, Ordering::Relaxed)) % 10_000)
        .find(|port| {
            let address = ("127.0.0.1", *port);
            TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok()
        })
        .expect("a free port")
}
