//! Where state may live, and where it may not.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::common::{Server, feed};
use crate::mount::Mount;
use crate::state::State;

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn a_relative_path_is_refused() {
    for path in ["state", "./state", "../state"] {
        let finished = feed(&mut Server::command(&["--state-dir", path]), b"");
        finished.assert_code(78).assert_says(&["state-dir", path, "absolute path"]);
    }
}

#[test]
fn a_path_through_a_file_is_refused() {
    let state = State::new("through-file");
    fs::write(state.path(), "a file").unwrap();
    state.refuses(&[], &["state-dir", state.path()]);
    let below = State::inside("below-file", &Path::new(state.path()).join("below"));
    below.refuses(&[], &["state-dir", below.path()]);
}

#[test]
fn a_directory_that_cannot_be_written_is_refused() {
    if !is_root() {
        println!("NOT ROOT: permissions stand in for a file system that is mounted read-only");
        let state = State::new("read-only").with_record();
        let directory = Path::new(state.path());
        fs::set_permissions(state.record_path(), Permissions::from_mode(0o400)).unwrap();
        fs::set_permissions(directory, Permissions::from_mode(0o555)).unwrap();
        state.refuses(&[], &["slot-0000.record", "Permission denied"]);
        fs::set_permissions(directory, Permissions::from_mode(0o755)).unwrap();
        return;
    }
    let mount = Mount::ext4("read-only");
    let state = State::inside("read-only", &mount.path().join("state")).with_record();
    mount.remount("ro");
    state.refuses(&[], &["slot-0000.record", "Read-only file system"]);
    state.refuses(&["--worker-id", "1"], &["slot-0001.record", "Read-only file system"]);
    let new = State::inside("read-only-new", &mount.path().join("new"));
    new.refuses(&[], &["state-dir", new.path(), "Read-only file system"]);
    // Looking is possible.
    state.slots("list", &[]).assert_code(0);
    state.slots("adopt", &[]).assert_code(1).assert_says(&["Read-only file system"]);
    mount.remount("rw");
    state.serves_above(state.bound_ms(), &[]);
}

#[test]
fn a_file_system_that_forgets_is_refused_unless_it_is_accepted() {
    let mount = is_root().then(|| Mount::tmpfs("tmpfs"));
    let place = mount.as_ref().map_or_else(|| Path::new("/dev/shm"), Mount::path);
    let state = State::inside("tmpfs", &place.join(format!("coreflake-{}", std::process::id())));
    state.refuses(&[], &["tmpfs", state.path(), "--allow-state-filesystem tmpfs"]);
    // Accepting another one does not help.
    state.refuses(&["--allow-state-filesystem", "nfs"], &["--allow-state-filesystem tmpfs"]);
    let adopt = state.slots("adopt", &[]);
    adopt.assert_code(1).assert_says(&["--allow-state-filesystem tmpfs"]);
    let log = state.serves_above(0, &["--allow-state-filesystem", "nfs,tmpfs"]);
    assert!(log.iter().any(|line| line.contains("window reserved")), "{log:#?}");
    let _ = fs::remove_dir_all(state.path());
}

/// Where state lies the file system may be mounted from another device after a restart of the
/// machine: the record is still that of this file.
#[test]
fn the_same_file_system_on_another_device_holds_the_same_record() {
    let mut mount = Mount::ext4("device");
    let directory = mount.path().join("state");
    let state = State::inside("device", &directory).with_record();
    let bound_ms = state.bound_ms();
    mount.move_to_another_device();
    state.serves_above(bound_ms, &[]);
}
