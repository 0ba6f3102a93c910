//! The client against a scripted peer: a socket in the test that speaks the protocol byte by byte.
// A helper of a test may fail it; clippy knows only the tests themselves.
#![allow(clippy::unwrap_used)]

mod batch;
mod connect;
mod kinds;
mod peer;
mod refusal;
mod tcp;
mod udp;
mod udp_peer;
