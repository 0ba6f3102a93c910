//! The real server, started as a process of its own, against peers that behave well and peers that
//! do not. One module per door or promise; `common` starts servers and speaks raw frames.

#![allow(missing_docs, clippy::unwrap_used)]

mod auth;
mod cli;
mod cli_kinds;
mod client;
mod common;
mod config;
mod connections;
mod deadlines;
mod doors;
mod lanes;
mod python;
mod serve;
mod shutdown;
mod syscalls;
mod tcp;
mod udp;
mod udp_sources;
mod vectors;
