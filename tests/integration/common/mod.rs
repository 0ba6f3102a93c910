//! What the tests share: server processes, other commands, raw peers.

mod command;
pub(crate) mod frames;
mod peer;
mod port;
mod scratch;
mod server;

use std::sync::mpsc;
use std::time::{Duration, Instant};

pub(crate) use command::{Finished, coreflake, feed, feed_within, run, state_directory};
pub(crate) use frames::Reply;
pub(crate) use peer::{Datagrams, Peer};
pub(crate) use port::free_port;
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
