//! The state directory: one record a slot, and a mark that says that the slot had one.
//!
//! A record that is missing is a first start, or a record that was lost with all it knew. The mark,
//! a file of its own, tells the two apart: it is made when the record is durable. Who deletes both
//! has made a new slot; that nobody can see from inside.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, FlockOperation, access, flock};

use crate::identity::StoreError;
use crate::identity::filesystem;

/// A state directory that can be written.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    handle: File,
}

impl Directory {
    /// Opens the directory, which is made if it is missing.
    pub(crate) fn open(path: &Path, allowed: &[String]) -> Result<Self, StoreError> {
        let of = |error: io::Error| StoreError(format!("state-dir {}: {error}", path.display()));
        if !path.is_absolute() {
            return Err(of(io::Error::other("an absolute path is needed")));
        }
        if !path.is_dir() {
            DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(of)?;
            // What was just made is lost in a power cut unless what it lies in is durable.
            // Who may not read a directory has not made one in it.
            for above in path.ancestors().skip(1).map_while(|above| File::open(above).ok()) {
                above.sync_all().map_err(of)?;
            }
        }
        let handle = File::open(path).map_err(of)?;
        check_filesystem(path, &handle, allowed)?;
        Ok(Self { path: path.to_owned(), handle })
    }

    /// Opens a directory to look into it, whatever it lies on.
    pub(crate) fn existing(path: &Path) -> Result<Self, StoreError> {
        let handle = File::open(path)
            .map_err(|error| StoreError(format!("state-dir {}: {error}", path.display())))?;
        Ok(Self { path: path.to_owned(), handle })
    }

    /// The file of a slot's record.
    pub(crate) fn record_path(&self, slot: u16) -> PathBuf {
        self.path.join(format!("slot-{slot:04}.record"))
    }

    fn mark_path(&self, slot: u16) -> PathBuf {
        self.path.join(format!("slot-{slot:04}.made"))
    }

    /// Opens the file of a slot's record and locks it. It is made if it is missing. `None` when
    /// another process has locked it.
    pub(crate) fn open_record(&self, slot: u16) -> Result<Option<File>, StoreError> {
        let path = self.record_path(slot);
        let of = |error: io::Error| StoreError(format!("record {}: {error}", path.display()));
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(of)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(file)),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(of(error.into())),
        }
    }

    /// Whether the slot had a record once.
    pub(crate) fn is_marked(&self, slot: u16) -> bool {
        self.mark_path(slot).exists()
    }

    /// Makes durable that the slot has a record.
    pub(crate) fn mark(&self, slot: u16) -> Result<(), StoreError> {
        let path = self.mark_path(slot);
        let of = |error: io::Error| StoreError(format!("mark {}: {error}", path.display()));
        if !path.exists() {
            File::create(&path).and_then(|mark| mark.sync_all()).map_err(of)?;
        }
        self.handle.sync_all().map_err(of)
    }

    /// The slots that have a record here, in ascending order.
    pub(crate) fn slots(&self) -> Result<Vec<u16>, StoreError> {
        let of =
            |error: io::Error| StoreError(format!("state-dir {}: {error}", self.path.display()));
        let mut slots = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(of)? {
            let name = entry.map_err(of)?.file_name();
            let slot = name.to_str().and_then(|name| {
                name.strip_prefix("slot-")?.strip_suffix(".record")?.parse::<u16>().ok()
            });
            slots.extend(slot);
        }
        slots.sort_unstable();
        Ok(slots)
    }
}

/// Looks whether a directory could be opened, and made if it is missing, without making anything.
///
/// # Errors
///
/// As [`Directory::open`].
pub(crate) fn examine(path: &Path, allowed: &[String]) -> Result<(), StoreError> {
    let of = |error: io::Error| StoreError(format!("state-dir {}: {error}", path.display()));
    // Where the directory is, or would be made.
    let mut nearest = path;
    let metadata = loop {
        match (fs::metadata(nearest), nearest.parent()) {
            (Err(error), Some(above)) if error.kind() == io::ErrorKind::NotFound => nearest = above,
            (result, _) => break result.map_err(of)?,
        }
    };
    if !metadata.is_dir() {
        let shown = nearest.display();
        return Err(of(io::Error::other(format!("{shown} is no directory"))));
    }
    access(nearest, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| of(error.into()))?;
    // Who may not read a directory may still make one in it; a record wants to be found again.
    match File::open(nearest) {
        Ok(handle) => check_filesystem(path, &handle, allowed),
        Err(_) if nearest != path => Ok(()),
        Err(error) => Err(of(error)),
    }
}

fn check_filesystem(path: &Path, handle: &File, allowed: &[String]) -> Result<(), StoreError> {
    let of = |error: io::Error| StoreError(format!("state-dir {}: {error}", path.display()));
    match filesystem::unfit(handle).map_err(of)? {
        Some(name) if !allowed.iter().any(|allowed| allowed == name) => Err(StoreError(format!(
            "state-dir {} lies on {name}, which may forget what it has acknowledged: choose another \
             directory, or accept that with --allow-state-filesystem {name}",
            path.display()
        ))),
        _ => Ok(()),
    }
}
