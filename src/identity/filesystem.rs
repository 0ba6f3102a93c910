//! Which file systems keep what they have acknowledged.

use std::os::fd::AsFd;

use rustix::fs::fstatfs;

/// File systems that forget with the machine, or whose writes are acknowledged by somebody else.
/// The numbers are those of statfs(2).
const UNFIT: [(u64, &str); 13] = [
    (0x0102_1994, "tmpfs"),
    (0x8584_58f6, "ramfs"),
    (0x794c_7630, "overlayfs"),
    (0x6969, "nfs"),
    (0x6573_5546, "fuse"),
    (0xff53_4d42, "cifs"),
    (0xfe53_4d42, "smb2"),
    (0x517b, "smb"),
    (0x0102_1997, "9p"),
    (0x00c3_6400, "ceph"),
    (0x5346_414f, "afs"),
    (0x7461_636f, "ocfs2"),
    (0x0bd0_0bd0, "lustre"),
];

/// The names that can be allowed.
pub(crate) fn unfit_names() -> impl Iterator<Item = &'static str> {
    UNFIT.into_iter().map(|(_, name)| name)
}

/// The name of the file system under `file` when it is not fit for records.
pub(crate) fn unfit(file: impl AsFd) -> std::io::Result<Option<&'static str>> {
    let statfs = fstatfs(file)?;
    // The field is signed or not, and 32 or 64 bits wide, with the machine: only 32 bits count.
    let kind = statfs.f_type as u64 & 0xffff_ffff;
    Ok(UNFIT.into_iter().find(|(number, _)| *number == kind).map(|(_, name)| name))
}
