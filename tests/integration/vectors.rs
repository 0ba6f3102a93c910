//! Every request of the protocol's test vectors, and every bit of two of them turned over, against
//! a running server.

use std::collections::BTreeMap;

use coreflake_protocol::frame::HEADER_SIZE;
use coreflake_protocol::{AnyId, ErrorCode, Kind, Namespace, ParseReply, Response};
use serde::Deserialize;
use serde_json::Value;

use crate::common::{Datagrams, Peer, Reply, Server, frames};

#[derive(Deserialize)]
struct Vector {
    name: String,
    direction: String,
    transport: String,
    hex: String,
    expect: BTreeMap<String, Value>,
}

impl Vector {
    /// All requests that are meant for `transport`.
    fn requests(transport: &str) -> Vec<Self> {
        let text = include_str!("../../protocol/vectors/v1.json");
        let all: Vec<Self> = serde_json::from_str(text).unwrap();
        let meant = |it: &Self| it.transport == transport || it.transport == "both";
        all.into_iter().filter(|it| it.direction == "request" && meant(it)).collect()
    }

    fn bytes(&self) -> Vec<u8> {
        (0..self.hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&self.hex[at..at + 2], 16).unwrap())
            .collect()
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.expect.get(key).and_then(Value::as_str)
    }

    fn number(&self, key: &str) -> u64 {
        self.text(key).unwrap().parse().unwrap()
    }

    fn kind(&self) -> Kind {
        self.text("kind").unwrap().parse().unwrap()
    }

    fn code(&self) -> ErrorCode {
        let name = self.text("error").unwrap();
        ErrorCode::ALL.into_iter().find(|code| code.name() == name).unwrap()
    }

    /// The request id as the server has to repeat it.
    fn request_id(&self) -> u64 {
        if self.text("error") == Some("FRAME_SIZE") {
            return 0;
        }
        u64::from_be_bytes(self.bytes()[8..HEADER_SIZE].try_into().unwrap())
    }

    /// Whether this is a proper answer. `whole` is whether all IDs have to be there.
    fn assert_answered(&self, reply: &Reply, whole: bool) {
        let name = &self.name;
        assert_eq!(reply.request_id(), self.number("request_id"), "{name}");
        match (self.text("op").unwrap(), reply.response()) {
            ("GENERATE", Response::Generate(ids)) => {
                let kind = self.kind();
                let id_count = match kind.is_wide() {
                    true => ids.wide(kind).unwrap().id_count(),
                    false => ids.runs().unwrap().id_count(),
                };
                let count = self.expect["count"].as_u64().unwrap();
                let fits = if whole { count..=count } else { 1..=count };
                assert!(fits.contains(&id_count), "{name}: {id_count} of {count}");
            }
            ("PARSE", Response::Parse(parts)) => {
                let (kind, id) = (self.kind(), self.text("id").unwrap());
                let id = match kind.is_wide() {
                    true => AnyId::wide(kind, u128::from_str_radix(id, 16).unwrap()).unwrap(),
                    false => AnyId::read(id, Some(kind), None).unwrap(),
                };
                let expected = ParseReply::from(Namespace::DEFAULT.parse(id).unwrap());
                assert_eq!(parts, expected, "{name}");
            }
            ("INFO", Response::Info(info)) => {
                assert_eq!(info.namespace, Namespace::DEFAULT, "{name}");
            }
            ("HEALTH", Response::Health(_)) | ("PING", Response::Ping) => {}
            ("AUTH", Response::Auth) => {}
            (op, other) => panic!("{name}: {op} was answered with {other:?}"),
        }
    }
}

#[test]
fn every_request_over_tcp_gets_what_its_vector_says() {
    let server = Server::start(&[]);
    let vectors = Vector::requests("tcp");
    for vector in &vectors {
        let name = &vector.name;
        let mut peer = Peer::connect(server.tcp);
        peer.send(&vector.bytes());
        match vector.text("tcp") {
            None => {
                vector.assert_answered(&peer.reply(), true);
                peer.ping();
            }
            Some("error") => {
                peer.expect_error(vector.code(), vector.request_id());
                peer.ping();
            }
            Some("error_close") => {
                peer.expect_error(vector.code(), vector.request_id());
                peer.expect_closed();
            }
            Some("close") => peer.expect_closed(),
            other => panic!("{name}: {other:?}"),
        }
    }
    let refused = vectors.iter().filter(|vector| vector.text("error").is_some()).count();
    let counters = server.stop();
    assert_eq!(counters.rejects().values().sum::<u64>(), refused as u64, "{counters:?}");
}

#[test]
fn every_request_over_udp_gets_what_its_vector_says() {
    let server = Server::start(&[]);
    let mut peer = Datagrams::connect(server.udp());
    let vectors = Vector::requests("udp");
    for vector in &vectors {
        let (name, datagram) = (&vector.name, vector.bytes());
        peer.send(&datagram);
        let replies = peer.settle();
        let sizes: Vec<_> = replies.iter().map(|reply| reply.bytes.len()).collect();
        assert!(sizes.iter().all(|size| *size <= datagram.len()), "{name}: {sizes:?}");
        let reply_size = match vector.text("op") {
            Some("INFO") => HEADER_SIZE + 96,
            Some("HEALTH") => HEADER_SIZE + 64,
            Some("GENERATE") if vector.kind().is_wide() => HEADER_SIZE + 16,
            _ => 0,
        };
        match (vector.text("udp"), &replies[..]) {
            (Some("drop"), []) => {}
            // Not even the error that says so would fit.
            (None, []) if reply_size > datagram.len() && datagram.len() < 24 => {}
            (None, [reply]) if reply_size > datagram.len() => {
                reply.assert_error(ErrorCode::ReplyTooLarge, vector.request_id());
            }
            (Some("error"), [reply]) => reply.assert_error(vector.code(), vector.request_id()),
            (None, [reply]) => vector.assert_answered(reply, false),
            (expected, replies) => panic!("{name}: {expected:?}, not {replies:?}"),
        }
    }
    let refused = vectors.iter().filter(|vector| vector.text("udp").is_some()).count();
    let counters = server.stop();
    let mut rejects = counters.rejects();
    rejects.remove("reply_too_large");
    assert_eq!(rejects.values().sum::<u64>(), refused as u64, "{counters:?}");
}

fn flipped(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    (0..bytes.len() * 8).map(|bit| {
        let mut flipped = bytes.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        flipped
    })
}

#[test]
fn every_single_bit_flip_over_tcp_is_answered_or_refused() {
    let server = Server::start(&[]);
    let mut replies = 0;
    for bytes in [frames::generate(7, 1), frames::info(7)] {
        for request in flipped(&bytes) {
            let mut peer = Peer::connect(server.tcp);
            peer.send(&request);
            peer.finish();
            while let Some(reply) = peer.try_reply() {
                reply.response();
                replies += 1;
            }
        }
    }
    Peer::connect(server.tcp).ping();
    // Only a length that now promises more than comes, or another protocol, is left without a word.
    assert!(replies > 300, "{replies} replies");
    server.stop();
}

#[test]
fn every_single_bit_flip_over_udp_is_answered_or_dropped() {
    let server = Server::start(&[]);
    let mut peer = Datagrams::connect(server.udp());
    let padded = frames::padded(frames::info(7), 120);
    for bytes in [frames::generate(7, 1), frames::info(7), padded] {
        for request in flipped(&bytes) {
            peer.send(&request);
            for reply in peer.settle() {
                reply.response();
                assert!(reply.bytes.len() <= request.len(), "{reply:?} to {request:?}");
            }
        }
    }
    server.stop();
}
