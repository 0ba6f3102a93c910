//! An ID taken apart at every door: each says the same of it, as far as it says it.

use coreflake_grpc::{ParseIdRequest, ParseIdResponse};
use coreflake_protocol::{AnyId, Kind, Namespace, Request, Response, Slot};
use serde_json::Value;

use crate::channel::{client, run};
use crate::common::{self, Datagrams, Peer, Reply, Server};
use crate::http::get;

/// Everything that any door says of an ID.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Parts {
    kind: Kind,
    timestamp_ms: u64,
    datacenter_id: Option<u64>,
    worker_id: Option<u64>,
    sequence: u64,
    shard_id: Option<u64>,
    clock_sequence: Option<u64>,
    node: Option<String>,
}

impl Parts {
    /// Without a server.
    fn of(id: AnyId) -> Self {
        let namespace = Namespace::DEFAULT;
        let parsed = namespace.parse(id).unwrap();
        let instagram = id.id().filter(|_| id.kind() == Kind::Instagram);
        let node = id.node().map(|(node, _)| {
            let [_, _, bytes @ ..] = node.to_be_bytes();
            bytes.map(|byte| format!("{byte:02x}")).join(":")
        });
        Self {
            kind: id.kind(),
            timestamp_ms: parsed.unix_ms,
            datacenter_id: parsed.slot.map(Slot::datacenter_id).map(u64::from),
            worker_id: parsed.slot.map(Slot::worker_id).map(u64::from),
            sequence: parsed.sequence.into(),
            shard_id: instagram.map(|id| namespace.shard(id).into()),
            clock_sequence: id.node().map(|(_, clock_sequence)| clock_sequence.into()),
            node,
        }
    }

    /// As REST and the command line write it.
    fn of_json(body: &Value) -> Self {
        let number = |name: &str| body[name].as_u64();
        let timestamp: jiff::Timestamp = body["timestamp"].as_str().unwrap().parse().unwrap();
        let timestamp_ms = u64::try_from(timestamp.as_millisecond()).unwrap();
        assert_eq!(number("timestamp_ms"), Some(timestamp_ms), "{body}");
        Self {
            kind: body["kind"].as_str().unwrap().parse().unwrap(),
            timestamp_ms,
            datacenter_id: number("datacenter_id"),
            worker_id: number("worker_id"),
            sequence: number("sequence").unwrap(),
            shard_id: number("shard_id"),
            clock_sequence: number("clock_sequence"),
            node: body["node"].as_str().map(str::to_owned),
        }
    }

    /// As it comes over gRPC, with -1 for a slot that is none.
    fn of_message(message: ParseIdResponse) -> Self {
        let number = |field: i32| u64::try_from(field).unwrap();
        let slot = |field: i32| (field != -1).then(|| number(field));
        Self {
            kind: Kind::from_wire(u8::try_from(message.kind).unwrap()).unwrap(),
            timestamp_ms: u64::try_from(message.timestamp_ms).unwrap(),
            datacenter_id: slot(message.datacenter_id),
            worker_id: slot(message.worker_id),
            sequence: number(message.sequence),
            shard_id: message.shard_id.map(number),
            clock_sequence: message.clock_sequence.map(number),
            node: message.node,
        }
    }

    /// As a frame brings it. What it does not say is what these say.
    fn of_frame(reply: &Reply, others: &Self) -> Self {
        let Response::Parse(parsed) = reply.response() else { panic!("no parts but {reply:?}") };
        Self {
            timestamp_ms: parsed.unix_ms,
            datacenter_id: parsed.datacenter_id().map(u64::from),
            worker_id: parsed.worker_id().map(u64::from),
            sequence: parsed.sequence.into(),
            ..others.clone()
        }
    }
}

/// Takes an ID apart at every door.
#[track_caller]
fn check(server: &Server, id: AnyId, parts: &Parts) {
    let (kind, text) = (id.kind(), id.to_string());
    let body = get(server, &format!("/api/v1/parse?id={text}&kind={kind}")).json();
    assert_eq!(Parts::of_json(&body), *parts, "REST: {body}");
    assert_eq!(body["id_str"], text);

    let finished = common::run(&["parse", "--kind", kind.name(), &text]);
    let printed: Value = serde_json::from_str(&finished.assert_code(0).stdout).unwrap();
    assert_eq!(Parts::of_json(&printed), *parts, "the command line: {printed}");
    assert_eq!((&printed["id"], &printed["id_str"]), (&body["id"], &body["id_str"]));

    let request = ParseIdRequest { text, kind: kind.wire().into(), ..Default::default() };
    let message = run(async { client(server).await.parse_id(request).await.unwrap() }).into_inner();
    assert_eq!(Parts::of_message(message), *parts, "gRPC: {id}");

    let mut frame = Vec::new();
    Request::Parse { id }.encode(7, &mut frame);
    let reply = Peer::connect(server.tcp).ask(&frame);
    assert_eq!(Parts::of_frame(&reply, parts), *parts, "TCP: {id}");
    let reply = Datagrams::connect(server.udp()).ask(&frame);
    assert_eq!(Parts::of_frame(&reply, parts), *parts, "UDP: {id}");
}

#[test]
fn every_door_says_the_same_of_an_id_of_this_server() {
    let server = Server::start(&["--datacenter-id", "3", "--worker-id", "7"]);
    for kind in Kind::ALL {
        let body = get(&server, &format!("/api/v1/ids?count=300&kind={kind}")).json();
        let texts = body["ids_str"].as_array().unwrap().iter().map(|text| text.as_str().unwrap());
        let mut ids = texts.map(|text| AnyId::read(text, Some(kind), None).unwrap());
        // A number that is 0 would not be missed.
        let id = ids.find(|id| Parts::of(*id).sequence > 0).unwrap();
        let parts = Parts::of(id);
        assert_eq!((parts.datacenter_id, parts.worker_id), (Some(3), Some(7)), "{kind}");
        assert_eq!(parts.shard_id.is_some(), kind == Kind::Instagram, "{kind}");
        assert_eq!(parts.clock_sequence.is_some(), kind == Kind::Uuid1, "{kind}");
        check(&server, id, &parts);
    }
    server.stop().assert_rejects(&[]);
}

/// RFC 9562 §A.1.
#[test]
fn every_door_says_the_same_of_an_id_from_elsewhere() {
    let server = Server::start(&["--datacenter-id", "3", "--worker-id", "7"]);
    let id = AnyId::read("c232ab00-9414-11ec-b3c8-9f6bdeced846", None, None).unwrap();
    let parts = Parts {
        kind: Kind::Uuid1,
        timestamp_ms: 1_645_557_742_000,
        datacenter_id: None,
        worker_id: None,
        sequence: 0,
        shard_id: None,
        clock_sequence: Some(0x33c8),
        node: Some("9f:6b:de:ce:d8:46".to_owned()),
    };
    assert_eq!(Parts::of(id), parts);
    check(&server, id, &parts);
    server.stop().assert_rejects(&[]);
}
