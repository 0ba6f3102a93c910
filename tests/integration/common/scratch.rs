//! Files for one test.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A directory that goes away with the value.
pub(crate) struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// A new one, with `name` in its own; there is nothing in it.
    pub(crate) fn new(name: &str) -> Self {
        let path = new_path(name);
        fs::create_dir(&path).unwrap();
        Self { path }
    }

    /// Writes a file with these permissions.
    pub(crate) fn file(&self, name: &str, mode: u32, content: &[u8]) -> String {
        let path = self.path.join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// A path that nobody has used. The number of the process would not do: it comes again, and one
/// that was killed has left its files.
pub(crate) fn new_path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{:016x}", fastrand::u64(..)))
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}
