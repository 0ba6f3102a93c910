//! The background task of a UDP client: one socket, one table of what is on its way.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use coreflake_protocol::frame::DATAGRAM_SIZE_MAX;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use crate::backoff::Backoff;
use crate::builder::Config;
use crate::call::Call;
use crate::connect::{self, ConnectError};
use crate::datagram;
use crate::link::Link;
use crate::pending::{Due, Pending};

/// How many waiting calls are sent before replies are looked at again.
const BATCH_MAX: usize = 64;

/// What the socket and the table need beside each other.
struct Task {
    config: Arc<Config>,
    link: Arc<Link>,
    calls: mpsc::Receiver<Call>,
    batch: Vec<Call>,
    pending: Pending,
    datagram: Vec<u8>,
    /// Whether the address turned the last datagram away.
    unreachable: bool,
}

/// Why a socket is not used any more.
enum Ended {
    /// Nothing came in for as long as a call waits.
    Silent,
    /// Every client is gone.
    Unused,
}

/// Runs until every client is gone. Nothing is opened before the first call.
pub(crate) async fn run(config: Arc<Config>, link: Arc<Link>, calls: mpsc::Receiver<Call>) {
    let mut rng = fastrand::Rng::new();
    let pending = Pending::new(rng.fork(), config.retry_interval, config.attempts_max);
    let (batch, datagram) = (Vec::with_capacity(BATCH_MAX), Vec::with_capacity(DATAGRAM_SIZE_MAX));
    let mut task = Task { config, link, calls, batch, pending, datagram, unreachable: false };
    let mut backoff = Backoff::default();
    let mut turn = 0;
    loop {
        task.batch.retain(|call| !call.is_abandoned());
        if task.batch.is_empty() && task.pending.len() == 0 {
            let batch_max = BATCH_MAX.min(task.config.in_flight_max);
            if task.calls.recv_many(&mut task.batch, batch_max).await == 0 {
                return;
            }
        }
        match connect::udp(&task.config, turn).await {
            Ok((socket, address)) => {
                backoff.reset();
                // A socket proves nothing about an address that turned datagrams away.
                if !task.unreachable {
                    task.link.up();
                }
                match task.exchange(&socket, address).await {
                    Ended::Silent => turn = turn.wrapping_add(1),
                    Ended::Unused => return,
                }
            }
            Err(error) => {
                task.unreachable = false;
                task.link.down(Some(error));
                sleep(backoff.delay(&mut rng)).await;
                task.pending.forget(Instant::now());
            }
        }
    }
}

impl Task {
    /// Sends and receives on `socket` until it is silent for too long.
    async fn exchange(&mut self, socket: &UdpSocket, address: SocketAddr) -> Ended {
        // One byte more than any reply has: what fills it is none.
        let mut input = [0; DATAGRAM_SIZE_MAX + 1];
        let mut quiet_since = Instant::now();
        let mut timer = pin!(sleep_until(quiet_since));
        loop {
            self.send_batch(socket, address).await;
            let due_at = self.pending.due_at();
            // Set anew only when something is due earlier: a reply leaves it, and it may go off for
            // nothing.
            if let Some(due_at) = due_at
                && (due_at < timer.deadline() || timer.is_elapsed())
            {
                timer.as_mut().reset(due_at);
            }
            let room = BATCH_MAX.min(self.config.in_flight_max - self.pending.len());
            // In random order: datagrams that nobody asked for must not keep calls from being sent.
            tokio::select! {
                received = socket.recv(&mut input) => match received {
                    Ok(size) => if self.accept(&input[..size]) {
                        quiet_since = Instant::now();
                    },
                    Err(error) => self.note_unreachable(address, error),
                },
                count = self.calls.recv_many(&mut self.batch, room), if room > 0 => if count == 0 {
                    return Ended::Unused;
                },
                () = timer.as_mut(), if due_at.is_some() => {
                    let now = Instant::now();
                    let mut silent = false;
                    while let Some(due) = self.pending.due(now) {
                        match due {
                            Due::Send { request, nonce } => {
                                datagram::encode(&request, nonce, &mut self.datagram);
                                self.send(socket, address).await;
                            }
                            Due::Expired { first_sent_at } => {
                                silent |= first_sent_at >= quiet_since;
                            }
                        }
                    }
                    // The name may mean another server by now, and another port another path.
                    if silent {
                        return Ended::Silent;
                    }
                },
            }
        }
    }

    async fn send_batch(&mut self, socket: &UdpSocket, address: SocketAddr) {
        let mut batch = std::mem::take(&mut self.batch);
        for call in batch.drain(..).filter(|call| !call.is_abandoned()) {
            let request = call.request;
            let nonce = self.pending.insert(call, Instant::now());
            datagram::encode(&request, nonce, &mut self.datagram);
            self.send(socket, address).await;
        }
        self.batch = batch;
    }

    /// Sends the datagram in hand. What cannot be sent counts as lost, and its turn comes again.
    async fn send(&mut self, socket: &UdpSocket, address: SocketAddr) {
        let Err(error) = socket.send(&self.datagram).await else {
            return;
        };
        // This is about an earlier datagram, told at the first chance. The one in hand stayed here.
        let earlier = error.kind() == io::ErrorKind::ConnectionRefused;
        self.note_unreachable(address, error);
        if earlier && let Err(error) = socket.send(&self.datagram).await {
            self.note_unreachable(address, error);
        }
    }

    fn accept(&mut self, bytes: &[u8]) -> bool {
        let accepted = datagram::decode(bytes).is_some_and(|frame| self.pending.accept(&frame));
        if accepted && self.unreachable {
            self.unreachable = false;
            self.link.up();
        }
        accepted
    }

    /// Remembers why, for calls whose deadline passes. They are sent again meanwhile: a server that
    /// restarts turns datagrams away for a moment.
    fn note_unreachable(&mut self, address: SocketAddr, source: io::Error) {
        self.unreachable = true;
        self.link.down(Some(ConnectError::Io { address, source }));
    }
}
