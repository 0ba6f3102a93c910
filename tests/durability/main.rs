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
mod freeze;
mod kill;
mod ledger;
mod load;
mod mount;
mod places;
mod records;
mod refusals;
mod starts;
mod state;

/// The seed of a test: as given, or any. It is printed, so that a failure can be repeated.
fn seed(test: &str) -> u64 {
    let given = std::env::var("COREFLAKE_SEED").ok();
    let seed = given.map_or_else(|| fastrand::u64(..), |seed| seed.parse().unwrap());
    println!("{test}: COREFLAKE_SEED={seed}");
    seed
}
