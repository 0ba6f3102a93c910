//! What this node has seen of a shared store, in its state directory.
//!
//! A store that loses acknowledged writes, or is restored from a backup, shows records that are
//! older than what was there before, and nothing in the store itself can tell. Every node keeps the
//! highest record it has seen of each slot, those of others too, and refuses a store that shows
//! less. It is a second line: the promise does not rest on this file, which may be lost.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use coreflake_engine::record::Record;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::identity::StoreError;

/// Bytes of the file, at most: a few thousand slots.
const SIZE_MAX: u64 = 1024 * 1024;

/// The highest record seen of each slot.
#[derive(Debug)]
pub(crate) struct HighWater {
    path: PathBuf,
    marks: Marks,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Marks {
    /// Of which store.
    genesis: String,
    slots: BTreeMap<u16, Mark>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mark {
    term: u64,
    bound_ms: u64,
}

impl HighWater {
    /// Reads the file of a store in a state directory; without one, nothing was seen. `store` is
    /// its kind and the folder of the datacenter in it.
    ///
    /// # Errors
    ///
    /// When there is one that cannot be read.
    pub(crate) fn open(directory: &Path, store: &str) -> Result<Self, StoreError> {
        let path = directory.join(format!("seen-{}.json", store.replace('/', "-")));
        let marks = read(&path).map_err(|error| {
            StoreError(format!(
                "{}: {error}; it holds what this node has seen of the store, and may be removed if \
                 the store was not restored from a backup since",
                path.display()
            ))
        })?;
        Ok(Self { path, marks })
    }

    /// Whether nothing was seen of any store.
    pub(crate) fn is_empty(&self) -> bool {
        self.marks == Marks::default()
    }

    /// Whether the store with this genesis shows a record that is older than one seen before. Gives
    /// the slot.
    ///
    /// # Errors
    ///
    /// When the store is another one than before.
    pub(crate) fn check(
        &self,
        genesis: &str,
        records: &[Record],
    ) -> Result<Option<u16>, StoreError> {
        let marks = &self.marks;
        if !marks.genesis.is_empty() && marks.genesis != genesis {
            return Err(StoreError(format!(
                "the store is another one than this node has used before: its genesis is {genesis}, \
                 that was {}. Two stores would give the same slots twice. If the other one is gone \
                 for good, raise the bounds of this one with `coreflake slots fence --floor now+10m` \
                 and remove {}",
                marks.genesis,
                self.path.display()
            )));
        }
        let went_back = |record: &&Record| match marks.slots.get(&record.slot) {
            Some(mark) => record.term <= mark.term && record.bound_ms < mark.bound_ms,
            None => false,
        };
        Ok(records.iter().find(went_back).map(|record| record.slot))
    }

    /// Notes what the store shows, if that is more than before. Other processes of this machine may
    /// do the same.
    pub(crate) fn note(&mut self, genesis: &str, records: &[Record]) -> io::Result<()> {
        let before = self.marks.clone();
        genesis.clone_into(&mut self.marks.genesis);
        for Record { slot, term, bound_ms, .. } in records {
            raise(&mut self.marks, *slot, Mark { term: *term, bound_ms: *bound_ms });
        }
        if self.marks == before { Ok(()) } else { self.save() }
    }

    /// The same for a record that this process has written: whoever waits for the next look at the
    /// store forgets it when the process is killed before.
    pub(crate) fn note_own(&mut self, record: Record) -> io::Result<()> {
        let genesis = self.marks.genesis.clone();
        self.note(&genesis, &[record])
    }

    fn save(&mut self) -> io::Result<()> {
        if let Some(directory) = self.path.parent() {
            fs::create_dir_all(directory)?;
        }
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(self.path.with_extension("lock"))?;
        // Who has to wait for another process would wait for one that is frozen too; there is
        // another look soon.
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(()),
            result => result?,
        }
        // What another process has noted stays, if it is about the same store.
        if let Ok(marks) = read(&self.path)
            && marks.genesis == self.marks.genesis
        {
            for (slot, mark) in marks.slots {
                raise(&mut self.marks, slot, mark);
            }
        }
        let next = self.path.with_extension("next");
        let mut file = File::create(&next)?;
        file.write_all(&serde_json::to_vec(&self.marks)?)?;
        fs::rename(&next, &self.path)
    }
}

fn raise(marks: &mut Marks, slot: u16, mark: Mark) {
    let known = marks.slots.entry(slot).or_insert(mark);
    if (mark.term, mark.bound_ms) > (known.term, known.bound_ms) {
        *known = mark;
    }
}

fn read(path: &Path) -> io::Result<Marks> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Marks::default()),
        file => file?,
    };
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(file, SIZE_MAX), &mut bytes)?;
    // What a power cut has left of a file that was not flushed: the keeper does not wait for a disk
    // that only its second line lies on.
    if bytes.is_empty() {
        return Ok(Marks::default());
    }
    Ok(serde_json::from_slice(&bytes)?)
}
