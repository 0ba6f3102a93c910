//! What outlives a server: the record of its slot. Real servers are killed, frozen, started on
//! copied, lost and damaged records, and lose their disk; no ID may ever come twice.
//!
//! `COREFLAKE_CYCLES` sets the number of lives that end with a kill (100), `COREFLAKE_SEED` the
//! seed of all that is random, which every test prints.

#![allow(missing_docs, clippy::unwrap_used)]

mod bytes;
mod clocks;
#[allow(dead_code, unused_imports)] // Shared with another binary, which uses the rest.
#[path = "../integration/common/mod.rs"]
mod common;
mod disk;
#[allow(dead_code)] // As above.
#[path = "../clock/faked.rs"]
mod faked;
mod freeze;
mod kill;
mod kinds;
mod ledger;
mod load;
mod mount;
mod places;
mod records;
mod refusals;
mod starts;
mod state;

use load::seed;
