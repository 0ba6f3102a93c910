//! The ID engine: who may issue which number, as pure code.
//!
//! An ID is `(tick, slot, sequence)`. No two are equal because
//!
//! * a slot's ticks are handed out in [`Window`]s that never overlap, each to one [`Incarnation`],
//! * within a tick the [`SequencePlan`] gives every [`Lane`] a home sub-range of its own, and the
//!   [`Pool`] gives out the rest piece by piece, each piece once,
//! * a lane walks its ticks and its sub-ranges upwards only.
//!
//! Nowhere in this argument stands a clock. The clock is an argument of [`Lane::generate`] and
//! decides how well IDs sort and how exact their time is; [`clock`] says what happens when it goes
//! back.
//!
//! # What is deliberately absent
//!
//! No I/O, no runtime, no thread, no call that reads the time. What waits, waits in the shell: the
//! engine answers [`Outcome::Wait`] and says until when.
#![forbid(unsafe_code)]

pub mod claim;
pub mod clock;
mod cursor;
pub mod drift;
mod entropy;
mod gate;
mod incarnation;
pub mod keeper;
mod lane;
mod outcome;
mod plan;
mod plans;
mod pool;
pub mod record;
pub mod reserve;
pub mod sanity;
mod sync;
pub mod trusted;
mod window;

pub use claim::{Claimant, NotYet, Swap};
pub use entropy::Entropy;
pub use gate::{Gate, GateView};
pub use incarnation::Incarnation;
pub use keeper::Keeper;
pub use lane::{Lane, LaneEnd, LaneStats};
pub use outcome::{Demand, IdSink, Outcome, Refusal};
pub use plan::{PlanError, PoolShare, SequencePlan};
pub use plans::Plans;
pub use pool::Pool;
pub use window::Window;
