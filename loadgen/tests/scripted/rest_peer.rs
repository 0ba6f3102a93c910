//! An HTTP server that follows a script, down to the bytes of its replies.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::peer::{DATACENTER_ID, WORKER_ID, run};

/// What was asked, and with which token.
pub(crate) struct Asked {
    pub(crate) what: What,
    pub(crate) token: Option<String>,
}

#[derive(Clone, Copy)]
pub(crate) enum What {
    Health,
    /// The number of the request, from 0 over all connections, and its count; none for `/id`.
    Ids(u64, Option<u32>),
}

/// What the server does.
pub(crate) enum Step {
    Send(Vec<u8>),
    /// The same, byte by byte.
    Drip(Vec<u8>),
    Silence,
    /// Close the connection.
    Close,
}

pub(crate) type Script = Box<dyn FnMut(&Asked) -> Step + Send>;

/// Starts the server and returns its target.
pub(crate) fn start(script: impl FnMut(&Asked) -> Step + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = format!("http://{}", listener.local_addr().unwrap());
    let script: Script = Box::new(script);
    let state = Arc::new(Mutex::new((script, 0)));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let state = Arc::clone(&state);
            thread::spawn(move || serve(stream.unwrap(), &state));
        }
    });
    target
}

/// Bytes of a reply with a length.
pub(crate) fn reply(status: u16, body: &str) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n");
    format!("{head}Content-Length: {length}\r\n\r\n{body}").into_bytes()
}

/// The reply that brings `ids`, in the form that was asked for.
pub(crate) fn ids(count: Option<u32>, ids: &[u64]) -> Vec<u8> {
    let body = match count {
        None => format!(r#"{{"id":{0},"id_str":"{0}"}}"#, ids[0]),
        Some(_) => {
            let texts: Vec<_> = ids.iter().map(|id| format!("{id:?}")).collect();
            let quoted: Vec<_> = texts.iter().map(|id| format!("\"{id}\"")).collect();
            format!(r#"{{"ids":[{}],"ids_str":[{}]}}"#, texts.join(","), quoted.join(","))
        }
    };
    reply(200, &body)
}

/// What a server that is well answers: the n-th request has a tick of its own.
pub(crate) fn honest(what: What) -> Vec<u8> {
    match what {
        What::Health => reply(
            200,
            &format!(
                r#"{{"status":"healthy","worker_id":{WORKER_ID},"datacenter_id":{DATACENTER_ID},
                    "epoch_ms":1609459200000,"shards":2}}"#
            ),
        ),
        What::Ids(number, count) => ids(count, &numbers(number, count.unwrap_or(1))),
    }
}

/// `count` IDs of tick `tick`.
pub(crate) fn numbers(tick: u64, count: u32) -> Vec<u64> {
    run(tick * 1000, count).ids().map(|id| id.get()).collect()
}

fn serve(mut stream: TcpStream, state: &Mutex<(Script, u64)>) {
    stream.set_nodelay(true).unwrap();
    let (mut held, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(size @ 1..) = stream.read(&mut buffer) {
        held.extend_from_slice(&buffer[..size]);
        while let Some(end) = held.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            let head = String::from_utf8(held.drain(..end + 4).collect()).unwrap();
            let step = {
                let (script, number) = &mut *state.lock().unwrap();
                script(&asked(&head, number))
            };
            let is_written = match step {
                Step::Send(bytes) => stream.write_all(&bytes).is_ok(),
                Step::Drip(bytes) => bytes.chunks(1).all(|byte| stream.write_all(byte).is_ok()),
                Step::Silence => true,
                Step::Close => false,
            };
            if !is_written {
                return;
            }
        }
    }
}

fn asked(head: &str, number: &mut u64) -> Asked {
    let mut lines = head.lines();
    let request = lines.next().unwrap();
    let headers: Vec<_> = lines.filter_map(|line| line.split_once(": ")).collect();
    let header = |name| headers.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
    assert!(header("host").unwrap().starts_with("127.0.0.1:"), "{head}");
    let token = header("authorization").map(|value| value.strip_prefix("Bearer ").unwrap());
    let path = request.strip_prefix("GET ").unwrap().strip_suffix(" HTTP/1.1").unwrap();
    let what = match path.strip_prefix("/api/v1/").unwrap() {
        "health" => What::Health,
        path => {
            let count = path.strip_prefix("ids?count=").map(|count| count.parse().unwrap());
            assert!(count.is_some() || path == "id", "{path}");
            *number += 1;
            What::Ids(*number - 1, count)
        }
    };
    Asked { what, token: token.map(str::to_owned) }
}
