//! Peers that speak raw bytes.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use coreflake_protocol::{ErrorCode, Response, Run};
use socket2::{Domain, Socket, Type};

use super::frames::{self, Reply};
use super::{PATIENCE, pause};

/// One TCP connection.
pub(crate) struct Peer {
    stream: TcpStream,
    received: Vec<u8>,
    last_request_id: u64,
}

/// One UDP socket that sends to, and hears, one server.
pub(crate) struct Datagrams {
    socket: UdpSocket,
    last_nonce: u64,
}

impl Peer {
    #[track_caller]
    pub(crate) fn connect(server: SocketAddr) -> Self {
        Self::over(TcpStream::connect_timeout(&server, PATIENCE).unwrap())
    }

    /// Connects from this address.
    #[track_caller]
    pub(crate) fn connect_from(source: IpAddr, server: SocketAddr) -> Self {
        let socket = Socket::new(Domain::for_address(server), Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::new(source, 0).into()).unwrap();
        socket.connect_timeout(&server.into(), PATIENCE).unwrap();
        Self::over(socket.into())
    }

    /// A connection that never rests, until the server closes it.
    #[track_caller]
    pub(crate) fn restless(server: SocketAddr) -> JoinHandle<()> {
        let mut peer = Self::connect(server);
        peer.ping();
        thread::spawn(move || {
            loop {
                // A write into a closed connection fails; the read says so.
                let _ = peer.stream.write_all(&frames::ping(7));
                if peer.try_reply().is_none() {
                    return;
                }
                pause(Duration::from_millis(10));
            }
        })
    }

    /// A connection with a small buffer that reads nothing, and asks until the server stops
    /// reading, too: for whole ticks, and for replies that are longer than their requests.
    pub(crate) fn deaf(server: SocketAddr) -> TcpStream {
        let socket = Socket::new(Domain::for_address(server), Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(64 * 1_024).unwrap();
        socket.connect(&server.into()).unwrap();
        let stream = TcpStream::from(socket);
        stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
        let requests = [frames::generate(7, 4_096), frames::info(8).repeat(60)].concat().repeat(8);
        let (start, mut sent) = (Instant::now(), 0);
        loop {
            match (&stream).write(&requests[sent % requests.len()..]) {
                Ok(size) => sent += size,
                Err(error) => {
                    let full = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
                    assert!(full, "{error} after {sent} bytes");
                    return stream;
                }
            }
            assert!(start.elapsed() < PATIENCE, "the server reads on and on: {sent} bytes");
        }
    }

    pub(crate) fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream, received: Vec::new(), last_request_id: 1 << 32 }
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    #[track_caller]
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Says that nothing more will be sent.
    pub(crate) fn finish(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// The next reply; `None` when the server has closed the connection.
    #[track_caller]
    pub(crate) fn try_reply(&mut self) -> Option<Reply> {
        loop {
            if let Some(reply) = Reply::take(&mut self.received) {
                return Some(reply);
            }
            let mut buffer = [0; 64 * 1_024];
            match self.stream.read(&mut buffer) {
                Ok(0) => {
                    assert!(self.received.is_empty(), "cut off: {:?}", self.received);
                    return None;
                }
                Ok(size) => self.received.extend_from_slice(&buffer[..size]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("no reply: {error}"),
            }
        }
    }

    #[track_caller]
    pub(crate) fn reply(&mut self) -> Reply {
        self.try_reply().expect("a reply, not the end of the connection")
    }

    #[track_caller]
    pub(crate) fn ask(&mut self, request: &[u8]) -> Reply {
        self.send(request);
        self.reply()
    }

    /// Checks that the server answers here.
    #[track_caller]
    pub(crate) fn ping(&mut self) {
        let request_id = self.next_request_id();
        let reply = self.ask(&frames::ping(request_id));
        assert_eq!(reply.response(), Response::Ping);
        assert_eq!(reply.request_id(), request_id);
    }

    #[track_caller]
    pub(crate) fn generate(&mut self, count: u32) -> Vec<Run> {
        let request_id = self.next_request_id();
        let reply = self.ask(&frames::generate(request_id, count));
        assert_eq!(reply.request_id(), request_id);
        let runs = reply.runs();
        assert_eq!(frames::id_count(&runs), count);
        runs
    }

    #[track_caller]
    pub(crate) fn expect_error(&mut self, code: ErrorCode, request_id: u64) {
        self.reply().assert_error(code, request_id);
    }

    /// Checks that the server closes the connection without another byte.
    #[track_caller]
    pub(crate) fn expect_closed(&mut self) {
        if let Some(reply) = self.try_reply() {
            panic!("the end of the connection was expected, not {reply:?}");
        }
    }

    /// Checks that the server closes without a byte, not before and not after these times.
    #[track_caller]
    pub(crate) fn expect_closed_between(&mut self, start: Instant, from: f64, to: f64) {
        self.expect_closed();
        let seconds = start.elapsed().as_secs_f64();
        assert!((from..to).contains(&seconds), "closed after {seconds} s, not {from} to {to} s");
    }

    /// Closes with a reset instead of a farewell.
    pub(crate) fn reset(self) {
        let socket = Socket::from(self.stream);
        socket.set_linger(Some(Duration::ZERO)).unwrap();
    }

    const fn next_request_id(&mut self) -> u64 {
        self.last_request_id += 1;
        self.last_request_id
    }
}

impl Datagrams {
    pub(crate) fn connect(server: SocketAddr) -> Self {
        let source = if server.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
        Self::connect_from(source.parse().unwrap(), server).unwrap()
    }

    /// Sends from this address and port.
    pub(crate) fn connect_from(source: SocketAddr, server: SocketAddr) -> io::Result<Self> {
        let socket = UdpSocket::bind(source)?;
        socket.connect(server)?;
        Ok(Self { socket, last_nonce: 1 << 40 })
    }

    pub(crate) fn socket(&self) -> &UdpSocket {
        &self.socket
    }

    #[track_caller]
    pub(crate) fn send(&self, datagram: &[u8]) {
        assert_eq!(self.socket.send(datagram).unwrap(), datagram.len());
    }

    /// The next reply that comes within `timeout`.
    pub(crate) fn try_reply(&self, timeout: Duration) -> Option<Reply> {
        self.socket.set_read_timeout(Some(timeout)).unwrap();
        let mut buffer = [0; 64 * 1_024];
        let size = match self.socket.recv(&mut buffer) {
            Ok(size) => size,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return None;
            }
            Err(error) => panic!("no reply: {error}"),
        };
        Some(Reply { bytes: buffer[..size].to_vec() })
    }

    #[track_caller]
    pub(crate) fn reply(&self) -> Reply {
        self.try_reply(PATIENCE).expect("a reply in time")
    }

    #[track_caller]
    pub(crate) fn ask(&self, datagram: &[u8]) -> Reply {
        self.send(datagram);
        let reply = self.reply();
        assert!(reply.bytes.len() <= datagram.len(), "longer than its request: {reply:?}");
        reply
    }

    /// Everything that is answered up to here, except for requests that wait for sequence space:
    /// asks something and collects what comes before the answer.
    #[track_caller]
    pub(crate) fn settle(&mut self) -> Vec<Reply> {
        self.last_nonce += 1;
        self.send(&frames::ping(self.last_nonce));
        let mut replies = Vec::new();
        loop {
            let reply = self.reply();
            if reply.request_id() == self.last_nonce {
                assert_eq!(reply.response(), Response::Ping);
                return replies;
            }
            replies.push(reply);
        }
    }

    /// Checks that a datagram gets no answer.
    #[track_caller]
    pub(crate) fn expect_silence(&mut self, datagram: &[u8]) {
        self.send(datagram);
        let replies = self.settle();
        assert!(replies.is_empty(), "{datagram:?} was answered: {replies:?}");
    }
}
