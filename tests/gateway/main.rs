//! The gateway of the real server: REST and gRPC against peers that behave well and peers that do
//! not, and against clients in another language.

#![allow(missing_docs, clippy::unwrap_used)]

#[allow(dead_code, unused_imports)] // Shared with another binary, which uses the rest.
#[path = "../integration/common/mod.rs"]
mod common;
#[allow(dead_code)] // As above.
#[path = "../clock/faked.rs"]
mod faked;

mod bodies;
mod channel;
mod doors;
mod frames;
mod grpc;
mod grpc_faults;
mod grpc_wire;
mod heads;
mod http;
mod kinds;
mod openapi;
mod pipes;
mod python;
mod query;
mod refusing;
mod rest;
mod targets;
mod token;
mod versions;
