//! Descriptors that the runtime watches until there is something to read, and for nothing else.
//!
//! The runtime's own socket types are watched for room to write as well. Each datagram that the
//! kernel has delivered makes room, so a UDP socket of theirs wakes its thread once more per reply.

use std::io;
use std::net::UdpSocket;
use std::os::fd::{AsRawFd, OwnedFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// What owns one open descriptor, and the same one until it is dropped.
pub(crate) trait OwnsDescriptor: AsRawFd {}

impl OwnsDescriptor for OwnedFd {}
impl OwnsDescriptor for UdpSocket {}

/// Has the runtime that this is called in watch a descriptor, which has to be nonblocking.
///
/// # Errors
///
/// When the kernel has no room for one more.
///
/// # Panics
///
/// Outside of a runtime.
pub(crate) fn readable<T: OwnsDescriptor>(io: T) -> io::Result<AsyncFd<T>> {
    // SAFETY: what `OwnsDescriptor` says.
    #[allow(unsafe_code)]
    let watched = unsafe { AsyncFd::register_with_interest(io, Interest::READABLE) };
    watched.map_err(io::Error::from)
}
