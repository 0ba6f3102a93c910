//! The request path allocates nothing: a real server in this process, an allocator that counts, and
//! requests over real sockets.

#![allow(missing_docs, unsafe_code, clippy::unwrap_used)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use coreflake::args::parse_serve;
use coreflake::config::Config;
use coreflake::server::Server;
use coreflake_engine::sanity::RELEASED_MS;
use coreflake_protocol::{Count, Kind, Request};

/// Counts every allocation of every thread.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: hands everything on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const WARM_UP_ROUNDS: u32 = 2_000;
const ROUNDS: u32 = 20_000;

/// A server in this process, stopped when the value goes away.
struct Running {
    tcp: SocketAddr,
    udp: SocketAddr,
    state: PathBuf,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Running {
    fn start() -> Self {
        let name = format!("allocations-{:016x}", fastrand::u64(..));
        let state = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let any = "127.0.0.1:0";
        let args = ["--listen", any, "--http", any, "--grpc", any, "--shards", "2"];
        // One window for the whole run: the keeper allocates when it extends one, which is not the
        // request path.
        let window = ["--window-ms", "600000"];
        let args =
            parse_serve(&[&args[..], &window, &["--state-dir", state.to_str().unwrap()]].concat());
        let server = Server::bind(Config::new(&args, RELEASED_MS).unwrap()).unwrap();
        let (tcp, udp) = (server.tcp(), server.udp().unwrap());
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let (ready_sender, ready) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let stopped = async {
                let _ = stopped.await;
            };
            server.run(|_| ready_sender.send(()).unwrap(), stopped).unwrap();
        });
        ready.recv_timeout(Duration::from_secs(10)).unwrap();
        Self { tcp, udp, state, stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
        let _ = std::fs::remove_dir_all(&self.state);
    }
}

/// How many allocations `ROUNDS` rounds take, once everything is warm.
fn count(mut round: impl FnMut()) -> u64 {
    (0..WARM_UP_ROUNDS).for_each(|_| round());
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    (0..ROUNDS).for_each(|_| round());
    ALLOCATIONS.load(Ordering::Relaxed) - before
}

/// One test: the count is of the whole process, so nothing else may run beside it.
#[test]
fn the_warmed_request_path_allocates_nothing() {
    let server = Running::start();
    let timeout = Some(Duration::from_secs(10));

    let mut request = Vec::new();
    Request::Generate { kind: Kind::Snowflake, count: Count::ONE }.encode(7, &mut request);
    let pipelined = request.repeat(16);
    let mut reply = vec![0; 28 * 16];

    let mut stream = TcpStream::connect(server.tcp).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(timeout).unwrap();
    let over_tcp = count(|| {
        stream.write_all(&pipelined).unwrap();
        stream.read_exact(&mut reply).unwrap();
    });
    assert_eq!(over_tcp, 0, "allocations over TCP in {ROUNDS} rounds of 16 requests");
    assert_eq!(reply[5], 0x81, "the replies are IDs");

    // Batches that use up ticks: the same holds for those who wait.
    let mut batch = Vec::new();
    let whole_tick = Count::new(Count::MAX).unwrap();
    Request::Generate { kind: Kind::Snowflake, count: whole_tick }.encode(7, &mut batch);
    let mut waits = 0;
    let mut batch_round = || {
        stream.write_all(&batch).unwrap();
        let mut length = [0; 4];
        stream.read_exact(&mut length).unwrap();
        let size = u32::from_be_bytes(length) as usize;
        stream.read_exact(&mut reply[..size]).unwrap();
        waits += 1;
    };
    (0..200).for_each(|_| batch_round());
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    (0..1_000).for_each(|_| batch_round());
    let over_batches = ALLOCATIONS.load(Ordering::Relaxed) - before;
    assert_eq!(over_batches, 0, "allocations of 1,000 batches that wait for the next tick");
    assert_eq!(waits, 1_200);

    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(server.udp).unwrap();
    socket.set_read_timeout(timeout).unwrap();
    let over_udp = count(|| {
        socket.send(&request).unwrap();
        assert_eq!(socket.recv(&mut reply).unwrap(), 28);
    });
    assert_eq!(over_udp, 0, "allocations over UDP in {ROUNDS} requests");
}
