//! Every kind of ID over REST and gRPC, and the IDs of a stretch of time.

use coreflake_grpc::{GenerateBatchRequest, GenerateIdRequest, ParseIdRequest};
use coreflake_protocol::{AnyId, Encoding, Kind};
use serde_json::{Value, json};
use tonic::Code;

use crate::channel::{client, run};
use crate::common::Server;
use crate::http::{ask, assert_serves, get, post};

/// The IDs that a reply has as texts.
fn read(texts: &Value, kind: Kind, encoding: Option<Encoding>) -> Vec<AnyId> {
    let texts = texts.as_array().unwrap().iter().map(|text| text.as_str().unwrap());
    texts.map(|text| AnyId::read(text, Some(kind), encoding).unwrap()).collect()
}

fn refused(server: &Server, target: &str, code: &str, word: &str) {
    let text = get(server, target).assert_error(400, code);
    assert!(text.contains(word), "{target}: {text}");
}

#[test]
fn each_kind_is_issued_and_taken_apart() {
    let server = Server::start(&["--datacenter-id", "3", "--worker-id", "7"]);
    for kind in Kind::ALL {
        let body = get(&server, &format!("/api/v1/ids?count=300&kind={kind}")).json();
        let ids = read(&body["ids_str"], kind, None);
        assert!(ids.len() == 300 && ids.is_sorted_by(|a, b| a.rank() < b.rank()), "{kind}");
        let one = ask(&server, &post("/api/v1/id", format!(r#"{{"kind":"{kind}"}}"#).as_bytes()));
        let one = one.json();
        if kind.is_wide() {
            assert_eq!(body["ids"], body["ids_str"]);
            assert_eq!(one["id"], one["id_str"]);
        } else {
            let numbers: Vec<_> = ids.iter().map(|id| id.id().unwrap().get()).collect();
            assert_eq!(body["ids"], json!(numbers));
            assert_eq!(one["id"].as_u64().unwrap().to_string(), one["id_str"]);
        }
        // An `instagram` ID looks like a `snowflake`; the others are known by their form.
        let named = if kind == Kind::Instagram { "&kind=instagram" } else { "" };
        let text = one["id_str"].as_str().unwrap();
        let parts = get(&server, &format!("/api/v1/parse?id={text}{named}")).json();
        assert_eq!(parts["kind"], kind.name());
        assert_eq!((&parts["datacenter_id"], &parts["worker_id"]), (&json!(3), &json!(7)));
        assert_eq!(parts["shard_id"].is_u64(), kind == Kind::Instagram, "{parts}");
        assert_eq!(parts["node"].is_string(), kind == Kind::Uuid1, "{parts}");
        if kind != Kind::Uuid1 {
            let at = &parts["timestamp"].as_str().unwrap();
            let target =
                format!("/api/v1/range?from={at}&to={}&kind={kind}", parts["timestamp_ms"]);
            let range = get(&server, &target).json();
            let bound = |name: &str| {
                AnyId::read(range[name].as_str().unwrap(), Some(kind), None).unwrap().bits()
            };
            let bits = AnyId::read(text, Some(kind), None).unwrap().bits();
            assert!((bound("min_id_str")..=bound("max_id_str")).contains(&bits), "{range}");
            assert_eq!(range["from"], range["to"]);
        }
    }
    server.stop().assert_rejects(&[]);
}

#[test]
fn a_64_bit_id_is_written_as_it_is_asked_for() {
    let server = Server::start(&[]);
    for encoding in Encoding::ALL {
        let name = encoding.name();
        for kind in [Kind::Snowflake, Kind::Instagram] {
            let target = format!("/api/v1/ids?count=50&kind={kind}&encoding={name}");
            let body = get(&server, &target).json();
            let numbers: Vec<_> =
                body["ids"].as_array().unwrap().iter().map(Value::as_u64).collect();
            let ids = read(&body["ids_str"], kind, Some(encoding));
            let read: Vec<_> = ids.iter().map(|id| id.id().map(|id| id.get())).collect();
            assert_eq!(read, numbers);
            let text = body["ids_str"][0].as_str().unwrap();
            let target = format!("/api/v1/parse?id={text}&kind={kind}&encoding={name}");
            assert_eq!(get(&server, &target).status, 200);
        }
    }
    let body = br#"{"count":1,"encoding":"base62"}"#;
    let body = ask(&server, &post("/api/v1/ids", body)).json();
    assert_eq!(body["ids_str"][0].as_str().unwrap().len(), 11);
    let target = "/api/v1/range?from=1700000000000&to=1700000000000&encoding=crockford";
    let range = get(&server, target).json();
    assert_eq!(range["min_id_str"].as_str().unwrap().len(), 13);
    // As Python's isoformat() writes it, and as it should be written in a query.
    for offset in ["+01:00", "%2B01:00"] {
        let target = format!(
            "/api/v1/range?from=2026-11-01T00:00:00{offset}&to=2026-11-01T00:00:00.5{offset}"
        );
        let range = get(&server, &target).json();
        assert_eq!(range["from"], "2026-10-31T23:00:00.000Z");
        assert_eq!(range["to"], "2026-10-31T23:00:00.500Z");
    }
    server.stop().assert_rejects(&[]);
}

#[test]
fn ids_from_elsewhere_are_read_in_every_spelling() {
    let server = Server::start(&[]);
    let parse = |id: &str| get(&server, &format!("/api/v1/parse?id={id}")).json();
    for spelling in ["01ARZ3NDEKTSV4RRFFQ69G5FAV", "o1arz3ndektsv4rrffq69g5fav"] {
        let parts = parse(spelling);
        assert_eq!(
            (&parts["kind"], &parts["timestamp_ms"]),
            (&json!("ulid"), &json!(1_469_922_850_259_u64))
        );
    }
    for spelling in ["c232ab00-9414-11ec-b3c8-9f6bdeced846", "C232AB00941411ECB3C89F6BDECED846"] {
        let parts = parse(spelling);
        assert_eq!(parts["timestamp"], "2022-02-22T19:22:22.000Z");
        assert_eq!((&parts["datacenter_id"], &parts["worker_id"]), (&Value::Null, &Value::Null));
        assert_eq!(parts["clock_sequence"], 0x33c8);
        assert_eq!(parts["node"], "9f:6b:de:ce:d8:46");
    }
    let parts = parse("017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
    assert_eq!(
        (&parts["kind"], &parts["timestamp"]),
        (&json!("uuid7"), &json!("2022-02-22T19:22:22.000Z"))
    );
    let parts = parse("7ZZZZZZZZZZZZZZZZZZZZZZZZZ");
    assert_eq!(
        (&parts["timestamp"], &parts["timestamp_ms"]),
        (&Value::Null, &json!((1_u64 << 48) - 1))
    );
    assert_eq!(parse("1234567890123456789")["kind"], "snowflake");
    server.stop().assert_rejects(&[]);
}

/// A server that issues nothing but one of the other kinds has issued a last ID.
#[test]
fn the_time_of_the_last_id_is_that_of_any_kind() {
    let server = Server::start(&[]);
    let last = || {
        let page = String::from_utf8(get(&server, "/api/v1/metrics").body).unwrap();
        let line = page.lines().find(|line| line.starts_with("coreflake_last_id_timestamp_sec"));
        line.unwrap().split(' ').nth(1).unwrap().parse::<f64>().unwrap()
    };
    assert_eq!(last(), 0.0);
    for kind in Kind::ALL.into_iter().rev() {
        let body = get(&server, &format!("/api/v1/id?kind={kind}")).json();
        let target = format!("/api/v1/parse?kind={kind}&id={}", body["id_str"].as_str().unwrap());
        let unix_ms = get(&server, &target).json()["timestamp_ms"].as_f64().unwrap();
        assert!((last() - unix_ms / 1e3).abs() < 1e-3, "{kind}: {} {unix_ms}", last());
    }
    server.stop().assert_rejects(&[]);
}

#[test]
fn what_makes_no_sense_is_named() {
    let server = Server::start(&[]);
    let invalid = "INVALID_PARAMETER";
    for (target, word) in [
        ("id?encoding=base64", "the encodings are `decimal`, `base62`, `crockford`"),
        ("id?encoding=", "the encodings are"),
        ("id?encoding=base62&encoding=base62", "given twice"),
        ("id?kind=ulid&encoding=base62", "encoding base62 is for 64-bit IDs, ulid has"),
        ("ids?count=1&kind=uuid7&encoding=decimal", "uuid7 has its own form"),
        ("parse?id=1&kind=uuid1&encoding=decimal", "uuid1 has its own form"),
        ("range", "from is missing: a time from 1970 on such as 2026-11-24T12:00:00Z"),
        ("range?from=1700000000000", "to is missing"),
        ("range?from=x&to=1700000000000", "from `x`: a time from 1970 on such as"),
        ("range?from=1e3&to=1700000000000", "from `1e3`"),
        ("range?from=-1&to=1700000000000", "from `-1`"),
        ("range?from=1700000000000&to=2026-11-24", "to `2026-11-24`"),
        ("range?from=1700000000000&to=%00", "to `\\0`"),
        ("range?from=1700000000000&from=1700000000000&to=1700000000000", "given twice"),
        (
            "range?from=1700000000001&to=1700000000000",
            "to: 1700000000000 ms is before from, 1700000000001 ms",
        ),
        ("range?from=5&to=1700000000000", "from: 5 ms is before the epoch 1609459200000 ms"),
        ("range?from=1700000000000&to=9999999999999", "to: 9999999999999 ms is past the end"),
        ("range?from=1700000000000&to=99999999999999999999", "to `99999999999999999999`"),
        ("range?from=1700000000000&to=1700000000000&kind=uuid1", "uuid1 do not sort by their time"),
        ("range?from=1700000000000&to=1700000000000&count=1", "count"),
    ] {
        refused(&server, &format!("/api/v1/{target}"), invalid, word);
    }
    refused(&server, "/api/v1/range?from=0&to=0&kind=uuid", "UNKNOWN_KIND", "the kinds are");
    for (target, word) in [
        ("parse?id=01ARZ3NDEKTSV4RRFFQ69G5FAV&kind=uuid7", "a UUID with hyphens"),
        ("parse?id=017f22e2-79b0-7cc3-98c4-dc0c0c07398f&kind=uuid1", "a UUID of version 7"),
        ("parse?id=1&kind=ulid", "26 characters of Crockford"),
        ("parse?id=1&encoding=base62", "11 characters of 0-9A-Za-z"),
        ("parse?id=8000000000000&encoding=crockford", "13 characters of Crockford"),
    ] {
        refused(&server, &format!("/api/v1/{target}"), "INVALID_ID", word);
    }
    let body = br#"{"kind":"ulid","encoding":"base62"}"#;
    ask(&server, &post("/api/v1/id", body)).assert_error(400, invalid);
    assert_serves(&server);
    let counts = [("invalid_id", 5), ("invalid_request", 21), ("unknown_kind", 1)];
    server.stop().assert_rejects(&counts);
}

#[test]
fn each_kind_goes_over_grpc() {
    let server = Server::start(&["--datacenter-id", "3", "--worker-id", "7"]);
    run(async {
        let mut client = client(&server).await;
        for kind in Kind::ALL {
            let number = i32::from(kind.wire());
            let request = GenerateIdRequest { kind: number, encoding: 0 };
            let one = client.generate_id(request).await.unwrap().into_inner();
            let id = AnyId::read(&one.text, Some(kind), None).unwrap();
            assert_eq!(i128::from(one.id), id.id().map_or(0, |id| id.get().into()));
            let request = GenerateBatchRequest { count: 300, kind: number, encoding: 0 };
            let many = client.generate_batch(request).await.unwrap().into_inner();
            assert_eq!(many.ids.len(), if kind.is_wide() { 0 } else { 300 });
            let ids = many.texts.iter().map(|text| AnyId::read(text, Some(kind), None).unwrap());
            let ranks: Vec<_> = ids.map(AnyId::rank).collect();
            assert!(ranks.len() == 300 && ranks[0] > id.rank() && ranks.is_sorted_by(|a, b| a < b));
            let request = ParseIdRequest { text: one.text, kind: number, ..Default::default() };
            let parts = client.parse_id(request).await.unwrap().into_inner();
            assert_eq!((parts.datacenter_id, parts.worker_id, parts.kind), (3, 7, number));
            assert_eq!(parts.shard_id.is_some(), kind == Kind::Instagram);
            assert_eq!(parts.node.is_some(), kind == Kind::Uuid1);
        }
        let request = GenerateIdRequest { kind: 0, encoding: 3 };
        let one = client.generate_id(request).await.unwrap().into_inner();
        let text = Encoding::Crockford.read(&one.text).unwrap().get();
        assert_eq!(one.id, i64::try_from(text).unwrap());
        let request = ParseIdRequest { text: one.text, encoding: 3, ..Default::default() };
        assert_eq!(client.parse_id(request).await.unwrap().into_inner().kind, 1);
        let plain = client.generate_id(GenerateIdRequest::default()).await.unwrap().into_inner();
        assert!(plain.id > one.id && plain.text.is_empty(), "what is not asked for is not there");
        let uuid1 = "c232ab00-9414-11ec-b3c8-9f6bdeced846".to_owned();
        let request = ParseIdRequest { text: uuid1, ..Default::default() };
        let parts = client.parse_id(request).await.unwrap().into_inner();
        assert_eq!((parts.kind, parts.datacenter_id, parts.worker_id), (3, -1, -1));
    });
    server.stop().assert_rejects(&[]);
}

#[test]
fn what_makes_no_sense_over_grpc_is_an_invalid_argument() {
    let server = Server::start(&[]);
    run(async {
        let mut client = client(&server).await;
        for (kind, encoding, word) in [
            (6, 0, "UNKNOWN_KIND: kind 6 is unknown"),
            (-1, 0, "UNKNOWN_KIND: kind -1 is unknown"),
            (0, 4, "INVALID_REQUEST: encoding 4 is unknown"),
            (4, 2, "INVALID_REQUEST: encoding base62 is for 64-bit IDs"),
        ] {
            let one = client.generate_id(GenerateIdRequest { kind, encoding }).await.unwrap_err();
            let many = GenerateBatchRequest { count: 1, kind, encoding };
            let many = client.generate_batch(many).await.unwrap_err();
            let parse = ParseIdRequest { id: 1, kind, encoding, ..Default::default() };
            let parse = client.parse_id(parse).await.unwrap_err();
            for status in [one, many, parse] {
                assert_eq!(status.code(), Code::InvalidArgument);
                assert!(status.message().contains(word), "{status}");
            }
        }
        for (id, text, kind, word) in [
            (1, "1", 0, "are both given"),
            (0, "x", 0, "text `x`: a decimal number"),
            (0, "8ZZZZZZZZZZZZZZZZZZZZZZZZZ", 0, "26 characters"),
            (0, "919108f7-52d1-4320-9bac-f847db4148a8", 0, "a UUID of version 4"),
            (1, "", 5, "id 1: an ID of kind uuid7 is given as text"),
        ] {
            let request = ParseIdRequest { id, text: text.to_owned(), kind, encoding: 0 };
            let status = client.parse_id(request).await.unwrap_err();
            assert_eq!(status.code(), Code::InvalidArgument);
            let message = status.message();
            assert!(message.starts_with("INVALID_ID: ") && message.contains(word), "{status}");
        }
        let request = ParseIdRequest { id: 5, encoding: 2, ..Default::default() };
        let status = client.parse_id(request).await.unwrap_err();
        let text = "INVALID_ID: encoding base62 is for a text, and none is given";
        assert_eq!(status.message(), text);
    });
    let counts = [("invalid_id", 6), ("invalid_request", 6), ("unknown_kind", 6)];
    server.stop().assert_rejects(&counts);
}
