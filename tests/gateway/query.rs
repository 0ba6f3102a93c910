//! Query strings that make no sense.

use crate::common::Server;
use crate::http::{assert_serves, get};

/// Checks that `target` is refused with this code and a text that holds `word`.
#[track_caller]
fn refused(server: &Server, target: &str, code: &str, word: &str) {
    let text = get(server, target).assert_error(400, code);
    assert!(text.contains(word), "{target}: `{word}` is not said: {text}");
}

#[test]
fn a_count_that_is_none_is_named() {
    let server = Server::start(&[]);
    let long = "9".repeat(5_000);
    let wrong = [
        "",
        "abc",
        "-1",
        "0",
        "4097",
        "1e9",
        "1000000000",
        "99999999999999999999",
        // Digits of another script, as they are and escaped.
        "１２",
        "%EF%BC%91",
        "+5",
        "%2B5",
        "%205",
        "5%20",
        "1.0",
        "0x10",
        "%zz",
        "%ff",
        "1%00",
        "18446744073709551617",
        "4294967297",
        "1_000",
        "[]",
        "null",
        &long,
    ];
    for count in wrong {
        refused(&server, &format!("/api/v1/ids?count={count}"), "INVALID_COUNT", "count");
    }
    refused(&server, "/api/v1/ids", "INVALID_COUNT", "count is missing");
    refused(&server, "/api/v1/ids?kind=snowflake", "INVALID_COUNT", "count is missing");
    assert_serves(&server);
    let counters = server.stop();
    counters.assert_rejects(&[("invalid_count", u64::try_from(wrong.len()).unwrap() + 2)]);
    assert_eq!(counters.get("ids"), 1);
}

#[test]
fn an_unknown_kind_is_answered_with_the_known_ones() {
    let server = Server::start(&[]);
    let kinds = ["uuid", "", "Snowflake", "snowflake%00", "snow+flake", "%0d%0aX-Bad:%201"];
    for kind in kinds {
        for path in ["id?", "ids?count=1&", "parse?id=1&"] {
            let target = format!("/api/v1/{path}kind={kind}");
            refused(
                &server,
                &target,
                "UNKNOWN_KIND",
                "the kinds are `snowflake`, `instagram`, `uuid1`, `ulid`, `uuid7`",
            );
        }
    }
    assert_serves(&server);
    server.stop().assert_rejects(&[("unknown_kind", 18)]);
}

#[test]
fn a_parameter_comes_once() {
    let server = Server::start(&[]);
    for target in [
        "ids?count=1&count=1",
        "ids?count=1&count=2",
        "ids?count=1&%63ount=1",
        "id?kind=snowflake&kind=snowflake",
        "parse?id=1&id=2",
    ] {
        refused(&server, &format!("/api/v1/{target}"), "INVALID_PARAMETER", "given twice");
    }
    assert_serves(&server);
    server.stop().assert_rejects(&[("invalid_request", 5)]);
}

#[test]
fn an_unknown_parameter_is_named_and_cut_short() {
    let server = Server::start(&[]);
    let long = "a".repeat(6_000);
    for (target, word) in [
        ("id?count=1", "count"),
        ("ids?count=1&x=1", "x"),
        ("ids?Count=1", "Count"),
        ("ids?count[]=1", "count[]"),
        ("ids?=1", "``"),
        ("parse?id=1&%00=1", "\\0"),
        (&format!("id?{long}"), "aaaa"),
    ] {
        refused(&server, &format!("/api/v1/{target}"), "INVALID_PARAMETER", word);
    }
    assert_serves(&server);
    server.stop().assert_rejects(&[("invalid_request", 7)]);
}

#[test]
fn an_id_that_is_none_is_named() {
    let server = Server::start(&[]);
    let long = "1".repeat(6_000);
    let wrong = [
        "",
        "abc",
        "-1",
        "+1",
        "%201",
        "１",
        "9223372036854775808",
        "99999999999999999999",
        "1e3",
        "01ARZ3NDEKTSV4RRFFQ69G5FAU",
        "8ZZZZZZZZZZZZZZZZZZZZZZZZZ",
        "919108f7-52d1-4320-9bac-f847db4148a8",
        "00000000-0000-0000-0000-000000000000",
        "c232ab00-9414-11ec-b3c8-9f6bdeced84",
        "AzL8n0Y58m7",
        "7ZZZZZZZZZZZZZZZZZZZZZZZZZ1",
        "0x1",
        "1%00",
        &long,
    ];
    for id in wrong {
        refused(&server, &format!("/api/v1/parse?id={id}"), "INVALID_ID", "id");
    }
    refused(&server, "/api/v1/parse", "INVALID_ID", "id is missing");
    assert_serves(&server);
    server.stop().assert_rejects(&[("invalid_id", u64::try_from(wrong.len()).unwrap() + 1)]);
}
