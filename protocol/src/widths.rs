//! How many bits each part of a 64-bit ID has.

use core::fmt;
use core::str::FromStr;

/// Bit widths, from the top of an ID: timestamp, datacenter, worker, sequence. Written as
/// `41+5+5+12`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Widths {
    /// Of the time.
    pub timestamp: u8,
    /// Of the datacenter part of the slot.
    pub datacenter: u8,
    /// Of the worker part of the slot.
    pub worker: u8,
    /// Of the place within a tick.
    pub sequence: u8,
}

/// The text is no bit widths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WidthsError;

impl Widths {
    /// 41 bits of time, 5 of datacenter, 5 of worker, 12 of sequence.
    pub const SNOWFLAKE: Self = Self { timestamp: 41, datacenter: 5, worker: 5, sequence: 12 };

    /// 53 bits together, so that JavaScript and every other reader of floating-point numbers keeps
    /// all digits: 64 IDs per millisecond for each of 16 workers in 4 datacenters.
    pub const JAVASCRIPT: Self = Self { timestamp: 41, datacenter: 2, worker: 4, sequence: 6 };

    /// Of datacenter and worker part together.
    pub const fn slot(self) -> u16 {
        self.datacenter as u16 + self.worker as u16
    }

    /// All bits together.
    pub const fn total(self) -> u16 {
        self.timestamp as u16 + self.slot() + self.sequence as u16
    }
}

impl fmt::Display for Widths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { timestamp, datacenter, worker, sequence } = self;
        write!(f, "{timestamp}+{datacenter}+{worker}+{sequence}")
    }
}

impl FromStr for Widths {
    type Err = WidthsError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut widths = text.split('+').map(|width| {
            let digits = !width.is_empty() && width.bytes().all(|byte| byte.is_ascii_digit());
            digits.then(|| width.parse().ok()).flatten()
        });
        let mut next = || widths.next().flatten().ok_or(WidthsError);
        let read =
            Self { timestamp: next()?, datacenter: next()?, worker: next()?, sequence: next()? };
        if widths.next().is_some() { Err(WidthsError) } else { Ok(read) }
    }
}

impl fmt::Display for WidthsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("four bit widths such as 41+5+5+12 are expected")
    }
}

impl core::error::Error for WidthsError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_are_written_as_they_are_read() {
        assert_eq!("41+5+5+12".parse(), Ok(Widths::SNOWFLAKE));
        assert_eq!(Widths::JAVASCRIPT.to_string(), "41+2+4+6");
        assert_eq!((Widths::SNOWFLAKE.total(), Widths::JAVASCRIPT.total()), (63, 53));
        for text in
            ["", "41", "41+5+5", "41+5+5+12+0", "41+5+5+", "41++5+12", "41+5+5+256", "-1+5+5+12"]
        {
            assert_eq!(text.parse::<Widths>(), Err(WidthsError), "{text}");
        }
    }
}
