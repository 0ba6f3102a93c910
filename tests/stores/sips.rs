//! Takes some IDs of each of many servers, in turn, whatever becomes of them.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::common::frames::generate;
use crate::common::{Peer, pause};
use crate::ledger::Taken;

/// IDs of one request: enough to meet what anybody else would issue in the same milliseconds.
const COUNT: u32 = 500;

/// One client, with a connection to each server.
pub(crate) struct Sips {
    stop: Arc<AtomicBool>,
    client: JoinHandle<Taken>,
}

impl Sips {
    /// Each server has to be there now. One that goes is not looked for again.
    #[track_caller]
    pub(crate) fn start(servers: impl IntoIterator<Item = SocketAddr>) -> Self {
        let mut peers: Vec<_> = servers.into_iter().map(Peer::connect).collect();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let client = thread::spawn(move || {
            let mut taken = Taken::default();
            while !stopped.load(Ordering::Relaxed) {
                peers.retain_mut(|peer| sip(peer, &mut taken));
                pause(Duration::from_millis(10));
            }
            taken
        });
        Self { stop, client }
    }

    #[track_caller]
    pub(crate) fn end(self) -> Taken {
        self.stop.store(true, Ordering::Relaxed);
        self.client.join().unwrap()
    }
}

/// Takes IDs once; gives whether the server is still there.
fn sip(peer: &mut Peer, taken: &mut Taken) -> bool {
    taken.attempted += u64::from(COUNT);
    if peer.stream().write_all(&generate(1, COUNT)).is_err() {
        return false;
    }
    let Some(reply) = peer.try_reply() else { return false };
    match reply.error() {
        None => reply.runs().into_iter().for_each(|run| taken.push(run)),
        Some(error) => {
            let code = error.known_code().expect("a known code");
            assert!(code.is_retryable(), "{error:?}");
            *taken.refusals.entry(code.name()).or_default() += 1;
        }
    }
    true
}
