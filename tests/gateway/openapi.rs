//! The OpenAPI document says what the router does.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::common::Server;
use crate::http::{Http, get, request};

const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

fn document(server: &Server) -> Value {
    let answer = get(server, "/api/v1/openapi.json");
    assert_eq!(answer.status, 200);
    answer.json()
}

/// The paths that the source of the router names.
fn routes() -> BTreeSet<String> {
    let source = include_str!("../../src/gateway/rest/mod.rs");
    let quoted = source.split('"').skip(1).step_by(2);
    quoted.filter(|text| text.starts_with("/api/")).map(str::to_owned).collect()
}

#[test]
fn the_document_is_openapi_3_1() {
    let server = Server::start(&[]);
    let document = document(&server);
    let version = document["openapi"].as_str().unwrap();
    assert!(version.starts_with("3.1."), "{version}");
    assert_eq!(document["info"]["title"], "coreflake");
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    server.stop();
}

#[test]
fn the_document_names_every_path_of_the_router_and_no_other() {
    let server = Server::start(&[]);
    let document = document(&server);
    let documented: BTreeSet<_> = document["paths"].as_object().unwrap().keys().cloned().collect();
    assert!(documented.len() >= 8, "{documented:?}");
    assert_eq!(documented, routes());
    server.stop();
}

/// HEAD is left out: OpenAPI documents it beside GET only where it differs.
#[test]
fn the_document_names_every_method_of_every_path() {
    let server = Server::start(&[]);
    for (path, operations) in document(&server)["paths"].as_object().unwrap() {
        let mut http = Http::connect(server.http());
        let allowed = http.ask(&request("PUT", path, ""));
        allowed.assert_error(405, "METHOD_NOT_ALLOWED");
        let allowed: BTreeSet<_> =
            allowed.header("allow").unwrap().split(", ").map(str::to_lowercase).collect();
        let documented: BTreeSet<_> = operations
            .as_object()
            .unwrap()
            .keys()
            .filter(|name| METHODS.contains(&name.as_str()))
            .cloned()
            .collect();
        let missing: Vec<_> =
            allowed.difference(&documented).filter(|name| *name != "head").collect();
        assert!(missing.is_empty() && documented.is_subset(&allowed), "{path}: {documented:?}");
        for (method, operation) in operations.as_object().unwrap() {
            assert!(operation["responses"]["200"].is_object(), "{method} {path}");
            assert!(operation["summary"].is_string(), "{method} {path}");
        }
    }
    server.stop();
}
