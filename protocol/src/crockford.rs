//! Crockford's base 32 (<https://www.crockford.com/base32.html>): digits that people can read
//! aloud.

const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// No digit.
const NONE: u8 = 0xff;

/// What each byte is worth. Lower case counts as upper case, `O` as 0, `I` and `L` as 1.
const VALUES: [u8; 256] = {
    let mut values = [NONE; 256];
    let mut value = 0;
    while value < DIGITS.len() {
        let digit = DIGITS[value];
        #[allow(clippy::cast_possible_truncation)] // Below 32.
        let worth = value as u8;
        values[digit as usize] = worth;
        values[digit.to_ascii_lowercase() as usize] = worth;
        value += 1;
    }
    let aliases = [(b'O', 0), (b'o', 0), (b'I', 1), (b'i', 1), (b'L', 1), (b'l', 1)];
    let mut place = 0;
    while place < aliases.len() {
        values[aliases[place].0 as usize] = aliases[place].1;
        place += 1;
    }
    values
};

/// The last `N` digits of a number, the highest first.
pub(crate) fn digits<const N: usize>(mut number: u128) -> [u8; N] {
    let mut digits = [b'0'; N];
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[(number & 31) as usize];
        number >>= 5;
    }
    digits
}

/// The number that the digits write, or `None` when one is no digit or 128 bits cannot hold it.
pub(crate) fn read(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0u128, |number, digit| {
        let value = VALUES[usize::from(*digit)];
        (value != NONE && number >> 123 == 0).then(|| number << 5 | u128::from(value))
    })
}
