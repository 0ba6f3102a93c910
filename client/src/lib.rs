//! An async client for the coreflake unique-ID service, for callers that count microseconds.
//!
//! ```no_run
#![doc = include_str!("../examples/first_ids.rs")]
//! ```
//!
//! * [`Client`] is what calls are made on. It is cheap to clone, and all clones share one
//!   connection.
//! * [`ClientBuilder`] holds its settings: endpoint, token, deadlines, limits.
//! * [`Batch`] is many IDs, stored as [`Run`]s of consecutive numbers.
//! * [`Error`] is why there are none. It answers questions: [`is_retryable`](Error::is_retryable),
//!   [`retry_after`](Error::retry_after), [`code`](Error::code).
//!
//! # What it does
//!
//! **TCP** (`tcp://`): one connection, kept by one background task. Calls made at the same time are
//! written with one system call and answered without waiting for each other. A connection that
//! breaks, or on which nothing is answered for as long as a call may take, is replaced.
//!
//! **UDP** (`udp://`): one socket. A datagram without a reply is sent again with a new random
//! nonce; a reply is taken only for a nonce that is on its way, and once.
//!
//! **Deadlines and retries**: every call ends within [`call_timeout`](ClientBuilder::call_timeout),
//! whatever happens. Within it, a call is tried again when its connection was lost or the server
//! refused for a reason that passes, at most [`attempts_max`](ClientBuilder::attempts_max) times
//! and with delays that no two clients have in common. A retry asks for other IDs; none is ever
//! handed out twice.
//!
//! # What it does not do
//!
//! * It makes no IDs itself and keeps none in store: an ID is as fresh as the answer that brought
//!   it.
//! * It speaks with one server. Choosing among several is left to the name in the endpoint or to a
//!   load balancer; a server that drains is left for whatever the endpoint then leads to.
//! * It encrypts nothing, and a token is sent as it is. Over UDP anyone who can read the traffic
//!   can forge replies.
//! * It does not survive `fork`: build a client in the child. A call on an inherited one fails with
//!   an [`Error`] that says so.
//!
//! # Kinds
//!
//! [`next`](Client::next) brings a [`SnowflakeId`]; [`instagram`](Client::instagram),
//! [`uuid1`](Client::uuid1), [`uuid7`](Client::uuid7) and [`ulid`](Client::ulid) bring the others,
//! and [`next_of`](Client::next_of) any [`Kind`] as an [`AnyId`]:
//!
//! ```no_run
#![doc = include_str!("../examples/kinds.rs")]
//! ```
//!
//! With the feature `serde`, IDs can be part of what is written and read. In JSON a [`SnowflakeId`]
//! is a string, since many readers lose the last digits of large numbers; numbers are read too. An
//! [`AnyId`] is written as text, and read by its own type:
//!
//! ```
//! # #[cfg(feature = "serde")] {
//! use coreflake_client::SnowflakeId;
//!
//! let id = SnowflakeId::new(1234567890123456789).expect("below 2^63");
//! assert_eq!(serde_json::to_string(&id).unwrap(), r#""1234567890123456789""#);
//! assert_eq!(serde_json::from_str::<SnowflakeId>("1234567890123456789").unwrap(), id);
//! # }
//! ```
//!
//! # IDs without a server
//!
//! Taking an ID apart needs only its [`Layout`]:
//!
//! ```
//! use coreflake_client::{Id, Layout};
//!
//! let id = Id::new(1234567890123456789).expect("below 2^63");
//! let parts = Layout::SNOWFLAKE.parse(id);
//! assert_eq!((parts.datacenter_id, parts.worker_id, parts.sequence), (20, 24, 277));
//! ```
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![warn(missing_debug_implementations)]

mod backoff;
mod batch;
mod builder;
mod call;
mod client;
mod connect;
mod connection;
mod datagram;
mod dispatch;
mod endpoint;
mod error;
mod kinds;
mod link;
mod pending;
mod pipeline;
mod tcp;
mod udp;

pub use batch::{Batch, Ids};
pub use builder::ClientBuilder;
pub use client::Client;
pub use coreflake_protocol::{
    AnyId, AnyText, Bounds, BoundsError, ClockState, Encoded, Encoding, ErrorCode, Health, Id,
    Id as SnowflakeId, IdError, Info, Kind, Layout, Namespace, ParseReply, Parts, Run,
    ServingState, StoreState, Ulid, Uuid, Widths,
};
pub use error::Error;
