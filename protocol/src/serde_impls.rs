//! IDs in JSON and elsewhere. In formats for people a 64-bit ID is a string: readers of JSON that
//! keep numbers in floating point lose the last digits of numbers above 2^53. Reading takes numbers
//! too.

use core::fmt;
use core::str::FromStr;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::any_id::AnyId;
use crate::encoding::Encoding;
use crate::id::Id;
use crate::ulid::Ulid;

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_u64(self.get())
        }
    }
}

struct IdVisitor;

impl Visitor<'_> for IdVisitor {
    type Value = Id;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a 64-bit ID as a string of digits or as a number up to 2^63 - 1")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Id, E> {
        Id::new(number).ok_or_else(|| E::invalid_value(Unexpected::Unsigned(number), &self))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Id, E> {
        let id = u64::try_from(number).ok().and_then(Id::new);
        id.ok_or_else(|| E::invalid_value(Unexpected::Signed(number), &self))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Id, E> {
        let id = Encoding::Decimal.read(text);
        id.ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_any(IdVisitor)
        } else {
            deserializer.deserialize_u64(IdVisitor)
        }
    }
}

impl Serialize for AnyId {
    /// As text, whatever the format. It can be read as a [`Id`], a [`Ulid`] or a `Uuid`; which of
    /// the 64-bit kinds it is, it does not say.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Ulid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_bytes(&self.to_bytes())
        }
    }
}

struct UlidVisitor;

impl Visitor<'_> for UlidVisitor {
    type Value = Ulid;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a ULID of 26 characters, or its 16 bytes")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Ulid, E> {
        Ulid::from_str(text).map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Ulid, E> {
        let bytes = bytes.try_into().map_err(|_| E::invalid_length(bytes.len(), &self))?;
        Ok(Ulid::from_bytes(bytes))
    }
}

impl<'de> Deserialize<'de> for Ulid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(UlidVisitor)
        } else {
            deserializer.deserialize_bytes(UlidVisitor)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::Kind;

    #[test]
    fn ids_are_strings_in_json() {
        let id = Id::new(1_234_567_890_123_456_789).unwrap();
        assert_eq!(serde_json::to_string(&id).unwrap(), "\"1234567890123456789\"");
        for text in ["\"1234567890123456789\"", "1234567890123456789"] {
            assert_eq!(serde_json::from_str::<Id>(text).unwrap(), id);
        }
        for text in ["-1", "9223372036854775808", "\"\"", "\"x\"", "1.5", "null"] {
            assert!(serde_json::from_str::<Id>(text).is_err(), "{text}");
        }
        let instagram = AnyId::narrow(Kind::Instagram, id);
        assert_eq!(serde_json::to_string(&instagram).unwrap(), "\"1234567890123456789\"");
        let ulid: Ulid = "01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap();
        assert_eq!(serde_json::to_string(&AnyId::from(ulid)).unwrap(), format!("\"{ulid}\""));
        let text = "\"01ARZ3NDEKTSV4RRFFQ69G5FAV\"";
        assert_eq!(serde_json::to_string(&ulid).unwrap(), text);
        assert_eq!(serde_json::from_str::<Ulid>(text).unwrap(), ulid);
        assert!(serde_json::from_str::<Ulid>("\"81ARZ3NDEKTSV4RRFFQ69G5FAV\"").is_err());
    }
}
