//! Request targets: only what is written as the documentation writes it is there.

use crate::http::{Http, ask, get, request, survives};

#[test]
fn a_path_is_compared_as_it_is_written() {
    survives(|server| {
        for target in [
            "/",
            "//api//v1//ids?count=1",
            "//api/v1/id",
            "/api/v1/id/",
            "/api/v1/ID",
            "/api/v1/%69d",
            "/api/v1%2fid",
            "/api/v1/%2e%2e/v1/id",
            "/api/v1/../v1/id",
            "/api/v1/./id",
            "/api/v1/id;x=1",
            "/api/v1/id%00",
            "/api/v1/../../../../etc/passwd",
            "/%2e%2e/%2e%2e/etc/passwd",
            "/api/v2/id",
            "/metrics",
        ] {
            let text = get(server, target).assert_error(404, "NOT_FOUND");
            assert!(text.contains(target.split('?').next().unwrap()), "{text}");
        }
        // However long it is, the reply is not.
        let long = format!("/{}", "%41".repeat(2_000));
        get(server, &long).assert_error(404, "NOT_FOUND");
    });
}

/// RFC 9112 §3.2.2: a server must accept it.
#[test]
fn an_absolute_target_is_its_path() {
    survives(|server| {
        for target in ["http://localhost/api/v1/id", "https://other.example:1/api/v1/ids?count=2"] {
            assert_eq!(get(server, target).status, 200, "{target}");
        }
        get(server, "http://localhost/api/v1/../id").assert_error(404, "NOT_FOUND");
    });
}

#[test]
fn a_target_that_is_no_path_is_not_there() {
    survives(|server| {
        for (method, target) in [("OPTIONS", "*"), ("CONNECT", "localhost:443")] {
            ask(server, &request(method, target, "")).assert_error(404, "NOT_FOUND");
        }
        for target in ["http:///api/v1/id", "/api/v1/id?<>", "/api/v1/id x", "\\api", "/\u{7f}"] {
            let mut http = Http::connect(server.http());
            http.send(&request("GET", target, ""));
            http.expect_last(400);
        }
    });
}
