//! Bodies that are too long, that lie about their length, and that are no JSON.

use std::time::Instant;

use crate::common::Server;
use crate::http::{Http, ask, flood, post, request, survives};

const JSON: &str = "Content-Type: application/json\r\n";
const CHUNKED: &str = "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n";
const IDS: &str = "/api/v1/ids";
/// What `BODY` says in 11 bytes.
const BODY: &[u8] = br#"{"count":1}"#;

/// A POST with these headers, and `body` behind it whatever they say.
fn with(headers: &str, body: &[u8]) -> Vec<u8> {
    [&request("POST", IDS, headers)[..], body].concat()
}

/// Checks that a request of this framing is answered with `status`, and that the connection ends:
/// nobody knows where the next request would begin.
#[track_caller]
fn ends(server: &Server, headers: &str, body: &[u8], status: u16) {
    let mut http = Http::connect(server.http());
    http.send(&with(headers, body));
    http.expect_last(status);
}

#[test]
fn a_body_of_10_mib_is_too_long() {
    survives(|server| {
        let head = with(&format!("{JSON}Content-Length: 10485760\r\n"), b"");
        let mut http = flood(server, &head, &[b' '; 64 * 1_024], 160);
        http.answer().assert_error(413, "BODY_SIZE");
        http.expect_closed();
    });
}

/// The answer does not wait for bytes that would be thrown away.
#[test]
fn a_length_beyond_the_limit_is_refused_before_the_body_comes() {
    survives(|server| {
        for length in ["4097", "99999999999", "18446744073709551613"] {
            let headers = format!("{JSON}Content-Length: {length}\r\n");
            let answer = ask(server, &with(&headers, b""));
            answer.assert_error(413, "BODY_SIZE");
        }
        // The largest that is read, to the last byte.
        let mut largest = BODY.to_vec();
        largest.resize(4_096, b' ');
        assert_eq!(ask(server, &post(IDS, &largest)).status, 200);
        largest.push(b' ');
        ask(server, &post(IDS, &largest)).assert_error(413, "BODY_SIZE");
    });
}

#[test]
fn a_length_that_is_no_number_ends_the_connection() {
    survives(|server| {
        for length in ["-1", "+11", "0x0b", "1 1", "99999999999999999999999", "", "11,", "１１"] {
            ends(server, &format!("{JSON}Content-Length: {length}\r\n"), BODY, 400);
        }
    });
}

#[test]
fn two_lengths_that_differ_end_the_connection() {
    survives(|server| {
        for (one, other) in [("11", "12"), ("0", "11"), ("11", "11, 12")] {
            let headers = format!("{JSON}Content-Length: {one}\r\nContent-Length: {other}\r\n");
            ends(server, &headers, BODY, 400);
        }
    });
}

/// RFC 9112 §6.1: the transfer coding counts, and the connection must end: what one of the two
/// hides must not be taken for another request.
#[test]
fn a_length_beside_chunks_hides_no_second_request() {
    survives(|server| {
        let hidden = request("GET", "/api/v1/live", "");
        let body = [&b"b\r\n{\"count\":1}\r\n0\r\n\r\n"[..], &hidden].concat();
        for headers in [
            format!("Content-Length: 11\r\n{CHUNKED}"),
            format!("{CHUNKED}Content-Length: 11\r\n"),
            format!("{CHUNKED}Content-Length: {}\r\n", body.len()),
        ] {
            let mut http = Http::connect(server.http());
            http.send(&with(&headers, &body));
            let answer = http.expect_last(200);
            assert_eq!(answer.header("connection"), Some("close"));
        }
    });
}

#[test]
fn chunks_come_in_any_size_up_to_the_limit() {
    survives(|server| {
        for body in [
            &b"b\r\n{\"count\":1}\r\n0\r\n\r\n"[..],
            b"1\r\n{\r\n00a;x=y\r\n\"count\":1}\r\n0\r\n\r\n",
            b"B\r\n{\"count\":1}\r\n0\r\nTrailer: x\r\n\r\n",
        ] {
            assert_eq!(ask(server, &with(CHUNKED, body)).status, 200);
        }
    });
}

#[test]
fn a_chunk_size_that_overflows_ends_the_connection() {
    survives(|server| {
        for size in ["fffffffffffffffff", "10000000000000000", "-1", "zz", "", "0x1", "1 1"] {
            let mut http = Http::connect(server.http());
            http.send(&with(CHUNKED, format!("{size}\r\n{{").as_bytes()));
            http.answer().assert_error(400, "INVALID_BODY");
            http.expect_closed();
        }
        // It fits, and is too much before anything of it has come.
        let mut http = flood(server, &with(CHUNKED, b"fffffffffffffff0\r\n"), &[b' '; 5_000], 1);
        http.answer().assert_error(413, "BODY_SIZE");
        http.expect_closed();
    });
}

#[test]
fn chunks_without_end_are_too_much() {
    survives(|server| {
        let chunks = b"1\r\n \r\n".repeat(1_000);
        let mut http = flood(server, &with(CHUNKED, b""), &chunks, 1_000);
        http.answer().assert_error(413, "BODY_SIZE");
        http.expect_closed();
        // What is in them does not count: what comes with them does.
        for endless in
            [&b"1;aaaaaaaaaaaaaaaaaaaaaaaaaaa"[..], b"0\r\naaaaaaa: bbbbbbbbbbbbbbbb\r\n"]
        {
            let mut http = flood(server, &with(CHUNKED, endless), &[b'a'; 64 * 1_024], 100);
            http.answer().assert_error(400, "INVALID_BODY");
            http.expect_closed();
        }
    });
}

/// A body that nobody reads must not keep the connection for ever either.
#[test]
fn a_body_that_is_not_asked_for_ends_the_connection_when_it_is_long() {
    survives(|server| {
        for (method, target, status) in
            [("GET", "/api/v1/live", 200), ("POST", "/nothing", 404), ("PUT", "/api/v1/id", 405)]
        {
            let head = request(method, target, "Transfer-Encoding: chunked\r\n");
            let mut http = flood(server, &head, &b"1\r\n \r\n".repeat(1_000), 1_000);
            http.expect_last(status);
        }
        // A short one is passed over.
        let mut http = Http::connect(server.http());
        for _ in 0..2 {
            http.send(
                &[&request("GET", "/api/v1/live", "Content-Length: 5\r\n")[..], b"12345"].concat(),
            );
            assert_eq!(http.answer().status, 200);
        }
    });
}

#[test]
fn a_body_that_does_not_come_ends_the_connection() {
    survives(|server| {
        let start = Instant::now();
        let mut http = Http::connect(server.http());
        http.send(&with(&format!("{JSON}Content-Length: 11\r\n"), b"{\"co"));
        http.answer().assert_error(408, "REQUEST_TIMEOUT");
        let seconds = start.elapsed().as_secs_f64();
        assert!((3.9..9.5).contains(&seconds), "after {seconds} s");
        http.expect_closed();
    });
}

/// Something has been sent meanwhile: the reply to an earlier request, or that the body may come.
#[test]
fn a_body_that_does_not_come_behind_a_reply_ends_the_connection_too() {
    survives(|server| {
        let head = with(&format!("{JSON}Content-Length: 11\r\n"), b"");
        let mut behind = Http::connect(server.http());
        behind.send(&[request("GET", "/api/v1/id", ""), head].concat());
        let mut invited = Http::connect(server.http());
        let expect = format!("{JSON}Content-Length: 11\r\nExpect: 100-continue\r\n");
        invited.send(&with(&expect, b""));
        let start = Instant::now();
        for (http, first) in [(&mut behind, 200), (&mut invited, 100)] {
            assert_eq!(http.answer().status, first);
            http.answer().assert_error(408, "REQUEST_TIMEOUT");
            http.expect_closed();
        }
        let seconds = start.elapsed().as_secs_f64();
        assert!((3.9..9.5).contains(&seconds), "after {seconds} s");
    });
}

/// Checks that this is no body for IDs.
#[track_caller]
fn no_body(server: &Server, body: &[u8]) {
    let text = ask(server, &post(IDS, body)).assert_error(400, "INVALID_BODY");
    assert!(text.starts_with("body: "), "{text}");
}

#[test]
fn what_is_no_json_is_refused() {
    survives(|server| {
        let bodies: [&[u8]; 14] = [
            b"{",
            b"count=1",
            b"{\"count\":1}x",
            b"{\"count\":1}{\"count\":1}",
            b"{'count':1}",
            b"{\"count\":1,}",
            b"{\"count\":01}",
            b"{\"count\":+1}",
            b"{\"count\":NaN}",
            b" ",
            b"{\"count\":1e400}",
            b"{\"count\":1/*x*/}",
            b"{\"count\":\"\\ud800\"}",
            b"\0\0\0",
        ];
        for body in bodies {
            no_body(server, body);
        }
    });
}

#[test]
fn json_of_another_shape_is_refused() {
    survives(|server| {
        let bodies: [&[u8]; 18] = [
            b"null",
            b"1",
            b"\"count\"",
            b"[]",
            b"[1]",
            b"[1,\"snowflake\"]",
            b"[null,null]",
            b"{\"count\":\"1\"}",
            b"{\"count\":-1}",
            b"{\"count\":-0.0}",
            b"{\"count\":1.5}",
            b"{\"count\":true}",
            b"{\"count\":[1]}",
            b"{\"count\":1,\"kind\":1}",
            b"{\"count\":1,\"kind\":[\"snowflake\"]}",
            b"{\"count\":18446744073709551616}",
            b"{\"count\":null}",
            b"{\"count\":1,\"kind\":null}",
        ];
        for body in bodies {
            no_body(server, body);
        }
        ask(server, &post("/api/v1/id", b"[\"snowflake\"]")).assert_error(400, "INVALID_BODY");
        for count in ["3.0", "3e0", "0.3e1", "30e-1"] {
            let body = format!("{{\"count\":{count}}}");
            assert_eq!(ask(server, &post(IDS, body.as_bytes())).status, 200, "{count}");
        }
        for count in ["0", "4097", "1e9", "18446744073709551615"] {
            let body = format!("{{\"count\":{count}}}");
            ask(server, &post(IDS, body.as_bytes())).assert_error(400, "INVALID_COUNT");
        }
        let kind = ask(server, &post(IDS, br#"{"count":1,"kind":"uuid"}"#));
        kind.assert_error(400, "UNKNOWN_KIND");
    });
}

#[test]
fn ten_thousand_brackets_are_too_many() {
    survives(|server| {
        ask(server, &post(IDS, &b"[".repeat(10_000))).assert_error(413, "BODY_SIZE");
        no_body(server, &b"[".repeat(4_000));
        no_body(server, &b"{\"count\":".repeat(400));
        no_body(server, &[&b"{\"count\":"[..], &b"[".repeat(4_000)].concat());
    });
}

#[test]
fn a_field_comes_once() {
    survives(|server| {
        no_body(server, br#"{"count":1,"count":1}"#);
        no_body(server, br#"{"count":1,"\u0063ount":2}"#);
        no_body(server, br#"{"kind":"snowflake","count":1,"kind":"snowflake"}"#);
    });
}

#[test]
fn an_unknown_field_is_named() {
    survives(|server| {
        let text = ask(server, &post(IDS, br#"{"cuont":1}"#)).assert_error(400, "INVALID_BODY");
        assert!(text.contains("cuont") && text.contains("count"), "{text}");
        no_body(server, br#"{"count":1,"":1}"#);
        no_body(server, br#"{"count":1,"Count":1}"#);
        ask(server, &post("/api/v1/id", br#"{"count":1}"#)).assert_error(400, "INVALID_BODY");
    });
}

#[test]
fn json_is_utf_8_without_a_mark() {
    survives(|server| {
        no_body(server, b"\xef\xbb\xbf{\"count\":1}");
        no_body(server, b"{\"count\":1,\"kind\":\"\xff\"}");
        no_body(server, b"{\"count\":1,\"kind\":\"\xc0\xaf\"}");
        let wide: Vec<_> = "{\"count\":1}".encode_utf16().flat_map(u16::to_le_bytes).collect();
        no_body(server, &wide);
    });
}

#[test]
fn a_body_says_that_it_is_json() {
    survives(|server| {
        for content in ["", "Content-Type: text/plain\r\n", "Content-Type: application/jsonx\r\n"] {
            let answer = ask(server, &with(&format!("{content}Content-Length: 11\r\n"), BODY));
            answer.assert_error(415, "UNSUPPORTED_MEDIA_TYPE");
        }
        let utf_8 = "Content-Type: Application/JSON; charset=utf-8\r\nContent-Length: 11\r\n";
        assert_eq!(ask(server, &with(utf_8, BODY)).status, 200);
    });
}
