//! Accepting connections, on the TCP door of a shard and on the doors of the gateway.

use core::time::Duration;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use crate::admission::{Admission, Permit};
use crate::counters::LaneCounters;
use crate::limits::{ACCEPT_BATCH_MAX, ACCEPT_PAUSE_MAX, ACCEPT_PAUSE_MIN};
use crate::net::connection::Connection;
use crate::shard::Shard;

/// How long a silent connection rests before the kernel asks whether the peer is still there.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);

/// The TCP door of a shard.
pub(crate) struct Acceptor {
    pub(crate) listener: TcpListener,
    pub(crate) admission: Arc<Admission>,
    pub(crate) tasks: TaskTracker,
    pub(crate) shard: Rc<Shard>,
}

impl Acceptor {
    /// Accepts until the server stops.
    pub(crate) async fn run(self) {
        let Self { listener, admission, tasks, shard } = self;
        let begin = |stream, permit| {
            let connection = Connection::new(stream, Rc::clone(&shard), permit);
            tasks.spawn_local(connection.serve());
        };
        accept(&listener, &admission, &shard.counters, &shard.stopping, begin).await;
    }
}

/// Accepts connections until `stopping` is cancelled, and hands those that are admitted to `begin`.
pub(crate) async fn accept(
    listener: &TcpListener,
    admission: &Arc<Admission>,
    counters: &LaneCounters,
    stopping: &CancellationToken,
    begin: impl Fn(TcpStream, Permit),
) {
    let mut pause = ACCEPT_PAUSE_MIN;
    let mut accepted = 0;
    loop {
        let result = tokio::select! {
            biased;
            () = stopping.cancelled() => return,
            result = listener.accept() => result,
        };
        match result {
            Ok((stream, peer)) => {
                pause = ACCEPT_PAUSE_MIN;
                match admission.admit(peer.ip()) {
                    Ok(permit) if prepare(&stream).is_ok() => {
                        counters.connections_accepted.add(1);
                        begin(stream, permit);
                    }
                    // Broken before it began.
                    Ok(_) => {}
                    Err(reason) => counters.reject(reason),
                }
            }
            // The one connection failed, not the listener.
            Err(error) if is_of_connection(&error) => {}
            Err(error) => {
                // Out of file descriptors or memory: those that are open go on, and one of them
                // will end.
                warn!(%error, pause_ms = pause.as_millis(), "cannot accept connections");
                tokio::select! {
                    () = stopping.cancelled() => return,
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
