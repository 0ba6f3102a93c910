//! Connections that take IDs without pause until the value goes away.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::common::{Peer, pause};

/// The connections, one thread each.
pub(crate) struct Greed {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Greed {
    /// Each of them asks for `count` IDs as soon as the last ones are there, and after `rest`.
    pub(crate) fn start(server: SocketAddr, connections: u32, count: u32, rest: Duration) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let take = |_| {
            let (stop, mut peer) = (Arc::clone(&stop), Peer::connect(server));
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    peer.generate(count);
                    if !rest.is_zero() {
                        pause(rest);
                    }
                }
            })
        };
        Self { threads: (0..connections).map(take).collect(), stop }
    }
}

impl Drop for Greed {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let failed = self.threads.drain(..).map(JoinHandle::join).filter(Result::is_err).count();
        assert!(failed == 0 || thread::panicking(), "{failed} connections failed");
    }
}
