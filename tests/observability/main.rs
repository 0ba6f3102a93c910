//! What a server tells of itself, read as its operators read it: by a real Prometheus, with the
//! alerts, the dashboard and the document that come with it.

#![allow(missing_docs, clippy::unwrap_used)]

#[allow(dead_code, unused_imports)] // The helpers of another test.
#[path = "../integration/common/mod.rs"]
mod common;
#[allow(dead_code)] // As above.
#[path = "../ntp/fake.rs"]
mod fake;
#[allow(dead_code)] // As above.
#[path = "../clock/faked.rs"]
mod faked;

mod alerts;
mod dashboard;
mod document;
mod doors;
mod greed;
mod http;
mod page;
mod prometheus;
mod promtool;
mod queries;
