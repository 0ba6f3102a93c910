//! The window store of one machine: a state directory, in which each process locks the records it
//! has.

use std::collections::BTreeMap;
use std::path::Path;

use coreflake_engine::Swap;
use coreflake_engine::keeper::Outcome;
use coreflake_engine::record::Record;

use crate::clock::WallTime;
use crate::identity::directory::Directory;
use crate::identity::file::{self, RecordFile, SlotKey};
use crate::identity::{Holder, Seen, StoreError, WindowStore};

/// A state directory.
#[derive(Debug)]
pub(crate) struct LocalStore {
    directory: Directory,
    /// The slots that may be had.
    pool: Vec<SlotKey>,
    /// How many of them are wanted.
    count: usize,
    /// Whether these are the slots that were asked for, all of them and no other.
    fixed: bool,
    held: BTreeMap<u16, RecordFile>,
}

impl LocalStore {
    /// Opens the directory. Slots that were asked for by their numbers are locked at once.
    ///
    /// # Errors
    ///
    /// When the directory is not fit, or such a slot cannot be had.
    pub(crate) fn open(
        path: &Path,
        allowed: &[String],
        pool: Vec<SlotKey>,
        count: usize,
        fixed: bool,
    ) -> Result<Self, StoreError> {
        let directory = Directory::open(path, allowed)?;
        let mut store = Self { directory, pool, count, fixed, held: BTreeMap::new() };
        if fixed {
            store.lock()?;
        }
        Ok(store)
    }

    /// Locks slots until as many are held as are wanted: those that have rested longest first.
    fn lock(&mut self) -> Result<Vec<Seen>, StoreError> {
        let bounds: BTreeMap<_, _> = file::list(&self.directory)?
            .into_iter()
            .filter_map(|listed| Some((listed.slot, listed.record.ok()?.bound_ms)))
            .collect();
        let mut pool = self.pool.clone();
        pool.sort_by_key(|key| bounds.get(&key.slot).copied().unwrap_or(0));
        let mut seen = Vec::new();
        for key in pool {
            if self.held.len() >= self.count || self.held.contains_key(&key.slot) {
                continue;
            }
            let slot = key.slot;
            let path = self.directory.record_path(slot);
            match RecordFile::open(&self.directory, key, WallTime::now().unix_ms()) {
                Ok(Some(record)) => drop(self.held.insert(slot, record)),
                Ok(None) if self.fixed => return Err(file::in_use(&path)),
                Err(error) if self.fixed => return Err(error),
                Ok(None) => {
                    let holder = Some(Holder::Other("another process".to_owned()));
                    seen.push(Seen { slot, record: Err(file::in_use(&path)), holder });
                }
                Err(error) => seen.push(Seen { slot, record: Err(error), holder: None }),
            }
        }
        Ok(seen)
    }

    fn held(&mut self, slot: u16) -> Result<&mut RecordFile, StoreError> {
        let path = self.directory.record_path(slot);
        self.held.get_mut(&slot).ok_or_else(|| file::in_use(&path))
    }
}

impl WindowStore for LocalStore {
    fn survey(&mut self, _mine: &[u16]) -> Result<Option<Vec<Seen>>, StoreError> {
        let mut seen = self.lock()?;
        for (slot, record) in &self.held {
            seen.push(Seen { slot: *slot, record: Ok(record.look()?), holder: None });
        }
        Ok(Some(seen))
    }

    fn claim(&mut self, swap: &Swap) -> Result<Outcome, StoreError> {
        self.held(swap.to.slot)?.swap(swap)
    }

    fn look(&mut self, slots: &[u16]) -> Vec<Result<Option<Record>, StoreError>> {
        slots.iter().map(|slot| self.held(*slot)?.look().map(Some)).collect()
    }

    fn extend(&mut self, swaps: &[Swap]) -> Vec<Result<Outcome, StoreError>> {
        swaps.iter().map(|swap| self.claim(swap)).collect()
    }

    fn release(&mut self, swap: &Swap) -> Result<Outcome, StoreError> {
        let outcome = self.claim(swap);
        self.forget(swap.to.slot);
        outcome
    }

    fn forget(&mut self, slot: u16) {
        // The lock goes with the file.
        self.held.remove(&slot);
    }
}
