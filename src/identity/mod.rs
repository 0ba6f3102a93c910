//! Where the windows of slots come from: their records, and who may write them.

mod block;
pub(crate) mod directory;
pub(crate) mod file;
pub(crate) mod filesystem;
pub(crate) mod host;
pub(crate) mod local;
pub(crate) mod shared;

use core::time::Duration;

use coreflake_engine::Swap;
use coreflake_engine::keeper::Outcome;
use coreflake_engine::record::Record;

/// Keeps the records of slots. Everything that ever happens to one (claim, extension, release) is a
/// compare-and-swap of the whole record; there is no other write.
///
/// Calls may block for as long as the store takes: they are made from the keeper's thread only.
pub(crate) trait WindowStore: Send + core::fmt::Debug {
    /// How the slots are that this node may have. `Ok(None)` when nobody can say at the moment.
    /// `mine` are the slots that this process has, or may have: no others are marked as its own.
    ///
    /// # Errors
    ///
    /// When the store cannot be used at all.
    fn survey(&mut self, mine: &[u16]) -> Result<Option<Vec<Seen>>, StoreError>;

    /// Puts `swap.to` in the place of `swap.from`, if that is still the record to the byte and
    /// nobody has the slot; from then on this process has it, as everybody can see.
    ///
    /// # Errors
    ///
    /// When the store cannot be used any more.
    fn claim(&mut self, swap: &Swap) -> Result<Outcome, StoreError>;

    /// The records of slots as they are durable now. `Ok(None)` when nobody can say at the moment.
    ///
    /// # Errors
    ///
    /// When the store cannot be used any more.
    fn look(&mut self, slots: &[u16]) -> Vec<Result<Option<Record>, StoreError>>;

    /// Each `swap.to` in the place of its `swap.from`, if that is still the record to the byte:
    /// more ticks for slots that this process has. All at once, where the store can.
    ///
    /// # Errors
    ///
    /// When the store cannot be used any more.
    fn extend(&mut self, swaps: &[Swap]) -> Vec<Result<Outcome, StoreError>>;

    /// As [`WindowStore::extend`] for one slot, which from then on nobody has.
    ///
    /// # Errors
    ///
    /// When the store cannot be used any more.
    fn release(&mut self, swap: &Swap) -> Result<Outcome, StoreError>;

    /// This process does not have the slot any more, whatever the store says.
    fn forget(&mut self, slot: u16);

    /// How often to look whether anybody has changed what this process has; never where nobody can.
    fn watch_interval(&self) -> Option<Duration> {
        None
    }

    /// Ends what everybody can see of this process. Nothing is asked afterwards.
    fn close(&mut self) {}
}

/// A slot as a store shows it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) slot: u16,
    /// The record, or why it cannot be used.
    pub(crate) record: Result<Record, StoreError>,
    /// Who has it.
    pub(crate) holder: Option<Holder>,
}

/// Who has a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    /// This process.
    Me,
    /// Another one, on this host; the text is for people.
    Other(String),
}

/// Why a store cannot be used, with what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StoreError(pub(crate) String);

/// What a store that has gone back needs.
pub(crate) fn went_back(slot: u16) -> StoreError {
    StoreError(format!(
        "the store went back: the record of slot {slot} is older than one that it had acknowledged, \
         so it was restored from a backup or has lost writes. No record in it can be trusted. Raise \
         all bounds beyond everything issued with `coreflake slots fence --floor now+10m`, and start \
         again"
    ))
}
