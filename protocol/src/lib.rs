//! The vocabulary of coreflake: what an ID is made of and how it travels.
//!
//! * [`Layout`] says how the 63 bits of an ID are shared between time, slot and sequence; [`Id`]
//!   and [`Run`] are the values it packs. [`Namespace`] does so for every [`Kind`].
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

mod any_id;
mod bounds;
mod code;
mod count;
mod crockford;
mod encoding;
mod error;
pub mod frame;
mod generated;
mod health;
mod id;
mod info;
mod kind;
mod layout;
mod namespace;
mod reader;
mod request;
mod response;
mod runs;
mod scale;
#[cfg(feature = "serde")]
mod serde_impls;
mod ulid;
mod wide;
mod widths;
mod worker_ids;

pub use any_id::{AnyId, AnyText, IdError};
pub use bounds::{Bounds, BoundsError};
pub use code::ErrorCode;
pub use count::Count;
pub use encoding::{Encoded, Encoding, UnknownEncoding};
pub use error::DecodeError;
pub use frame::{Frame, Header};
pub use generated::{Generated, IdsWriter, WIDE_SIZE, WideIds};
pub use health::{ClockState, Health, ServingState, StoreState};
pub use id::{Id, Parts, Run, Sequence, Slot, Tick};
pub use info::Info;
pub use kind::{Kind, UnknownKind};
pub use layout::{Layout, LayoutError, RangeError};
pub use namespace::{Namespace, NamespaceError, Parsed};
pub use request::{Opcode, Request};
pub use response::{ErrorReply, ParseReply, Response, ResponseError};
pub use runs::{RUN_SIZE, Runs};
pub use scale::{Scale, TickError};
pub use ulid::{Ulid, UlidError};
pub use uuid::Uuid;
pub use widths::{Widths, WidthsError};
pub use worker_ids::WorkerIds;
