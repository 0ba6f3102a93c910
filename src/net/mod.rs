//! The doors of a shard: TCP and UDP.
//!
//! [`session`] and [`datagram`] are pure: bytes and a service in, bytes out. [`connection`],
//! [`acceptor`] and [`udp`] move the bytes.

pub(crate) mod acceptor;
mod connection;
mod datagram;
pub(crate) mod deadline;
mod inbox;
mod outbox;
mod session;
pub(crate) mod socket;
pub(crate) mod source;
pub(crate) mod udp;
