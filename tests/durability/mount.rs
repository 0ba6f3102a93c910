//! File systems of a test's own, on loop devices and in memory. They need the administrator: where
//! that is not possible a test fails, it does not pass without having shown anything.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::Scratch;

/// How many devices are taken at most, so that a file system moves to another one.
const OTHERS_MAX: usize = 8;

/// A mounted file system. It goes away with the value.
pub(crate) struct Mount {
    point: PathBuf,
    mounted: bool,
    /// Holds the image and the mount point; removed after the unmount.
    scratch: Scratch,
}

impl Mount {
    /// An ext4 file system of 16 MiB in a file.
    #[track_caller]
    pub(crate) fn ext4(name: &str) -> Self {
        let mut mount = Self::point(name);
        let image = mount.image();
        run("truncate", &["--size", "16M", &image]);
        run("mkfs.ext4", &["-q", "-F", &image]);
        mount.attach(&["-o", "loop", &image]);
        mount
    }

    /// A tmpfs.
    #[track_caller]
    pub(crate) fn tmpfs(name: &str) -> Self {
        let mut mount = Self::point(name);
        mount.attach(&["-t", "tmpfs", "-o", "size=1M", "none"]);
        mount
    }

    /// Unmounts an ext4 file system and mounts it from another loop device.
    #[track_caller]
    pub(crate) fn move_to_another_device(&mut self) {
        let device = std::fs::metadata(&self.point).unwrap().dev();
        run("umount", &[self.point.to_str().unwrap()]);
        self.mounted = false;
        // They take the devices that are free: that of this one is among them sooner or later, once
        // it is detached, if nobody else has taken it meanwhile.
        let mut others = Vec::new();
        while others.len() < OTHERS_MAX {
            others.push(Self::ext4(&format!("{device}-other-{}", others.len())));
            self.attach(&["-o", "loop", &self.image()]);
            if std::fs::metadata(&self.point).unwrap().dev() != device {
                return;
            }
            run("umount", &[self.point.to_str().unwrap()]);
            self.mounted = false;
        }
        panic!("it always comes back to the same device");
    }

    fn point(name: &str) -> Self {
        let scratch = Scratch::new(&format!("durability-mount-{name}"));
        let point = scratch.path().join("point");
        std::fs::create_dir_all(&point).unwrap();
        Self { point, mounted: false, scratch }
    }

    fn image(&self) -> String {
        self.scratch.path().join("image").to_str().unwrap().to_owned()
    }

    #[track_caller]
    fn attach(&mut self, args: &[&str]) {
        run("mount", &[args, &[self.point.to_str().unwrap()]].concat());
        self.mounted = true;
    }

    pub(crate) fn path(&self) -> &Path {
        &self.point
    }

    /// Mounts it anew with these options; nobody may write into it at the moment.
    #[track_caller]
    pub(crate) fn remount(&self, options: &str) {
        run("mount", &["-o", &format!("remount,{options}"), self.point.to_str().unwrap()]);
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if self.mounted {
            // Lazily: a server that is being killed may still be in there.
            let _ = Command::new("umount").arg("--lazy").arg(&self.point).status();
        }
    }
}

/// Runs a command of the administrator, which has to succeed.
#[track_caller]
fn run(program: &str, args: &[&str]) {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let output = Command::new(program).args(args).env("PATH", path).output();
    let output = output.unwrap_or_else(|error| panic!("{program} {args:?}: {error}"));
    assert!(
        output.status.success(),
        "{program} {args:?} failed: {}\nThis test mounts file systems: run it as root, on a machine \
         with loop devices. It is not skipped, because then nothing would show what it shows.",
        String::from_utf8_lossy(&output.stderr)
    );
}
