//! The gateway: REST, gRPC, health and metrics, on threads of their own.
//!
//! A gateway thread has a lane like a shard, so its IDs need nobody's leave; and because it is not
//! a shard, slow JSON and a scrape of the metrics disturb nobody's latency.
//!
//! [`generator`] is the application; [`rest`] and [`grpc`] are what it looks like from outside;
//! [`door`] moves bytes.

mod deadline;
mod desk;
mod door;
mod generator;
mod grpc;
mod guard;
mod openapi;
mod rest;
mod stream;
mod thread;

pub(crate) use thread::{Doors, GatewaySeed};
