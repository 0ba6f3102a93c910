//! 64-bit IDs as text.

use core::fmt;
use core::str::FromStr;

use crate::crockford;
use crate::id::Id;

/// How a 64-bit ID is written. In the two shorter forms all IDs have the same length, so texts sort
/// as their numbers do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// 1 to 19 digits.
    #[default]
    Decimal,
    /// 11 characters of `0-9A-Za-z`, in the order of their bytes.
    Base62,
    /// 13 characters of Crockford's base 32; lower case and the aliases `I`, `L`, `O` are read too.
    Crockford,
}

/// The name is that of no encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownEncoding;

const DECIMAL_SIZE_MAX: usize = 19;
const BASE62_SIZE: usize = 11;
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const CROCKFORD_SIZE: usize = 13;

/// A 64-bit ID in some encoding: what [`Encoding::text`] gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encoded {
    id: Id,
    encoding: Encoding,
}

impl Encoding {
    /// Every encoding.
    pub const ALL: [Self; 3] = [Self::Decimal, Self::Base62, Self::Crockford];

    /// The name used on the command line and in requests.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Decimal => "decimal",
            Self::Base62 => "base62",
            Self::Crockford => "crockford",
        }
    }

    /// The ID as text, to be displayed.
    pub const fn text(self, id: Id) -> Encoded {
        Encoded { id, encoding: self }
    }

    /// What [`Encoding::read`] takes, in words.
    pub const fn rule(self) -> &'static str {
        match self {
            Self::Decimal => {
                "a decimal number up to 9223372036854775807, of at most 19 digits, is expected"
            }
            Self::Base62 => "11 characters of 0-9A-Za-z up to AzL8n0Y58m7 are expected",
            Self::Crockford => {
                "13 characters of Crockford's base 32 up to 7ZZZZZZZZZZZZ are expected"
            }
        }
    }

    /// The ID with this text, or `None`: see [`Encoding::rule`].
    pub fn read(self, text: &str) -> Option<Id> {
        let bytes = text.as_bytes();
        let number = match self {
            Self::Decimal => {
                let sized = (1..=DECIMAL_SIZE_MAX).contains(&bytes.len());
                let digits = sized && bytes.iter().all(u8::is_ascii_digit);
                digits.then(|| text.parse().ok()).flatten()
            }
            Self::Base62 if bytes.len() == BASE62_SIZE => {
                bytes.iter().try_fold(0u64, |number, byte| {
                    let digit = BASE62.binary_search(byte).ok()? as u64;
                    number.checked_mul(62)?.checked_add(digit)
                })
            }
            Self::Crockford if bytes.len() == CROCKFORD_SIZE => {
                crockford::read(bytes).and_then(|number| u64::try_from(number).ok())
            }
            Self::Base62 | Self::Crockford => None,
        };
        number.and_then(Id::new)
    }
}

impl fmt::Display for Encoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.encoding {
            Encoding::Decimal => self.id.fmt(f),
            Encoding::Base62 => {
                let mut number = self.id.get();
                let mut digits = [0; BASE62_SIZE];
                for digit in digits.iter_mut().rev() {
                    *digit = BASE62[(number % 62) as usize];
                    number /= 62;
                }
                f.pad(core::str::from_utf8(&digits).unwrap_or_default())
            }
            Encoding::Crockford => {
                let digits: [u8; CROCKFORD_SIZE] = crockford::digits(self.id.get().into());
                f.pad(core::str::from_utf8(&digits).unwrap_or_default())
            }
        }
    }
}

impl FromStr for Encoding {
    type Err = UnknownEncoding;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|encoding| encoding.name() == name).ok_or(UnknownEncoding)
    }
}

impl fmt::Display for UnknownEncoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the encodings are `decimal`, `base62`, `crockford`")
    }
}

impl core::error::Error for UnknownEncoding {}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u64) -> Id {
        Id::new(number).unwrap()
    }

    #[test]
    fn every_encoding_comes_back_and_keeps_the_order() {
        let numbers = [0, 1, 31, 32, 61, 62, 4_095, (1 << 53) - 1, 1_234_567_890_123_456_789];
        for encoding in Encoding::ALL {
            assert_eq!(encoding.name().parse(), Ok(encoding));
            let texts = numbers.map(|number| encoding.text(id(number)).to_string());
            for (text, number) in texts.iter().zip(numbers) {
                assert_eq!(encoding.read(text), Some(id(number)), "{text}");
            }
            assert!(encoding == Encoding::Decimal || texts.is_sorted());
        }
        assert_eq!(Encoding::Base62.text(Id::MAX).to_string(), "AzL8n0Y58m7");
        assert_eq!(Encoding::Crockford.text(Id::MAX).to_string(), "7ZZZZZZZZZZZZ");
        assert_eq!(Encoding::Crockford.text(id(0)).to_string(), "0000000000000");
    }

    #[test]
    fn what_is_no_id_is_refused() {
        let wrong = [
            (Encoding::Decimal, &["", "-1", "+1", " 1", "9223372036854775808", "1e3", "１"][..]),
            (Encoding::Decimal, &["00000000000000000001"]),
            (
                Encoding::Base62,
                &["", "0", "AzL8n0Y58m8", "zzzzzzzzzzz", "000000000000", "0000000000-"],
            ),
            (
                Encoding::Crockford,
                &["", "8000000000000", "ZZZZZZZZZZZZZ", "000000000000U", "0000000000é"],
            ),
        ];
        for (encoding, texts) in wrong {
            for text in texts {
                assert_eq!(encoding.read(text), None, "{text}");
            }
        }
        assert_eq!(Encoding::Crockford.read("7zzzzzzzzzzzz"), Some(Id::MAX));
        assert_eq!(Encoding::Crockford.read("000000000oIl1"), Some(id((1 << 10) + (1 << 5) + 1)));
        assert_eq!("base64".parse::<Encoding>(), Err(UnknownEncoding));
    }
}
