//! Real servers whose clock, disk and time servers misbehave: no ID comes twice, nothing is issued
//! above what is durable, and what can be served is served.

#![allow(missing_docs, clippy::unwrap_used)]

#[allow(dead_code, unused_imports)] // The helpers of another test.
#[path = "../integration/common/mod.rs"]
mod common;
#[allow(dead_code)] // As above.
#[path = "../ntp/fake.rs"]
mod fake;

mod drift;
mod faked;
mod inject;
mod load;
mod order;
mod restart;
mod step;
mod strace;
mod suspect;
mod trace;
