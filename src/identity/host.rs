//! Who and where this process is.

use std::fs;

use coreflake_engine::record::Host;

/// The host name, for people who read a record.
pub(crate) fn name() -> Host {
    let uname = rustix::system::uname();
    Host::new(&uname.nodename().to_string_lossy())
}

/// The machine's own number, or 0 when it has none.
pub(crate) fn machine() -> u128 {
    let text = fs::read_to_string("/etc/machine-id").unwrap_or_default();
    u128::from_str_radix(text.trim(), 16).unwrap_or(0)
}

/// A number that no other start of any process has, and not 0. Two machines made from one image
/// have different ones: the kernel's generator is asked, not a seeded one.
pub(crate) fn new_holder() -> std::io::Result<u128> {
    random().map(|bytes| u128::from_be_bytes(bytes).max(1))
}

/// Bytes that nobody can guess.
pub(crate) fn random<const N: usize>() -> std::io::Result<[u8; N]> {
    let mut bytes = [0; N];
    let mut filled = 0;
    while filled < N {
        let rest = &mut bytes[filled..];
        filled += rustix::rand::getrandom(rest, rustix::rand::GetRandomFlags::empty())?;
    }
    Ok(bytes)
}
