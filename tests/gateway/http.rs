//! HTTP/1.1 as raw bytes, right and wrong, and its replies.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;
use socket2::Socket;

use crate::common::{PATIENCE, Server};

/// One connection.
pub(crate) struct Http {
    stream: TcpStream,
    received: Vec<u8>,
}

/// One reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// A request with nothing but what it must have, and `headers`, each with its line end.
pub(crate) fn request(method: &str, target: &str, headers: &str) -> Vec<u8> {
    format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n").into_bytes()
}

/// A POST of JSON.
pub(crate) fn post(target: &str, body: &[u8]) -> Vec<u8> {
    let size = body.len();
    let headers = format!("Content-Type: application/json\r\nContent-Length: {size}\r\n");
    [&request("POST", target, &headers)[..], body].concat()
}

/// Asks on a connection of its own.
#[track_caller]
pub(crate) fn get(server: &Server, target: &str) -> Answer {
    ask(server, &request("GET", target, ""))
}

/// Asks on a connection of its own.
#[track_caller]
pub(crate) fn ask(server: &Server, request: &[u8]) -> Answer {
    Http::connect(server.http()).ask(request)
}

/// Checks that a server answers.
#[track_caller]
pub(crate) fn assert_serves(server: &Server) {
    let answer = get(server, "/api/v1/id");
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.json()["id"].as_u64().unwrap() > 0, "{answer:?}");
}

/// A server that has to survive `row`: behind it a good request is answered, and it ends well.
#[track_caller]
pub(crate) fn survives(row: impl FnOnce(&Server)) {
    let server = Server::start(&[]);
    row(&server);
    assert_serves(&server);
    server.stop();
}

/// Sends `bytes`, and more and more `flood` behind them, until the server has enough.
#[track_caller]
pub(crate) fn flood(server: &Server, bytes: &[u8], flood: &[u8], times: usize) -> Http {
    let mut http = Http::connect(server.http());
    http.send_some(bytes);
    for _ in 0..times {
        if !http.send_some(flood) {
            break;
        }
    }
    http
}

impl Http {
    #[track_caller]
    pub(crate) fn connect(server: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&server, PATIENCE).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream, received: Vec::new() }
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    #[track_caller]
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Sends what the server takes. Whether it takes all of it.
    pub(crate) fn send_some(&mut self, bytes: &[u8]) -> bool {
        match self.stream.write_all(bytes) {
            Ok(()) => true,
            Err(error) if is_end(error.kind()) => false,
            Err(error) => panic!("the server reads nothing and does not close: {error}"),
        }
    }

    /// Says that nothing more will be sent.
    pub(crate) fn finish(&mut self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Closes with a reset instead of a farewell.
    pub(crate) fn reset(self) {
        Socket::from(self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }

    #[track_caller]
    pub(crate) fn ask(&mut self, request: &[u8]) -> Answer {
        self.send(request);
        self.answer()
    }

    /// The next reply to anything but HEAD.
    #[track_caller]
    pub(crate) fn answer(&mut self) -> Answer {
        self.try_answer(true).expect("a reply, not the end of the connection")
    }

    /// The next reply to HEAD.
    #[track_caller]
    pub(crate) fn answer_to_head(&mut self) -> Answer {
        self.try_answer(false).expect("a reply, not the end of the connection")
    }

    /// The next reply; `None` when the server has closed the connection.
    #[track_caller]
    pub(crate) fn try_answer(&mut self, has_body: bool) -> Option<Answer> {
        loop {
            if let Some((answer, size)) = Answer::read(&self.received, has_body) {
                self.received.drain(..size);
                return Some(answer);
            }
            if !self.read_more() {
                assert!(self.received.is_empty(), "cut off: {:?}", self.text());
                return None;
            }
        }
    }

    /// Checks that the server closes the connection without another byte.
    #[track_caller]
    pub(crate) fn expect_closed(&mut self) {
        assert!(!self.read_more() && self.received.is_empty(), "not the end: {:?}", self.text());
    }

    /// Checks that the server closes without a byte, not before and not after these times.
    #[track_caller]
    pub(crate) fn expect_closed_between(&mut self, start: Instant, from: f64, to: f64) {
        self.expect_closed();
        let seconds = start.elapsed().as_secs_f64();
        assert!((from..to).contains(&seconds), "closed after {seconds} s, not {from} to {to} s");
    }

    /// Checks that the server says that `status` is what comes of it, and closes.
    #[track_caller]
    pub(crate) fn expect_last(&mut self, status: u16) -> Answer {
        let answer = self.answer();
        assert_eq!(answer.status, status, "{answer:?}");
        self.expect_closed();
        answer
    }

    /// Whether more came before the end.
    fn read_more(&mut self) -> bool {
        let mut buffer = [0; 64 * 1_024];
        match self.stream.read(&mut buffer) {
            Ok(size) => {
                self.received.extend_from_slice(&buffer[..size]);
                size > 0
            }
            Err(error) if is_end(error.kind()) => false,
            Err(error) => panic!("neither a reply nor the end: {error}: {:?}", self.text()),
        }
    }

    /// Whether the server sent anything before the end, whatever it was.
    pub(crate) fn read_some(&mut self) -> bool {
        self.read_more()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.received).into_owned()
    }
}

impl Answer {
    /// Takes a reply apart that begins `bytes`, if it is whole; and how long it is.
    fn read(bytes: &[u8], has_body: bool) -> Option<(Self, usize)> {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        let mut lines = head.split("\r\n");
        let first = lines.next().unwrap();
        assert!(first.starts_with("HTTP/1."), "{first}");
        let status = first.split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<_> = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let mut answer = Self { status, headers, body: Vec::new() };
        let start = end + 4;
        let size = match answer.header("content-length") {
            Some(size) if has_body => size.parse().unwrap(),
            _ => 0,
        };
        answer.body = bytes.get(start..start + size)?.to_vec();
        Some((answer, start + size))
    }

    /// A header that comes once, or not at all.
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let values: Vec<_> = self.headers.iter().filter(|(known, _)| known == name).collect();
        assert!(values.len() <= 1, "{name} comes twice: {self:?}");
        values.first().map(|(_, value)| value.as_str())
    }

    pub(crate) fn headers(&self) -> impl Iterator<Item = &str> {
        self.headers.iter().map(|(name, _)| name.as_str())
    }

    /// The body, which has to be JSON, as it says, that nobody keeps.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/json"), "{self:?}");
        assert_eq!(self.header("cache-control"), Some("no-store"), "{self:?}");
        assert_eq!(self.header("content-encoding"), None, "{self:?}");
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Checks that this is an error of this kind, in full; gives its text.
    #[track_caller]
    pub(crate) fn assert_error(&self, status: u16, code: &str) -> String {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        let body = self.json();
        let fields: Vec<_> = body.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(fields, ["code", "message", "retry_after_ms"], "{body}");
        assert_eq!(body["code"], code, "{body}");
        let text = body["message"].as_str().unwrap();
        assert!(!text.is_empty() && text.len() < 300, "{text}");
        let header: Option<u64> = self.header("retry-after").map(|text| text.parse().unwrap());
        let retry_after_ms = body["retry_after_ms"].as_u64().unwrap();
        let seconds = (retry_after_ms > 0).then(|| retry_after_ms.div_ceil(1_000));
        assert_eq!(header, seconds, "the header says what the body says: {self:?}");
        text.to_owned()
    }
}

fn is_end(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted
    )
}
