//! Where the windows of a slot come from: the record of the slot, and who may write it.

mod block;
pub(crate) mod directory;
pub(crate) mod file;
pub(crate) mod filesystem;
pub(crate) mod host;
pub(crate) mod shared;

use coreflake_engine::Swap;
use coreflake_engine::keeper::Outcome;
use coreflake_engine::record::Record;

/// Keeps the record of one slot. Everything that ever happens to it (claim, extension, release) is
/// a compare-and-swap of the whole record; there is no other write.
///
/// Calls may block for as long as the store takes: they are made from the keeper's thread only.
pub(crate) trait WindowStore: Send + core::fmt::Debug {
    /// The record as it is durable now. `Ok(None)` when nobody can say at the moment.
    ///
    /// # Errors
    ///
    /// When the store cannot be used any more.
    fn look(&mut self) -> Result<Option<Record>, StoreError>;

    /// Puts `swap.to` in the place of `swap.from`, if that is still the record to the byte.
    ///
    /// # Errors
    ///
    /// When the store cannot be used any more.
    fn swap(&mut self, swap: &Swap) -> Result<Outcome, StoreError>;
}

/// Why a store cannot be used, with what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StoreError(pub(crate) String);
