//! The REST API as it is documented.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::common::{Datagrams, Peer, Server, frames};
use crate::http::{Http, ask, get, post, request};

/// The names in an object.
fn names(value: &Value) -> HashSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

/// The IDs of a reply, which has to say them twice: as numbers and as text.
#[track_caller]
fn ids(body: &Value) -> Vec<u64> {
    assert_eq!(names(body), HashSet::from(["ids", "ids_str"]), "{body}");
    let ids: Vec<u64> =
        body["ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap()).collect();
    let texts: Vec<_> = ids.iter().map(u64::to_string).collect();
    assert_eq!(body["ids_str"], json!(texts));
    assert!(ids.is_sorted_by(|a, b| a < b), "in ascending order: {ids:?}");
    ids
}

/// The one ID of a reply.
#[track_caller]
fn id(body: &Value) -> u64 {
    assert_eq!(names(body), HashSet::from(["id", "id_str"]), "{body}");
    let id = body["id"].as_u64().unwrap();
    assert_eq!(body["id_str"], json!(id.to_string()));
    id
}

#[test]
fn an_id_is_a_number_and_a_text() {
    let server = Server::start(&[]);
    let first = id(&get(&server, "/api/v1/id").json());
    let second = id(&get(&server, "/api/v1/id?kind=snowflake").json());
    let third = id(&ask(&server, &post("/api/v1/id", b"")).json());
    let fourth = id(&ask(&server, &post("/api/v1/id", br#"{"kind":"snowflake"}"#)).json());
    let fifth = id(&ask(&server, &post("/api/v1/id?kind=snowflake", b"{}")).json());
    let all = [first, second, third, fourth, fifth];
    assert!(all.is_sorted_by(|a, b| a < b), "{all:?}");
    server.stop().assert_rejects(&[]);
}

#[test]
fn ids_are_as_many_as_are_asked_for() {
    let server = Server::start(&[]);
    for count in [1, 2, 100, 4_095, 4_096] {
        let answer = get(&server, &format!("/api/v1/ids?count={count}"));
        assert_eq!(answer.status, 200);
        assert_eq!(ids(&answer.json()).len(), count);
    }
    server.stop().assert_rejects(&[]);
}

#[test]
fn post_takes_its_parameters_from_the_query_or_the_body() {
    let server = Server::start(&[]);
    let good: [(&str, &[u8]); 5] = [
        ("/api/v1/ids?count=3", b""),
        ("/api/v1/ids?count=3", b"{}"),
        ("/api/v1/ids", br#"{"count":3}"#),
        ("/api/v1/ids?kind=snowflake", b" {\"count\" : 3}\r\n"),
        ("/api/v1/ids?count=3", br#"{"kind":"snowflake"}"#),
    ];
    for (target, body) in good {
        let answer = ask(&server, &post(target, body));
        assert_eq!(answer.status, 200, "{target} {answer:?}");
        assert_eq!(ids(&answer.json()).len(), 3);
    }
    let twice: [(&str, &[u8]); 3] = [
        ("/api/v1/ids?count=3", br#"{"count":3}"#),
        ("/api/v1/ids?count=3&kind=snowflake", br#"{"kind":"snowflake"}"#),
        ("/api/v1/id?kind=snowflake", br#"{"kind":"snowflake"}"#),
    ];
    for (target, body) in twice {
        let text = ask(&server, &post(target, body)).assert_error(400, "INVALID_PARAMETER");
        assert!(text.contains("query") && text.contains("body"), "{text}");
    }
    server.stop().assert_rejects(&[("invalid_request", 3)]);
}

#[test]
fn parse_tells_what_is_in_an_id() {
    let server = Server::start(&["--datacenter-id", "3", "--worker-id", "7"]);
    let id = id(&get(&server, "/api/v1/id").json());
    let answer = get(&server, &format!("/api/v1/parse?id={id}&kind=snowflake"));
    assert_eq!(answer.status, 200);
    let body = answer.json();
    let expected = [
        "id",
        "id_str",
        "timestamp",
        "timestamp_ms",
        "datacenter_id",
        "worker_id",
        "sequence",
        "kind",
    ];
    assert_eq!(names(&body), HashSet::from(expected), "{body}");
    assert_eq!((&body["datacenter_id"], &body["worker_id"]), (&json!(3), &json!(7)));
    assert_eq!(body["sequence"], json!(id & 0xfff));
    let epoch_ms = get(&server, "/api/v1/health").json()["epoch_ms"].as_u64().unwrap();
    assert_eq!(body["timestamp_ms"], json!((id >> 22) + epoch_ms));
    let text = body["timestamp"].as_str().unwrap();
    let stamp: jiff::Timestamp = text.parse().unwrap();
    assert_eq!(stamp.as_millisecond(), body["timestamp_ms"].as_i64().unwrap());
    assert!(text.len() == "2024-01-03T19:30:00.000Z".len() && text.ends_with('Z'), "{text}");
    let largest = get(&server, &format!("/api/v1/parse?id={}", i64::MAX)).json();
    assert_eq!((&largest["datacenter_id"], &largest["sequence"]), (&json!(31), &json!(4_095)));
    server.stop().assert_rejects(&[]);
}

#[test]
fn health_tells_everything_ready_and_live_one_word() {
    let server = Server::start(&["--datacenter-id", "3", "--worker-id", "7"]);
    get(&server, "/api/v1/ids?count=100");
    let answer = get(&server, "/api/v1/health");
    assert_eq!(answer.status, 200);
    let body = answer.json();
    let expected = [
        "status",
        "worker_id",
        "worker_ids",
        "datacenter_id",
        "uptime_seconds",
        "ids_generated",
        "window_left_ms",
        "clock_state",
        "clock_suspect",
        "clock_offset_us",
        "clock_steps",
        "store_state",
        "shards",
        "epoch_ms",
        "layout",
        "tick_ms",
        "version",
    ];
    assert_eq!(names(&body), HashSet::from(expected), "{body}");
    for (name, value) in [
        ("status", json!("healthy")),
        ("worker_id", json!(7)),
        ("worker_ids", json!([7])),
        ("datacenter_id", json!(3)),
        ("ids_generated", json!(100)),
        ("clock_suspect", json!(false)),
        ("clock_steps", json!(0)),
        ("store_state", json!("good")),
        ("shards", json!(1)),
        ("version", json!(env!("CARGO_PKG_VERSION"))),
    ] {
        assert_eq!(body[name], value, "{name} in {body}");
    }
    assert!(body["uptime_seconds"].as_u64().unwrap() < 60, "{body}");
    for (path, status) in [("/api/v1/ready", "healthy"), ("/api/v1/live", "alive")] {
        let answer = get(&server, path);
        assert_eq!((answer.status, answer.json()), (200, json!({ "status": status })));
    }
    server.stop().assert_rejects(&[]);
}

#[test]
fn metrics_come_in_the_format_that_is_asked_for() {
    let server = Server::start(&[]);
    get(&server, "/api/v1/ids?count=100");
    for (accept, content, end) in [
        ("", "text/plain", ""),
        ("Accept: application/openmetrics-text\r\n", "application/openmetrics-text", "# EOF\n"),
    ] {
        let answer = ask(&server, &request("GET", "/api/v1/metrics", accept));
        assert_eq!((answer.status, answer.header("cache-control")), (200, Some("no-store")));
        assert!(answer.header("content-type").unwrap().starts_with(content), "{answer:?}");
        let text = String::from_utf8(answer.body).unwrap();
        assert!(text.contains("coreflake_") && text.ends_with(end), "{text}");
    }
    server.stop().assert_rejects(&[]);
}

#[test]
fn head_says_what_get_would_where_it_changes_nothing() {
    let server = Server::start(&[]);
    let mut http = Http::connect(server.http());
    for path in ["health", "ready", "live", "metrics", "openapi.json", "parse?id=1"] {
        http.send(&request("HEAD", &format!("/api/v1/{path}"), ""));
        let answer = http.answer_to_head();
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.header("content-length").is_some_and(|size| size != "0"), "{answer:?}");
    }
    // The same connection is good for something else: HEAD was answered without a body.
    assert_eq!(http.ask(&request("GET", "/api/v1/live", "")).status, 200);
    server.stop().assert_rejects(&[]);
}

#[test]
fn what_a_path_does_not_have_is_named_with_what_it_has() {
    let server = Server::start(&[]);
    for (path, method, allow) in [
        ("id", "PUT", "GET, POST"),
        ("id", "DELETE", "GET, POST"),
        ("ids?count=1", "PATCH", "GET, POST"),
        ("ids?count=1", "get", "GET, POST"),
        ("ids?count=1", "BREW", "GET, POST"),
        ("health", "POST", "GET, HEAD"),
        ("parse?id=1", "OPTIONS", "GET, HEAD"),
        ("metrics", "TRACE", "GET, HEAD"),
        ("live", "POST", "GET, HEAD"),
    ] {
        let answer = ask(&server, &request(method, &format!("/api/v1/{path}"), ""));
        answer.assert_error(405, "METHOD_NOT_ALLOWED");
        assert_eq!(answer.header("allow"), Some(allow));
    }
    // HEAD would throw an ID away.
    for path in ["id", "ids?count=1"] {
        let mut http = Http::connect(server.http());
        http.send(&request("HEAD", &format!("/api/v1/{path}"), ""));
        let answer = http.answer_to_head();
        assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, POST")));
    }
    let counters = server.stop();
    counters.assert_rejects(&[("invalid_request", 11)]);
    assert_eq!(counters.get("ids"), 0);
}

/// The gateway has a lane of its own beside those of the shards.
#[test]
fn no_id_comes_through_two_doors() {
    let server = Server::start(&["--shards", "2"]);
    let mut all = Vec::new();
    let mut tcp: Vec<_> = (0..4).map(|_| Peer::connect(server.tcp)).collect();
    let mut rest: Vec<_> = (0..4).map(|_| Http::connect(server.http())).collect();
    let udp = Datagrams::connect(server.udp());
    for round in 0..50 {
        for (peer, http) in tcp.iter_mut().zip(&mut rest) {
            all.extend(peer.generate(50).into_iter().flat_map(|run| run.ids()).map(|id| id.get()));
            let target = "/api/v1/ids?count=50";
            all.extend(ids(&http.ask(&request("GET", target, "")).json()));
        }
        let reply = udp.ask(&frames::padded(frames::generate(round, 10), 600));
        all.extend(reply.runs().into_iter().flat_map(|run| run.ids()).map(|id| id.get()));
    }
    let distinct: HashSet<_> = all.iter().collect();
    assert_eq!(distinct.len(), all.len(), "an ID came twice");
    assert!(all.len() >= 50 * 4 * 100, "{}", all.len());
    server.stop().assert_rejects(&[]);
}
