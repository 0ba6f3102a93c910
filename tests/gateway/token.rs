//! Where a token is required, and where not.

use crate::common::{Scratch, Server};
use crate::http::{Answer, ask, get, post, request};

const GUARDED: [&str; 5] = ["id", "ids?count=1", "parse?id=1", "health", "metrics"];
const OPEN: [&str; 3] = ["ready", "live", "openapi.json"];

fn start(scratch: &Scratch) -> Server {
    let file = scratch.file("tokens", 0o600, b"first-token\n\n  second token \r\n");
    Server::start(&["--auth-token-file", &file, "--udp-allow", "none"])
}

fn show(server: &Server, path: &str, authorization: &str) -> Answer {
    let header = format!("Authorization: {authorization}\r\n");
    ask(server, &request("GET", &format!("/api/v1/{path}"), &header))
}

#[track_caller]
fn assert_unauthenticated(answer: &Answer) {
    let text = answer.assert_error(401, "UNAUTHENTICATED");
    assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    assert!(text.contains("Authorization: Bearer"), "{text}");
}

#[test]
fn without_a_token_nothing_about_ids_is_told() {
    let scratch = Scratch::new("gateway-token-without");
    let server = start(&scratch);
    for path in GUARDED {
        assert_unauthenticated(&get(&server, &format!("/api/v1/{path}")));
    }
    assert_unauthenticated(&ask(&server, &post("/api/v1/ids", br#"{"count":1}"#)));
    // Nor does a mistake tell whether it is one.
    assert_unauthenticated(&get(&server, "/api/v1/ids?count=0"));
    for path in OPEN {
        assert_eq!(get(&server, &format!("/api/v1/{path}")).status, 200, "{path}");
    }
    let counters = server.stop();
    counters.assert_rejects(&[("unauthenticated", 7)]);
    assert_eq!(counters.get("ids"), 0);
}

#[test]
fn each_token_opens_every_path() {
    let scratch = Scratch::new("gateway-token-right");
    let server = start(&scratch);
    for token in ["Bearer first-token", "bearer second token", "BEARER  first-token"] {
        for path in GUARDED.iter().chain(&OPEN) {
            assert_eq!(show(&server, path, token).status, 200, "{path}");
        }
    }
    server.stop().assert_rejects(&[]);
}

#[test]
fn a_wrong_token_opens_nothing_and_is_not_logged() {
    let scratch = Scratch::new("gateway-token-wrong");
    let server = start(&scratch);
    let long = format!("Bearer {}", "x".repeat(7_000));
    let wrong = [
        "",
        "Bearer",
        "Bearer ",
        "Bearer first-toke",
        "Bearer first-token1",
        "Bearer First-token",
        "Bearer first-token, Bearer second token",
        "Basic Zmlyc3QtdG9rZW46",
        "first-token",
        "Bearer\tfirst-token",
        "Bearer wrong-\u{e9}",
        &long,
    ];
    for authorization in wrong {
        assert_unauthenticated(&show(&server, "id", authorization));
    }
    server.signal(rustix::process::Signal::TERM);
    let ended = server.wait();
    let count = u64::try_from(wrong.len()).unwrap();
    ended.assert_clean().assert_rejects(&[("unauthenticated", count)]);
    let log = ended.log.join("\n");
    assert!(!["first-token", "second token", "wrong-"].iter().any(|text| log.contains(text)));
}
