//! What Prometheus' own tool says of our pages and files.

use std::process::Command;

use crate::common::{Server, feed};
use crate::doors;
use crate::http;
use crate::page::{self, OPEN_METRICS, TEXT};
use crate::prometheus::deployed;

#[track_caller]
fn promtool(args: &[&str], input: &str) {
    let known = Command::new("promtool").arg("--version").output();
    assert!(known.is_ok(), "promtool is missing: install the package prometheus");
    let folder = deployed("prometheus");
    let done = feed(Command::new("promtool").args(args).current_dir(folder), input.as_bytes());
    assert_eq!(done.status.code(), Some(0), "{done:?}");
}

#[test]
fn the_page_is_as_prometheus_wants_it() {
    let server = Server::start(&[]);
    promtool(&["check", "metrics"], &page::fetch(server.http(), TEXT));
    doors::ask_all(&server);
    promtool(&["check", "metrics"], &page::fetch(server.http(), TEXT));
    server.stop();
}

#[test]
fn the_page_has_the_format_that_is_asked_for() {
    let server = Server::start(&[]);
    let text = http::get(server.http(), page::PATH, TEXT);
    assert!(text.head.contains("content-type: text/plain; version=0.0.4"), "{}", text.head);
    assert!(text.body.ends_with('\n') && !text.body.contains("# EOF"), "{}", text.body);
    let open = http::get(server.http(), page::PATH, OPEN_METRICS);
    let kind = "content-type: application/openmetrics-text; version=1.0.0";
    assert!(open.head.contains(kind), "{}", open.head);
    assert!(open.body.ends_with("\n# EOF\n"), "{}", open.body);
    server.stop();
}

#[test]
fn the_rules_are_rules_and_the_example_is_a_configuration() {
    promtool(&["check", "rules", "coreflake.rules.yml"], "");
    promtool(&["check", "config", "prometheus.yml"], "");
}

#[test]
fn every_alert_fires_beyond_its_threshold_and_not_below() {
    promtool(&["test", "rules", "coreflake.test.yml"], "");
}
