//! Takes some IDs of a server, or of each of many in turn, whatever becomes of them.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use coreflake_protocol::{ErrorCode, Run};

use crate::common::frames::{generate, id_count};
use crate::common::{Peer, pause, until};
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

/// Takes so many IDs of one server. Where the machine had something else to do, a short window may
/// be over just now: then it is asked again.
#[track_caller]
pub(crate) fn take(server: SocketAddr, count: u32) -> Vec<Run> {
    let mut peer = Peer::connect(server);
    until("IDs", || {
        let reply = peer.ask(&generate(1, count));
        if let Some(error) = reply.error() {
            assert_eq!(error.known_code(), Some(ErrorCode::WindowExhausted), "{error:?}");
            return None;
        }
        let runs = reply.runs();
        assert_eq!(id_count(&runs), count);
        Some(runs)
    })
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
