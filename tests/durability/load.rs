//! Clients that take IDs as fast as they can, whatever happens to the server, and keep a record of
//! all they were given.

use core::ops::RangeInclusive;
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use coreflake_protocol::frame::{self, RESPONSE_SIZE_MAX, Split};
use coreflake_protocol::{ErrorCode, ErrorReply, Frame, Generated, Kind, Response};
use fastrand::Rng;

use crate::common::frames::{generate_of, padded};
use crate::common::{PATIENCE, Server, pause};
use crate::ledger::Taken;

const CONNECTIONS: usize = 4;

/// Requests under way on one connection.
const PIPELINE: usize = 8;

/// How long a socket waits before its client looks whether it shall end.
const PATIENCE_OF_SOCKET: Duration = Duration::from_millis(50);

/// The seed of a test: as given, or any. It is printed, so that a failure can be repeated.
pub(crate) fn seed(test: &str) -> u64 {
    let given = std::env::var("COREFLAKE_SEED").ok();
    let seed = given.map_or_else(|| fastrand::u64(..), |seed| seed.parse().unwrap());
    println!("{test}: COREFLAKE_SEED={seed}");
    seed
}

/// Clients of one server.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    received: Arc<AtomicU64>,
    clients: Vec<JoinHandle<Taken>>,
}

impl Load {
    /// Four connections and one UDP socket.
    pub(crate) fn start(server: &Server, random: &mut Rng) -> Self {
        Self::of(Kind::Snowflake, server, random)
    }

    /// The same of any kind.
    pub(crate) fn of(kind: Kind, server: &Server, random: &mut Rng) -> Self {
        Self::on(kind, server.tcp, server.udp(), random)
    }

    /// The same of a server at these addresses.
    pub(crate) fn on(kind: Kind, tcp: SocketAddr, udp: SocketAddr, random: &mut Rng) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let received = Arc::new(AtomicU64::new(0));
        let clients = (0..=CONNECTIONS).map(|number| {
            let random = random.fork();
            let (stop, received) = (Arc::clone(&stop), Arc::clone(&received));
            thread::spawn(move || {
                let client = Client { kind, stop, received, random, taken: Taken::default() };
                if number == CONNECTIONS { client.over_udp(udp) } else { client.over_tcp(tcp) }
            })
        });
        Self { clients: clients.collect(), stop, received }
    }

    /// How many IDs all clients have received so far.
    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Ends the clients: each takes the replies that are still on their way.
    pub(crate) fn end(self) -> Taken {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Taken::default();
        for client in self.clients {
            all.merge(client.join().expect("a client saw only what is allowed"));
        }
        all
    }
}

struct Client {
    kind: Kind,
    stop: Arc<AtomicBool>,
    received: Arc<AtomicU64>,
    random: Rng,
    taken: Taken,
}

impl Client {
    fn over_tcp(mut self, server: SocketAddr) -> Taken {
        // A server may be dead before anybody gets to it.
        let Ok(mut stream) = TcpStream::connect_timeout(&server, PATIENCE) else {
            return self.taken;
        };
        let _ = stream.set_nodelay(true);
        stream.set_read_timeout(Some(PATIENCE_OF_SOCKET)).unwrap();
        let (mut received, mut buffer) = (Vec::new(), vec![0; 64 * 1_024]);
        let (mut asked, mut last, mut next_id) = (VecDeque::new(), None, 0_u64);
        let (mut ending, mut progress) = (false, Instant::now());
        loop {
            ending |= self.stop.load(Ordering::Relaxed);
            if ending && asked.is_empty() {
                return self.taken;
            }
            let mut requests = Vec::new();
            while !ending && asked.len() < PIPELINE {
                let count = self.random.u32(100..=1_000);
                requests.extend(generate_of(self.kind, next_id, count));
                asked.push_back((next_id, count));
                self.taken.attempted += u64::from(count);
                next_id += 1;
            }
            // Whoever cannot write any more may still have something to read.
            ending |= stream.write_all(&requests).is_err();
            match stream.read(&mut buffer) {
                Ok(0) => return self.taken,
                Ok(size) => received.extend_from_slice(&buffer[..size]),
                Err(error) if is_timeout(error.kind()) => {
                    assert!(progress.elapsed() < PATIENCE, "no reply for {PATIENCE:?}");
                    continue;
                }
                Err(_) => return self.taken,
            }
            progress = Instant::now();
            let (mut at, mut refused) = (0, None);
            while let Split::Complete { frame, consumed } =
                frame::split(&received[at..], RESPONSE_SIZE_MAX).expect("a reply")
            {
                at += consumed;
                let (request_id, count) = asked.pop_front().expect("a reply to something");
                assert_eq!(frame.header.request_id, request_id, "replies in their order");
                refused = self.take(&frame, count..=count, &mut last);
            }
            received.drain(..at);
            match refused {
                None => {}
                Some(ErrorCode::Draining) => ending = true,
                Some(_) => pause(Duration::from_millis(1)),
            }
        }
    }

    /// Takes what a reply brings. Order is promised per connection: each ID is above `last`.
    fn take(
        &mut self,
        frame: &Frame<'_>,
        count: RangeInclusive<u32>,
        last: &mut Option<u128>,
    ) -> Option<ErrorCode> {
        match Response::decode(frame).expect("a reply") {
            Response::Generate(ids) => {
                let id_count = self.take_ids(&ids, last);
                let asked = u64::from(*count.start())..=u64::from(*count.end());
                assert!(asked.contains(&id_count), "{id_count} IDs, not {asked:?}");
                self.received.fetch_add(id_count, Ordering::Relaxed);
                None
            }
            Response::Error(error) => Some(self.refuse(&error)),
            other => panic!("neither IDs nor a refusal: {other:?}"),
        }
    }

    fn take_ids(&mut self, ids: &Generated<'_>, last: &mut Option<u128>) -> u64 {
        let mut rises = |first: u128, end: u128| {
            let before = last.replace(end);
            assert!(before < Some(first), "{first} behind {before:?}");
        };
        if self.kind.is_wide() {
            let ids = ids.wide(self.kind).expect("IDs of the kind");
            for id in ids.iter() {
                rises(id.rank(), id.rank());
                self.taken.wide.push(id.place());
            }
            return ids.id_count();
        }
        let runs = ids.runs().expect("runs");
        for run in runs.iter() {
            rises(run.first().get().into(), run.last().get().into());
            self.taken.push(run);
        }
        runs.id_count()
    }

    /// A refusal says that the same request may succeed later; nothing else is allowed.
    fn refuse(&mut self, error: &ErrorReply<'_>) -> ErrorCode {
        let code = error.known_code().expect("a known code");
        assert!(code.is_retryable(), "{error:?}");
        *self.taken.refusals.entry(code.name()).or_default() += 1;
        code
    }

    fn over_udp(mut self, server: SocketAddr) -> Taken {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(server).unwrap();
        socket.set_read_timeout(Some(PATIENCE_OF_SOCKET)).unwrap();
        let mut buffer = vec![0; 2_048];
        for nonce in 0.. {
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            let count = self.random.u32(100..=1_000);
            self.taken.attempted += u64::from(count);
            if socket.send(&padded(generate_of(self.kind, nonce, count), 1_200)).is_err() {
                // The port is closed: the server is gone, or not there yet.
                pause(Duration::from_millis(1));
                continue;
            }
            // A reply that comes after its time is to an older nonce, and not taken.
            while let Ok(size) = socket.recv(&mut buffer) {
                let split = frame::split(&buffer[..size], RESPONSE_SIZE_MAX).expect("a reply");
                let Split::Complete { frame, .. } = split else { panic!("a whole reply") };
                if frame.header.request_id == nonce {
                    // A datagram brings what there is in the current tick.
                    if self.take(&frame, 1..=count, &mut None).is_some() {
                        pause(Duration::from_millis(1));
                    }
                    break;
                }
            }
        }
        self.taken
    }
}

fn is_timeout(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}
