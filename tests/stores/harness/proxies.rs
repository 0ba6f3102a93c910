//! What the proxy does to connections, seen from both ends of it.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use socket2::SockRef;

use crate::common::{PATIENCE, free_port, until};
use crate::etcd::{Etcd, etcdctl};
use crate::proxy::{Mode, Proxy};

const SHORT: Duration = Duration::from_millis(200);

/// So many bytes for a word: the proxy takes them for an answer of a store.
const WORD_SIZE: usize = 64;

/// Says everything once more, and counts.
struct Echo {
    listener: Arc<TcpListener>,
    heard: Arc<AtomicU64>,
    acceptor: Option<JoinHandle<()>>,
}

impl Echo {
    fn start() -> Self {
        let listener = Arc::new(TcpListener::bind("127.0.0.1:0").unwrap());
        let heard = Arc::<AtomicU64>::default();
        let acceptor = {
            let (listener, heard) = (Arc::clone(&listener), Arc::clone(&heard));
            thread::spawn(move || {
                for stream in listener.incoming().map_while(Result::ok) {
                    let heard = Arc::clone(&heard);
                    thread::spawn(move || echo(stream, &heard));
                }
            })
        };
        Self { listener, heard, acceptor: Some(acceptor) }
    }

    fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// How many words it has heard.
    fn heard(&self) -> u64 {
        self.heard.load(Ordering::SeqCst) / WORD_SIZE as u64
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = SockRef::from(&*self.listener).shutdown(Shutdown::Both);
        let _ = self.acceptor.take().map(JoinHandle::join);
    }
}

fn echo(mut stream: TcpStream, heard: &AtomicU64) {
    let mut bytes = [0; WORD_SIZE];
    while let Ok(size @ 1..) = stream.read(&mut bytes) {
        heard.fetch_add(size as u64, Ordering::SeqCst);
        if stream.write_all(&bytes[..size]).is_err() {
            return;
        }
    }
}

/// What a client gets for what it sends.
#[derive(Debug, PartialEq, Eq)]
enum Got {
    Echo,
    Nothing,
    End,
}

fn connect(proxy: &Proxy) -> TcpStream {
    TcpStream::connect_timeout(&proxy.address(), PATIENCE).unwrap()
}

/// How many words have come to the proxy.
fn words(proxy: &Proxy) -> u64 {
    proxy.bytes_from_client() / WORD_SIZE as u64
}

fn ask(stream: &TcpStream, word: &[u8; 4], timeout: Duration) -> Got {
    let (mut stream, word) = (stream, word.repeat(WORD_SIZE / word.len()));
    // Into a connection that was cut, it fails or does not.
    let _ = stream.write_all(&word);
    stream.set_read_timeout(Some(timeout)).unwrap();
    let mut bytes = vec![0; WORD_SIZE];
    match stream.read_exact(&mut bytes) {
        Ok(()) => {
            assert_eq!(bytes, word);
            Got::Echo
        }
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            Got::Nothing
        }
        Err(_) => Got::End,
    }
}

#[test]
fn what_passes_passes_and_what_is_delayed_comes_later() {
    let echo = Echo::start();
    let proxy = Proxy::before(echo.address());
    let client = connect(&proxy);
    assert_eq!(ask(&client, b"once", PATIENCE), Got::Echo);
    proxy.set(Mode::Delay(SHORT));
    let start = Instant::now();
    assert_eq!(ask(&client, b"late", PATIENCE), Got::Echo);
    assert!(start.elapsed() >= SHORT);
    assert_eq!((proxy.connections(), words(&proxy)), (1, 2));
    // The end passes, too.
    proxy.set(Mode::Pass);
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!((&client).read(&mut [0]).unwrap(), 0);
}

#[test]
fn a_black_hole_says_nothing_and_a_refusal_is_at_once() {
    let echo = Echo::start();
    let proxy = Proxy::before(echo.address());
    let (open, idle) = (connect(&proxy), connect(&proxy));
    assert_eq!(ask(&open, b"once", PATIENCE), Got::Echo);
    assert_eq!(ask(&idle, b"once", PATIENCE), Got::Echo);
    proxy.set(Mode::BlackHole);
    let new = connect(&proxy);
    assert_eq!(ask(&open, b"lost", SHORT), Got::Nothing);
    assert_eq!(ask(&new, b"lost", SHORT), Got::Nothing);
    // What comes to the proxy later than that would pass.
    until("both are there", || (words(&proxy) == 4).then_some(()));
    assert_eq!(echo.heard(), 2, "it is swallowed");
    proxy.set(Mode::Pass);
    assert_eq!(ask(&open, b"more", PATIENCE), Got::End, "it has lost something");
    assert_eq!(ask(&idle, b"more", PATIENCE), Got::Echo, "it has lost nothing");
    assert_eq!(ask(&connect(&proxy), b"more", PATIENCE), Got::Echo);

    proxy.set(Mode::Refuse);
    assert_eq!(ask(&idle, b"none", PATIENCE), Got::End);
    assert_eq!(ask(&connect(&proxy), b"none", PATIENCE), Got::End);
    assert_eq!(echo.heard(), 4);
    proxy.set(Mode::Pass);
    let last = connect(&proxy);
    assert_eq!(ask(&last, b"more", PATIENCE), Got::Echo);
    proxy.cut();
    assert_eq!(ask(&last, b"none", PATIENCE), Got::End);
}

#[test]
fn an_answer_is_lost_after_the_request_has_arrived() {
    let echo = Echo::start();
    let proxy = Proxy::before(echo.address());
    let (one, other) = (connect(&proxy), connect(&proxy));
    assert_eq!(ask(&one, b"once", PATIENCE), Got::Echo);
    proxy.drop_answer_to(b"two");
    assert_eq!(ask(&one, b"once", PATIENCE), Got::Echo, "another request");
    assert!(proxy.is_armed());
    assert_eq!(ask(&one, b"two!", PATIENCE), Got::End);
    assert!(!proxy.is_armed());
    assert_eq!(echo.heard(), 3, "it has arrived");
    assert_eq!(ask(&other, b"two!", PATIENCE), Got::Echo, "only once");
    proxy.drop_next_answer();
    assert_eq!(ask(&other, b"more", PATIENCE), Got::End);
    assert_eq!(ask(&connect(&proxy), b"more", PATIENCE), Got::Echo);

    proxy.set(Mode::DropAnswers);
    let heard = echo.heard();
    for _ in 0..2 {
        assert_eq!(ask(&connect(&proxy), b"more", PATIENCE), Got::End);
    }
    until("the requests arrive", || (echo.heard() == heard + 2).then_some(()));
}

/// The case that it is for: before etcd has done what it was asked to, it acknowledges that it was
/// asked.
#[test]
fn what_nobody_acknowledged_is_done() {
    let etcd = Etcd::start("harness-unacknowledged");
    let proxy = Proxy::before(etcd.address());
    let through = format!("http://{}", proxy.address());
    for number in 0..5 {
        let key = format!("key{number}");
        proxy.drop_answer_to(key.as_bytes());
        // Where etcdctl is slow, it gives up before it has asked.
        until("a put without an answer", || {
            let put = etcdctl(&through, &["--command-timeout=2s", "put", &key, "1"]);
            assert!(!put.status.success(), "{put:?}");
            (!proxy.is_armed()).then_some(())
        });
        until("it is done", || etcd.ctl(&["get", &key]).contains(&key).then_some(()));
    }
}

#[test]
fn without_a_target_only_a_black_hole_lets_in() {
    let proxy = Proxy::before(SocketAddr::from(([127, 0, 0, 1], free_port())));
    assert_eq!(ask(&connect(&proxy), b"none", PATIENCE), Got::End);
    proxy.set(Mode::BlackHole);
    assert_eq!(ask(&connect(&proxy), b"none", SHORT), Got::Nothing);
}
