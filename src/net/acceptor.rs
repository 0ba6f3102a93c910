//! The TCP door of a shard: accepts connections and starts a task for each.

use core::time::Duration;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;
use tracing::warn;

use crate::admission::Admission;
use crate::limits::{ACCEPT_BATCH_MAX, ACCEPT_PAUSE_MAX, ACCEPT_PAUSE_MIN};
use crate::net::connection::Connection;
use crate::shard::Shard;

/// How long a silent connection rests before the kernel asks whether the peer is still there.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);

/// Accepts until the server stops.
pub(crate) struct Acceptor {
    pub(crate) listener: TcpListener,
    pub(crate) admission: Arc<Admission>,
    pub(crate) tasks: TaskTracker,
    pub(crate) shard: Rc<Shard>,
}

impl Acceptor {
    pub(crate) async fn run(self) {
        let mut pause = ACCEPT_PAUSE_MIN;
        let mut accepted = 0;
        loop {
            let result = tokio::select! {
                biased;
                () = self.shard.stopping.cancelled() => return,
                result = self.listener.accept() => result,
            };
            match result {
                Ok((stream, peer)) => {
                    pause = ACCEPT_PAUSE_MIN;
                    match self.admission.admit(peer.ip()) {
                        Ok(permit) if prepare(&stream).is_ok() => {
                            self.shard.counters.connections_accepted.add(1);
                            let shard = Rc::clone(&self.shard);
                            let connection = Connection::new(stream, shard, permit);
                            self.tasks.spawn_local(connection.serve());
                        }
                        // Broken before it began.
                        Ok(_) => {}
                        Err(reason) => self.shard.reject(reason),
                    }
                }
                // The one connection failed, not the listener.
                Err(error) if is_of_connection(&error) => {}
                Err(error) => {
                    // Out of file descriptors or memory: those that are open go on, and one of them
                    // will end.
                    warn!(%error, pause_ms = pause.as_millis(), "cannot accept connections");
                    tokio::select! {
                        () = self.shard.stopping.cancelled() => return,
                        () = tokio::time::sleep(pause) => {}
                    }
                    pause = (pause * 2).min(ACCEPT_PAUSE_MAX);
                }
            }
            accepted += 1;
            if accepted % ACCEPT_BATCH_MAX == 0 {
                tokio::task::yield_now().await;
            }
        }
    }
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    SockRef::from(stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE_IDLE))
}

fn is_of_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}
