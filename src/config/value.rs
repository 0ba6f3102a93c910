//! Values of a configuration file, and what they are read as. Each error is the end of a sentence
//! that begins with the key.

use core::fmt;
use core::ops::RangeInclusive;
use core::str::FromStr;
use std::path::PathBuf;

/// Characters of a text that are shown.
const SHOWN_MAX: usize = 64;

/// What stands behind a key.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Nothing,
    Bool(bool),
    Integer(i128),
    Decimal(f64),
    Text(String),
    List(Vec<Self>),
    Group(Vec<Entry>),
}

/// A key and what stands behind it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) key: String,
    /// How many keys stand before it in the file.
    pub(super) place: usize,
    pub(super) value: Value,
}

impl Value {
    /// The end of a sentence that says what is expected instead.
    pub(super) fn instead_of(&self, expected: &str) -> String {
        match self {
            Self::Nothing => format!("has no value: {expected} is expected"),
            value => format!("{value}: {expected} is expected"),
        }
    }

    /// A whole number in a range.
    pub(super) fn number<T>(&self, range: &RangeInclusive<T>) -> Result<T, String>
    where
        T: Copy + TryFrom<i128> + PartialOrd + fmt::Display,
    {
        let (min, max) = (range.start(), range.end());
        let Self::Integer(number) = self else {
            return Err(self.instead_of(&format!("a whole number from {min} to {max}")));
        };
        let valid = T::try_from(*number).ok().filter(|number| range.contains(number));
        valid.ok_or_else(|| format!("{number} is out of range: {min} to {max} are allowed"))
    }

    /// `true` or `false`.
    pub(super) fn truth(&self) -> Result<bool, String> {
        match self {
            Self::Bool(truth) => Ok(*truth),
            other => Err(other.instead_of("true or false")),
        }
    }

    /// A text that means something.
    pub(super) fn text<T: FromStr>(&self, expected: &str) -> Result<T, String> {
        self.text_with(expected, |text| text.parse().ok())
    }

    /// A text that means something to `read`.
    pub(super) fn text_with<T>(
        &self,
        expected: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<T, String> {
        let read = match self {
            Self::Text(text) => read(text),
            _ => None,
        };
        read.ok_or_else(|| self.instead_of(expected))
    }

    /// A path.
    pub(super) fn path(&self) -> Result<PathBuf, String> {
        self.text_with("a path", |text| (!text.is_empty()).then(|| text.into()))
    }

    /// A list of texts that mean something to `read`.
    pub(super) fn list<T>(
        &self,
        expected: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<Vec<T>, String> {
        let Self::List(items) = self else {
            return Err(self.instead_of(&format!("a list, of which each item is {expected},")));
        };
        items.iter().map(|item| item.text_with(expected, &read)).collect()
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing"),
            Self::Bool(truth) => truth.fmt(f),
            Self::Integer(number) => number.fmt(f),
            Self::Decimal(number) => number.fmt(f),
            Self::Text(text) => shown(text).fmt(f),
            Self::List(items) => write!(f, "(a list of {})", items.len()),
            Self::Group(entries) => write!(f, "(a group of {})", entries.len()),
        }
    }
}

/// A text in quotes, without its end if it is long.
pub(super) fn shown(text: &str) -> String {
    if text.chars().nth(SHOWN_MAX).is_none() {
        return format!("{text:?}");
    }
    format!("{:?}…", text.chars().take(SHOWN_MAX).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_whole_and_in_its_range() {
        let number = |value: Value| value.number(&(0..=31_u64));
        assert_eq!(number(Value::Integer(31)), Ok(31));
        for (value, message) in [
            (Value::Integer(32), "32 is out of range: 0 to 31 are allowed"),
            (Value::Integer(-1), "-1 is out of range: 0 to 31 are allowed"),
            (Value::Decimal(1.5), "1.5: a whole number from 0 to 31 is expected"),
            (Value::Text("5".into()), "\"5\": a whole number from 0 to 31 is expected"),
            (Value::Bool(true), "true: a whole number from 0 to 31 is expected"),
            (Value::Nothing, "has no value: a whole number from 0 to 31 is expected"),
            (Value::List(vec![]), "(a list of 0): a whole number from 0 to 31 is expected"),
        ] {
            assert_eq!(number(value), Err(message.to_owned()));
        }
    }

    #[test]
    fn nothing_long_and_no_escape_reaches_a_terminal() {
        let long = shown(&"x".repeat(1_000));
        assert!(long.ends_with("x\"…") && long.chars().count() == SHOWN_MAX + 3, "{long}");
        assert_eq!(shown("\x1b[2J"), "\"\\u{1b}[2J\"");
    }
}
