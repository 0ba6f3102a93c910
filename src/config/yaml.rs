//! YAML into values. The library tells a place for errors only; so to learn the line of a key, the
//! text is read once more and an error is raised at that key.

use core::cell::Cell;
use core::fmt;

use serde::de::{DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, Visitor};

use crate::config::value::{Entry, Value};

/// Why a text is no YAML that can be used, and where.
#[derive(Debug, PartialEq)]
pub(super) struct SyntaxError {
    /// Line and column, from 1 on.
    pub(super) at: Option<(usize, usize)>,
    pub(super) text: String,
}

/// Reads the one document in `text`. An empty one is [`Value::Nothing`].
pub(super) fn read(text: &str) -> Result<Value, SyntaxError> {
    let reader = Reader { keys_read: Cell::new(0), stop_at: None };
    reader.read(text).or_else(|error| {
        let at = error.location().map(|place| (place.line(), place.column()));
        let mut message = error.to_string();
        if let Some((line, column)) = at {
            // It stands in front of the message.
            message = message.replace(&format!(" at line {line} column {column}"), "");
        }
        if message.contains("more than one document") {
            "several documents: one is expected, without `---` between keys"
                .clone_into(&mut message);
        }
        // Whatever the text holds, one problem is one line.
        let text = message.replace(char::is_control, " ");
        if text.starts_with("EOF ") { Ok(Value::Nothing) } else { Err(SyntaxError { at, text }) }
    })
}

/// The line of the key that stands behind `place` others in a text that was read before.
pub(super) fn line(text: &str, place: usize) -> Option<usize> {
    let reader = Reader { keys_read: Cell::new(0), stop_at: Some(place) };
    Some(reader.read(text).err()?.location()?.line())
}

/// Reads values, and counts keys.
struct Reader {
    keys_read: Cell<usize>,
    stop_at: Option<usize>,
}

impl Reader {
    fn read(&self, text: &str) -> Result<Value, yaml_serde::Error> {
        self.deserialize(yaml_serde::Deserializer::from_str(text))
    }
}

impl<'de> DeserializeSeed<'de> for &Reader {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &Reader {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a plain value, a list or a group of keys")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Nothing)
    }

    fn visit_none<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Nothing)
    }

    fn visit_bool<E: Error>(self, truth: bool) -> Result<Value, E> {
        Ok(Value::Bool(truth))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Integer(number.into()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Integer(number.into()))
    }

    fn visit_i128<E: Error>(self, number: i128) -> Result<Value, E> {
        Ok(Value::Integer(number))
    }

    fn visit_u128<E: Error>(self, number: u128) -> Result<Value, E> {
        Ok(i128::try_from(number).map_or(Value::Decimal(f64::INFINITY), Value::Integer))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Decimal(number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut group = Vec::new();
        while let Some((key, place)) = entries.next_key_seed(Key(self))? {
            let value = entries.next_value_seed(self)?;
            group.push(Entry { key, place, value });
        }
        Ok(Value::Group(group))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, _tagged: A) -> Result<Value, A::Error> {
        Err(A::Error::custom("a tag has no meaning here: leave out the word that begins with `!`"))
    }
}

/// Reads a key.
struct Key<'reader>(&'reader Reader);

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = (String, usize);

    fn deserialize<D: Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<(String, usize), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Key<'_> {
    type Value = (String, usize);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(String, usize), E> {
        let place = self.0.keys_read.get();
        if self.0.stop_at == Some(place) {
            return Err(E::custom("the key that was looked for"));
        }
        self.0.keys_read.set(place + 1);
        Ok((text.to_owned(), place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_its_line() {
        let text =
            "# of two lines\n\na: 1\nb:\n  c: [x,\n   y]\n  a:\nd: {e: 1.5, f: true}\na: -2\n";
        let Ok(Value::Group(entries)) = read(text) else { panic!() };
        let keys: Vec<_> = entries.iter().map(|entry| entry.key.as_str()).collect();
        assert_eq!(keys, ["a", "b", "d", "a"]);
        let lines: Vec<_> = (0..8).map(|place| line(text, place).unwrap()).collect();
        assert_eq!(lines, [3, 4, 5, 7, 8, 8, 8, 9]);
        assert_eq!(line(text, 8), None);
        assert_eq!(entries[3].place, 7);
        assert_eq!(entries[3].value, Value::Integer(-2));
    }

    #[test]
    fn nothing_is_no_error() {
        for text in ["", "\n", "# a comment\n", "~", "---\n", "---\n...\n"] {
            assert_eq!(read(text), Ok(Value::Nothing), "{text:?}");
        }
    }

    #[test]
    fn an_error_has_a_place() {
        for (text, at) in [
            ("a: 1\nb: [1,\n", Some((3, 1))),
            ("a: 1\n b: 2\n", Some((2, 3))),
            ("a: *x\n", Some((1, 4))),
            ("a: !x 1\n", Some((1, 4))),
            ("1: x\n", Some((1, 1))),
            ("? [a]\n: b\n", Some((1, 3))),
            ("a: 1\n---\nb: 2\n", None),
        ] {
            let error = read(text).unwrap_err();
            assert_eq!(error.at, at, "{text:?}: {error:?}");
            assert!(!error.text.contains(" line ") || error.text.contains("while"), "{error:?}");
        }
    }

    #[test]
    fn a_document_that_unfolds_is_cut_short() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let below = format!("*a{}, ", level - 1).repeat(9);
            text.push_str(&format!("a{level}: &a{level} [{below}]\n"));
        }
        assert!(read(&text).is_err());
        assert!(read(&format!("a: {}", "[".repeat(10_000))).is_err());
    }
}
