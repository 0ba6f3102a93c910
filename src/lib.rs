//! The coreflake server.
//!
//! ```text
//!  shard 0 (core 0) - lane 0 - TCP+UDP (SO_REUSEPORT)  \
//!  shard 1 (core 1) - lane 1 - TCP+UDP (SO_REUSEPORT)   > read only: the gate, one atomic word
//!  ...                                                 /
//!  control          - keeper, signals
//! ```
//!
//! A shard owns everything it touches while it answers: sockets, buffers, lane. Data plane and
//! control plane never wait for each other. What can fail is built before the first request is
//! answered; a panic ends the process; shutdown has an order and a deadline.
//!
//! [`server`] is the entry point; `ARCHITECTURE.md` has the map.

mod admission;
pub mod args;
pub mod auth;
mod clock;
mod clock_monitor;
pub mod commands;
mod condition;
pub mod config;
pub mod control;
pub mod counters;
mod details;
pub mod exit;
mod gateway;
pub mod identity;
mod json;
mod keeper;
pub mod kernel_clock;
mod latency;
pub mod limits;
pub mod logging;
mod metrics;
mod net;
pub mod ntp;
mod peer;
pub mod presets;
mod readable;
pub mod server;
mod service;
mod shard;
mod signals;
mod tenure;
mod tick_queue;
mod timer;
mod timestamp;
