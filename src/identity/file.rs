//! A record in a local file: two copies in blocks of their own, each made durable before anything
//! is used.
//!
//! The file has its full size from the start and is written in place, so a full disk does not
//! matter. A write tears one copy at most; the other one is whole, and both were durable before the
//! bound was used, so the larger of the two is right. A flush that failed is never repeated: the
//! kernel has forgotten what it failed to write, and the next one would succeed (Rebello et al.,
//! "Can Applications Recover from fsync Failures?", USENIX ATC 2020).

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use coreflake_engine::Swap;
use coreflake_engine::keeper::Outcome;
use coreflake_engine::record::{Host, Record};
use coreflake_protocol::{Namespace, Slot};
use tracing::warn;

use crate::identity::block::{BLOCK_SIZE, Binding, Block};
use crate::identity::directory::Directory;
use crate::identity::{StoreError, host};

/// Bytes of a copy's part of the file: no device writes less than this at once.
const COPY_SIZE: u64 = 4_096;
const COPIES: u64 = 2;

/// What identifies a slot's record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SlotKey {
    /// Datacenter and worker bits as one number.
    pub(crate) slot: u16,
    /// The namespace.
    pub(crate) fingerprint: u64,
    /// The last tick of the namespace, in milliseconds since the Unix epoch.
    pub(crate) end_ms: u64,
}

impl SlotKey {
    pub(crate) fn new(namespace: &Namespace, slot: Slot) -> Self {
        let layout = namespace.layout();
        Self {
            slot: layout.slot_number(slot),
            fingerprint: namespace.fingerprint(),
            end_ms: layout.end_ms(),
        }
    }

    /// Whether a record is that of this slot in this namespace.
    ///
    /// # Errors
    ///
    /// In words that go on from the name of the record.
    pub(crate) fn check(&self, record: &Record) -> Result<(), String> {
        let (found, expected) = (record.slot, self.slot);
        if found != expected {
            return Err(format!("is of slot {found}, not {expected}"));
        }
        if record.fingerprint != self.fingerprint {
            return Err(format!(
                "is of namespace {:016x}, this server's is {:016x}: epochs, layout, ticks and shards \
                 of a slot never change; set them as they were. Only a new namespace, whose IDs never \
                 meet the old ones, begins with another slot or directory",
                record.fingerprint, self.fingerprint
            ));
        }
        Ok(())
    }
}

/// A locked record file.
#[derive(Debug)]
pub(crate) struct RecordFile {
    path: PathBuf,
    file: File,
    binding: Binding,
    /// What the record was bound to when it was read.
    found: Binding,
    record: Record,
    broken: Option<StoreError>,
}

/// What a file holds.
pub(crate) enum Content {
    /// Nothing: it was just made.
    Nothing,
    /// A record, perhaps of another file.
    Block(Block),
}

impl RecordFile {
    /// Opens and locks the record of a slot. The first start makes it, with a bound at `now_ms`.
    /// `None` when another process has it.
    ///
    /// # Errors
    ///
    /// When the record is lost, damaged, of another namespace or of another file, or its slot is
    /// retired. The text says what to do.
    pub(crate) fn open(
        directory: &Directory,
        key: SlotKey,
        now_ms: u64,
    ) -> Result<Option<Self>, StoreError> {
        let Some(mut store) = Self::lock(directory, key, now_ms, directory.is_marked(key.slot))?
        else {
            return Ok(None);
        };
        let path = store.path.display();
        store.check(store.found, key)?;
        if store.record.bound_ms >= key.end_ms {
            return Err(StoreError(format!(
                "record {path}: the slot is retired, its ticks are taken to the end of the layout; \
                 use another slot"
            )));
        }
        let record = store.record.clone();
        store.put(&record)?;
        directory.mark(key.slot)?;
        Ok(Some(store))
    }

    /// Locks the record of a slot, reads it, and gives it its full size.
    fn lock(
        directory: &Directory,
        key: SlotKey,
        now_ms: u64,
        had_one: bool,
    ) -> Result<Option<Self>, StoreError> {
        let Some(file) = directory.open_record(key.slot)? else { return Ok(None) };
        let path = directory.record_path(key.slot);
        let binding = binding_of(&file).map_err(|error| of(&path, &error))?;
        let block = match read(&file, &path)? {
            Content::Block(block) => block,
            Content::Nothing if had_one => {
                return Err(StoreError(format!(
                    "record {} is lost: this slot had one, and what it knew is gone; restore it, or \
                     begin anew behind everything issued so far with `coreflake slots adopt`",
                    path.display()
                )));
            }
            Content::Nothing => {
                let record = first(key, now_ms).map_err(|error| of(&path, &error))?;
                Block { record, binding }
            }
        };
        prepare(&file).map_err(|error| of(&path, &error))?;
        let Block { record, binding: found } = block;
        Ok(Some(Self { path, file, binding, found, record, broken: None }))
    }

    fn check(&self, found: Binding, key: SlotKey) -> Result<(), StoreError> {
        let path = self.path.display();
        let record = &self.record;
        key.check(record).map_err(|problem| StoreError(format!("record {path} {problem}")))?;
        let Binding { filesystem, inode, machine } = found;
        let other_machine = machine != self.binding.machine && machine != 0;
        if other_machine || inode != self.binding.inode || filesystem != self.binding.filesystem {
            return Err(StoreError(format!(
                "record {path} is a copy, last written by {} as another file: IDs may have been \
                 issued since. If the original is gone for good, `coreflake slots adopt` begins \
                 anew behind them",
                record.host
            )));
        }
        Ok(())
    }

    /// Writes both copies, one after the other, each durable before the next step.
    fn write(&self, record: &Record) -> io::Result<()> {
        let block = Block { record: record.clone(), binding: self.binding }.encode();
        for copy in 0..COPIES {
            self.file.write_all_at(&block, copy * COPY_SIZE)?;
            self.file.sync_data()?;
        }
        Ok(())
    }

    /// Takes over a record whatever file it was written for, with a bound of at least `bound_ms`.
    ///
    /// # Errors
    ///
    /// As [`RecordFile::open`], save that a copied or lost record is accepted.
    pub(crate) fn adopt(
        directory: &Directory,
        key: SlotKey,
        now_ms: u64,
        bound_ms: u64,
    ) -> Result<Record, StoreError> {
        let Some(mut store) = Self::lock(directory, key, now_ms, false)? else {
            return Err(in_use(&directory.record_path(key.slot)));
        };
        store.check(store.binding, key)?;
        let before = store.record.clone();
        let record = Record {
            term: before.term.saturating_add(1),
            bound_ms: before.bound_ms.max(bound_ms),
            written_ms: now_ms,
            host: host::name(),
            ..before
        };
        store.put(&record)?;
        directory.mark(key.slot)?;
        Ok(record)
    }

    /// The record as it is durable.
    ///
    /// # Errors
    ///
    /// When a write has failed: nobody knows what is durable.
    pub(crate) fn look(&self) -> Result<Record, StoreError> {
        match &self.broken {
            Some(error) => Err(error.clone()),
            None => Ok(self.record.clone()),
        }
    }

    /// Puts `swap.to` in the place of `swap.from`.
    ///
    /// # Errors
    ///
    /// When it cannot be written. Nothing can after that.
    pub(crate) fn swap(&mut self, swap: &Swap) -> Result<Outcome, StoreError> {
        // The lock is held and every write goes through here, so what was last written is the
        // record.
        if swap.from != self.look()? {
            return Ok(Outcome::Lost);
        }
        self.put(&swap.to)?;
        Ok(Outcome::Won)
    }

    fn put(&mut self, record: &Record) -> Result<(), StoreError> {
        if let Err(error) = self.write(record) {
            let error = of(&self.path, &error);
            self.broken = Some(error.clone());
            return Err(error);
        }
        self.record = record.clone();
        Ok(())
    }
}

/// Another process has the record.
pub(crate) fn in_use(path: &Path) -> StoreError {
    StoreError(format!(
        "record {} is in use by another process: stop that one, or give this one another slot or \
         --state-dir",
        path.display()
    ))
}

/// A slot whose record lies in a state directory.
pub(crate) struct Listed {
    pub(crate) slot: u16,
    /// The record, or why it cannot be read.
    pub(crate) record: Result<Record, StoreError>,
}

/// The slots whose records lie in a state directory, and what their files hold.
///
/// # Errors
///
/// When the directory cannot be read.
pub(crate) fn list(directory: &Directory) -> Result<Vec<Listed>, StoreError> {
    let read = |slot| {
        let path = directory.record_path(slot);
        let file = File::open(&path).map_err(|error| of(&path, &error))?;
        match read(&file, &path)? {
            Content::Block(block) => Ok(block.record),
            Content::Nothing => Err(StoreError(format!("record {} is empty", path.display()))),
        }
    };
    let slots = directory.slots()?.into_iter();
    Ok(slots.map(|slot| Listed { slot, record: read(slot) }).collect())
}

/// The copy that counts: of two good ones that with the larger bound.
fn read(file: &File, path: &Path) -> Result<Content, StoreError> {
    let mut copies = Vec::new();
    let mut empty = true;
    for copy in 0..COPIES {
        let mut bytes = [0; BLOCK_SIZE];
        // A copy that cannot be read is a damaged one: the other was durable as well.
        let result = read_available(file, &mut bytes, copy * COPY_SIZE);
        empty &= result.is_ok() && bytes == [0; BLOCK_SIZE];
        let result = result.map_err(|error| error.to_string());
        copies.push(result.and_then(|()| Block::decode(&bytes)));
    }
    if empty {
        return Ok(Content::Nothing);
    }
    let good = copies.iter().filter_map(|copy| copy.as_ref().ok());
    let Some(block) = good.max_by_key(|block| (block.record.bound_ms, block.record.term)) else {
        let reasons: Vec<_> = copies.into_iter().filter_map(Result::err).collect();
        return Err(StoreError(format!(
            "record {}: both copies are unreadable ({}); restore it, or remove it and begin anew \
             behind everything issued so far with `coreflake slots adopt`",
            path.display(),
            reasons.join("; ")
        )));
    };
    for (copy, result) in copies.iter().enumerate() {
        if let Err(reason) = result {
            warn!(record = %path.display(), copy, %reason, "one copy is damaged; the other is used");
        }
    }
    Ok(Content::Block(block.clone()))
}

/// Reads what there is: a file that was cut has zeros behind its end.
fn read_available(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<()> {
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], offset + filled as u64)? {
            0 => return Ok(()),
            size => filled += size,
        }
    }
    Ok(())
}

fn first(key: SlotKey, now_ms: u64) -> io::Result<Record> {
    Ok(Record {
        slot: key.slot,
        fingerprint: key.fingerprint,
        term: 1,
        created_ms: now_ms,
        bound_ms: now_ms,
        written_ms: now_ms,
        holder: host::new_holder()?,
        attempt: 0,
        host: Host::new(host::name().as_str()),
    })
}

/// Gives the file its full size, so that no later write needs space.
fn prepare(file: &File) -> io::Result<()> {
    let flags = rustix::fs::FallocateFlags::empty();
    rustix::fs::fallocate(file, flags, 0, COPY_SIZE * COPIES)?;
    file.sync_all()
}

fn binding_of(file: &File) -> io::Result<Binding> {
    let metadata = file.metadata()?;
    let filesystem = rustix::fs::fstatvfs(file)?.f_fsid;
    Ok(Binding { filesystem, inode: metadata.ino(), machine: host::machine() })
}

fn of(path: &Path, error: &io::Error) -> StoreError {
    StoreError(format!("record {}: {error}", path.display()))
}
