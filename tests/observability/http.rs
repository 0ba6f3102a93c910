//! Asking over HTTP.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::common::PATIENCE;

/// What is answered to a GET.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// Asks once, on a connection of its own. HTTP/1.0, so that the end of the connection is the end of
/// the body.
pub(crate) fn try_get(server: SocketAddr, path: &str, accept: &str) -> io::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&server, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {server}\r\nAccept: {accept}\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (head, body) = text.split_once("\r\n\r\n").ok_or(io::ErrorKind::InvalidData)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or(io::ErrorKind::InvalidData)?;
    Ok(Answer { status, head: head.to_lowercase(), body: body.to_owned() })
}

/// Asks for something that is there.
#[track_caller]
pub(crate) fn get(server: SocketAddr, path: &str, accept: &str) -> Answer {
    let answer = try_get(server, path, accept).unwrap();
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    answer
}
