//! The vocabulary of coreflake: what an ID is made of and how it travels.
//!
//! * [`Layout`] says how the 63 bits of an ID are shared between time, slot and sequence; [`Id`]
//!   and [`Run`] are the values it packs.
//! * [`frame`] cuts a byte stream into frames; [`Request`] and [`Response`] are what the frames
//!   mean.
//!
//! ```
//! use coreflake_protocol::{Layout, Id};
//!
//! let id = Id::new(1234567890123456789).expect("below 2^63");
//! let parts = Layout::SNOWFLAKE.parse(id);
//! assert_eq!((parts.datacenter_id, parts.worker_id, parts.sequence), (20, 24, 277));
//! ```
//!
//! # What is deliberately absent
//!
//! No I/O, no clock, no runtime and no allocation of a size that a peer names: every function works
//! on bytes and numbers it is given. The byte tables are specified in `PROTOCOL.md` beside this
//! crate; the test vectors there are checked against this code.
#![forbid(unsafe_code)]

mod code;
mod count;
mod error;
pub mod frame;
mod health;
mod id;
mod kind;
mod layout;
mod reader;
mod request;
mod response;
mod runs;
mod worker_ids;

pub use code::ErrorCode;
pub use count::Count;
pub use error::DecodeError;
pub use frame::{Frame, Header};
pub use health::{ClockState, Health, ServingState, StoreState};
pub use id::{Id, Parts, Run, Sequence, Slot, Tick};
pub use kind::Kind;
pub use layout::{Layout, LayoutError, RangeError, TickError};
pub use request::{Opcode, Request};
pub use response::{ErrorReply, Info, Response, ResponseError};
pub use runs::{RUN_SIZE, Runs, RunsWriter};
pub use worker_ids::WorkerIds;
