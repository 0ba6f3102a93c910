//! Header fields: too long, too many, without end, and with what does not belong there.

use std::thread;
use std::time::{Duration, Instant};

use crate::common::{PATIENCE, Server, pause};
use crate::http::{Http, ask, flood, request, survives};

const LIVE: &str = "/api/v1/live";

/// Checks that these bytes are answered with `status` and the end of the connection.
#[track_caller]
fn ends(server: &Server, bytes: &[u8], status: u16) {
    let mut http = Http::connect(server.http());
    // What it does not read it does not want.
    http.send_some(bytes);
    http.expect_last(status);
}

#[test]
fn a_header_of_1_mib_is_too_long() {
    survives(|server| {
        let head = b"GET /api/v1/live HTTP/1.1\r\nHost: localhost\r\nX: ";
        let mut http = flood(server, head, &[b'a'; 16 * 1_024], 64);
        http.expect_last(431);
        ends(server, &request("GET", LIVE, &format!("X: {}\r\n", "a".repeat(8_192))), 431);
        ends(server, &request("GET", &format!("{LIVE}?{}", "a".repeat(8_192)), ""), 431);
        // Nor does it matter that no line ends.
        ends(server, &b"G".repeat(8_193), 431);
        let largest = format!("X: {}\r\n", "a".repeat(8_000));
        assert_eq!(ask(server, &request("GET", LIVE, &largest)).status, 200);
    });
}

#[test]
fn ten_thousand_headers_are_too_many() {
    survives(|server| {
        ends(server, &request("GET", LIVE, &"X: a\r\n".repeat(10_000)), 431);
        ends(server, &request("GET", LIVE, &"X: a\r\n".repeat(64)), 431);
        assert_eq!(ask(server, &request("GET", LIVE, &"X: a\r\n".repeat(63))).status, 200);
    });
}

/// Five seconds from the first byte, and not from the last one.
#[test]
fn a_header_that_never_ends_ends_the_connection() {
    survives(|server| {
        let address = server.http();
        thread::scope(|scope| {
            for begin in [&b"GET /api/v1/id HTT"[..], b"GET /api/v1/id HTTP/1.1\r\n", b"\r\n"] {
                scope.spawn(move || {
                    let start = Instant::now();
                    let mut silent = Http::connect(address);
                    silent.send(begin);
                    // Whoever has sent nothing yet has ten seconds.
                    silent.expect_closed_between(start, 4.9, 9.5);
                });
            }
            scope.spawn(|| {
                let start = Instant::now();
                let mut trickling = Http::connect(address);
                trickling.send(b"GET /api/v1/id HTTP/1.1\r\nX: ");
                while start.elapsed() < PATIENCE && trickling.send_some(b"a") {
                    pause(Duration::from_millis(100));
                }
                trickling.expect_closed_between(start, 4.9, 9.5);
            });
            // It is about requests that have begun: this one has been answered, and rests.
            let mut resting = Http::connect(address);
            assert_eq!(resting.ask(&request("GET", LIVE, "")).status, 200);
            pause(Duration::from_millis(5_500));
            assert_eq!(resting.ask(&request("GET", LIVE, "")).status, 200);
        });
    });
}

/// The reply to a request is not held back by the beginning of the next one.
#[test]
fn a_slow_request_delays_no_reply_before_it() {
    survives(|server| {
        let mut http = Http::connect(server.http());
        let start = Instant::now();
        http.send(&[&request("GET", LIVE, "")[..], b"GET /api/v1/li"].concat());
        assert_eq!(http.answer().status, 200);
        assert!(start.elapsed().as_secs_f64() < 4.0, "{:?}", start.elapsed());
        http.send(b"ve HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert_eq!(http.answer().status, 200);
    });
}

#[test]
fn a_line_end_in_the_wrong_place_makes_no_header() {
    survives(|server| {
        for headers in ["X: a\rY: b\r\n", "X: a\r\n b\r\n", "X : a\r\n", ": a\r\n", "X\r\n"] {
            ends(server, &request("GET", LIVE, headers), 400);
        }
        // Escaped, it is a character like any other.
        for target in ["/api/v1/ids?count=1%0d%0aX-Bad:%201", "/no%0d%0aX-Bad:%201"] {
            let answer = ask(server, &request("GET", target, ""));
            assert!((400..=404).contains(&answer.status), "{answer:?}");
            assert!(answer.headers().all(|name| name != "x-bad"), "{answer:?}");
            answer.json();
        }
    });
}

#[test]
fn a_nul_ends_the_connection() {
    survives(|server| {
        for bytes in [
            &request("GET", LIVE, "X: a\0b\r\n")[..],
            &request("GET", LIVE, "X\0: a\r\n"),
            &request("GET", "/api/v1/live\0", ""),
            &request("GE\0T", LIVE, ""),
            &[0; 100],
        ] {
            ends(server, bytes, 400);
        }
    });
}

/// RFC 9112 §3.2.
#[test]
fn a_request_names_exactly_one_host() {
    survives(|server| {
        for hosts in
            ["", "Host: a\r\nHost: a\r\n", "Host: a b\r\n", "Host: a/b\r\n", "Host: \u{e9}\r\n"]
        {
            for path in [LIVE, "/api/v1/id", "/nothing"] {
                let request = format!("GET {path} HTTP/1.1\r\n{hosts}\r\n");
                ask(server, request.as_bytes()).assert_error(400, "INVALID_HOST");
            }
        }
        for host in ["", "localhost", "[::1]:80", "other.example"] {
            let request = format!("GET {LIVE} HTTP/1.1\r\nHost: {host}\r\n\r\n");
            assert_eq!(ask(server, request.as_bytes()).status, 200, "{host}");
        }
    });
}

#[test]
fn a_reply_is_json_whatever_is_accepted() {
    survives(|server| {
        for accept in ["text/html", "application/xml, */*;q=0", "image/*", "\u{e9}"] {
            let headers =
                format!("Accept: {accept}\r\nAccept-Encoding: br, gzip, identity;q=0\r\n");
            let answer = ask(server, &request("GET", "/api/v1/id", &headers));
            assert_eq!(answer.status, 200);
            assert!(answer.json()["id"].is_u64());
        }
    });
}

#[test]
fn a_body_that_is_announced_is_asked_for_unless_it_is_too_long() {
    survives(|server| {
        let expect = "Content-Type: application/json\r\nExpect: 100-continue\r\n";
        let mut http = Http::connect(server.http());
        http.send(&request("POST", "/api/v1/ids", &format!("{expect}Content-Length: 11\r\n")));
        assert_eq!(http.answer().status, 100);
        assert_eq!(http.ask(br#"{"count":1}"#).status, 200);

        let mut http = Http::connect(server.http());
        http.send(&request("POST", "/api/v1/ids", &format!("{expect}Content-Length: 9999999\r\n")));
        http.answer().assert_error(413, "BODY_SIZE");
        http.expect_closed();
    });
}

/// An upgrade is an offer; here nobody takes it.
#[test]
fn an_upgrade_is_not_taken() {
    survives(|server| {
        for headers in [
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
            "Connection: Upgrade\r\nUpgrade: websocket\r\n",
        ] {
            let mut http = Http::connect(server.http());
            for _ in 0..2 {
                let answer = http.ask(&request("GET", "/api/v1/id", headers));
                assert_eq!((answer.status, answer.header("upgrade")), (200, None));
            }
        }
    });
}
