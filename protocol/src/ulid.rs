//! ULIDs (<https://github.com/ulid/spec>): 48 bits of milliseconds, 80 bits behind them.

use core::fmt;
use core::str::FromStr;

use crate::crockford;

/// A ULID. Its order is that of its text and of its 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ulid(u128);

/// The text is no ULID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UlidError;

/// Bits behind the time.
const REST_BITS: u32 = 80;

impl Ulid {
    /// Characters of the text.
    pub const TEXT_SIZE: usize = 26;

    /// The ULID with these bits.
    pub const fn from_u128(bits: u128) -> Self {
        Self(bits)
    }

    /// Its bits.
    pub const fn as_u128(self) -> u128 {
        self.0
    }

    /// The ULID with these bytes, the highest first.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }

    /// Its bytes, the highest first.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// When it was made, in milliseconds since the Unix epoch: 48 bits.
    #[allow(clippy::cast_possible_truncation)] // 48 bits are left.
    pub const fn unix_ms(self) -> u64 {
        (self.0 >> REST_BITS) as u64
    }
}

impl fmt::Display for Ulid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits: [u8; Self::TEXT_SIZE] = crockford::digits(self.0);
        f.pad(core::str::from_utf8(&digits).unwrap_or_default())
    }
}

impl FromStr for Ulid {
    type Err = UlidError;

    /// Reads 26 digits of Crockford's base 32, in upper or lower case, with its aliases. More than
    /// `7ZZZZZZZZZZZZZZZZZZZZZZZZZ` does not fit 128 bits and is refused, as the specification
    /// demands.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let sized = (text.len() == Self::TEXT_SIZE).then_some(text.as_bytes());
        sized.and_then(crockford::read).map(Self).ok_or(UlidError)
    }
}

impl fmt::Display for UlidError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "26 characters of Crockford's base 32 up to 7ZZZZZZZZZZZZZZZZZZZZZZZZZ are expected",
        )
    }
}

impl core::error::Error for UlidError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_specification_is_read_in_every_spelling() {
        let text = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
        let ulid: Ulid = text.parse().unwrap();
        assert_eq!((ulid.unix_ms(), ulid.to_string().as_str()), (1_469_922_850_259, text));
        for spelling in [
            "01arz3ndektsv4rrffq69g5fav",
            "O1ARZ3NDEKTSV4RRFFQ69G5FAV",
            "oLArZ3NDEKTSV4RRFFQ69G5FAV",
        ] {
            assert_eq!(spelling.parse(), Ok(ulid), "{spelling}");
        }
        assert_eq!(Ulid::from_bytes(ulid.to_bytes()), ulid);
    }

    #[test]
    fn what_does_not_fit_128_bits_is_refused() {
        let max = "7ZZZZZZZZZZZZZZZZZZZZZZZZZ";
        assert_eq!(max.parse(), Ok(Ulid::from_u128(u128::MAX)));
        assert_eq!(Ulid::from_u128(u128::MAX).to_string(), max);
        for text in [
            "80000000000000000000000000",
            "ZZZZZZZZZZZZZZZZZZZZZZZZZZ",
            "",
            "0",
            "01ARZ3NDEKTSV4RRFFQ69G5FA",
            "01ARZ3NDEKTSV4RRFFQ69G5FAVV",
            "01ARZ3NDEKTSV4RRFFQ69G5FAU",
            "01ARZ3NDEKTSV4RRFFQ69G5F-V",
        ] {
            assert_eq!(text.parse::<Ulid>(), Err(UlidError), "{text}");
        }
    }
}
