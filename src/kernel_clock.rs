//! What the kernel says about its own clock: whether somebody keeps it right, and how far it may be
//! off.
//!
//! It is the word of the time daemon of this machine (chronyd, ntpd, systemd-timesyncd), which
//! tells the kernel. It stands beside the answers of the time servers and decides nothing: a daemon
//! that follows a wrong server is sure of itself as well.

use std::{fmt, io, mem};

use libc::{c_int, c_long};

/// The state of the kernel's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KernelClock {
    /// A time daemon keeps it right.
    Synchronised {
        /// How far it may be off at most, in microseconds.
        max_error_us: u64,
        /// How far it is thought to be off, in microseconds.
        est_error_us: u64,
    },
    /// Nobody keeps it right.
    Unsynchronised,
    /// The kernel does not tell, for this reason. A service manager that forbids all calls which
    /// could set the clock (`ProtectClock=yes`) forbids asking as well.
    Unknown(String),
}

impl KernelClock {
    /// Asks the kernel.
    pub fn read() -> Self {
        // SAFETY: a `timex` is made of integers only, for which zero is a value, and the kernel
        // writes into nothing else. With `modes` zero the call changes nothing.
        #[allow(unsafe_code)]
        let (state, timex) = unsafe {
            let mut timex: libc::timex = mem::zeroed();
            (libc::adjtimex(&raw mut timex), timex)
        };
        if state < 0 {
            return Self::Unknown(io::Error::last_os_error().to_string());
        }
        Self::of(state, timex.status, [timex.maxerror, timex.esterror])
    }

    /// The state as one word.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Synchronised { .. } => "synchronised",
            Self::Unsynchronised => "unsynchronised",
            Self::Unknown(_) => "unknown",
        }
    }

    fn of(state: c_int, status: c_int, errors_us: [c_long; 2]) -> Self {
        if state == libc::TIME_ERROR || status & libc::STA_UNSYNC != 0 {
            return Self::Unsynchronised;
        }
        let [max_error_us, est_error_us] = errors_us.map(|us| u64::try_from(us).unwrap_or(0));
        Self::Synchronised { max_error_us, est_error_us }
    }
}

impl fmt::Display for KernelClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::Synchronised { max_error_us, est_error_us } => {
                write!(f, " (off by {est_error_us} us, at most by {max_error_us} us)")
            }
            Self::Unsynchronised => Ok(()),
            Self::Unknown(reason) => write!(f, " ({reason})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_synchronised_when_the_kernel_says_so_twice() {
        let synchronised = KernelClock::Synchronised { max_error_us: 1_500, est_error_us: 20 };
        // A leap second that is announced is no error.
        for state in [libc::TIME_OK, libc::TIME_INS, libc::TIME_WAIT] {
            assert_eq!(KernelClock::of(state, libc::STA_PLL, [1_500, 20]), synchronised);
        }
        let of = |state, status| KernelClock::of(state, status, [1_500, 20]);
        assert_eq!(of(libc::TIME_ERROR, libc::STA_PLL), KernelClock::Unsynchronised);
        assert_eq!(of(libc::TIME_OK, libc::STA_UNSYNC), KernelClock::Unsynchronised);
    }
}
