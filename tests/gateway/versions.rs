//! Other versions of HTTP, and what is no HTTP at all.

use crate::common::frames as binary;
use crate::http::{Http, request, survives};

/// What opens an HTTP/2 connection (RFC 9113 §3.4).
const HTTP_2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

#[test]
fn http_1_0_is_answered_and_closed() {
    survives(|server| {
        let mut http = Http::connect(server.http());
        http.send(b"GET /api/v1/id HTTP/1.0\r\n\r\n");
        assert!(http.expect_last(200).json()["id"].is_u64());
    });
}

/// A version that is not spoken could be 505; the parser of hyper does not tell it from nonsense.
#[test]
fn other_versions_end_the_connection() {
    survives(|server| {
        for version in ["HTTP/0.9", "HTTP/1.2", "HTTP/2.0", "HTTP/3.0", "HTTP/1", "http/1.1", "X"] {
            let mut http = Http::connect(server.http());
            http.send(format!("GET /api/v1/id {version}\r\nHost: localhost\r\n\r\n").as_bytes());
            http.expect_last(400);
        }
        // HTTP/0.9 as it was.
        let mut http = Http::connect(server.http());
        http.send(b"GET /api/v1/id\r\n");
        http.expect_last(400);
    });
}

#[test]
fn http_2_belongs_to_another_port() {
    survives(|server| {
        let mut http = Http::connect(server.http());
        http.send(HTTP_2);
        http.expect_closed();
    });
}

#[test]
fn what_is_no_http_ends_the_connection() {
    survives(|server| {
        let mut hello = b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03".to_vec();
        hello.extend_from_slice(&[0x55; 155]);
        let random: Vec<_> = std::iter::repeat_with(|| fastrand::u8(128..)).take(4_096).collect();
        for bytes in [&hello[..], b"SSH-2.0-x\r\n", &binary::generate(1, 1), &random] {
            let mut http = Http::connect(server.http());
            http.send_some(bytes);
            http.expect_last(400);
        }
    });
}

#[test]
fn whoever_leaves_in_the_middle_is_forgotten() {
    survives(|server| {
        let whole = request("POST", "/api/v1/ids?count=4096", "Content-Length: 2\r\n");
        for size in [0, 1, 20, whole.len() - 1, whole.len()] {
            for _ in 0..20 {
                let mut http = Http::connect(server.http());
                http.send(&whole[..size]);
                http.reset();
            }
            let mut http = Http::connect(server.http());
            http.send(&whole[..size]);
            http.finish();
            let answer = http.try_answer(true);
            assert!(answer.is_none_or(|answer| answer.status == 400));
        }
        // In the middle of replies, too.
        for _ in 0..20 {
            let mut http = Http::connect(server.http());
            http.send(&request("GET", "/api/v1/ids?count=4096", "").repeat(10));
            http.reset();
        }
    });
}

#[test]
fn whoever_has_asked_and_says_no_more_is_answered() {
    survives(|server| {
        let mut http = Http::connect(server.http());
        http.send(&request("GET", "/api/v1/ids?count=4096", ""));
        http.finish();
        http.expect_last(200);
    });
}
