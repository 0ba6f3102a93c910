//! How IDs and times stand in JSON.

use core::fmt;

use coreflake_protocol::{AnyId, AnyText, Encoding};
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use crate::timestamp;

/// An ID: a number if it has 64 bits, else its text. JavaScript loses the last digits of large
/// numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bare(pub(crate) AnyId);

/// An ID: a number if it has 64 bits, else its text.
#[derive(ToSchema)]
#[schema(example = 780_469_450_963_943_424_u64)]
#[serde(untagged)]
#[allow(dead_code)] // It speaks to the macro alone.
pub(crate) enum BareSchema {
    /// Of 64 bits.
    Number(u64),
    /// Of 128 bits.
    Text(String),
}

/// An ID as text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Text(AnyText);

/// Milliseconds since the Unix epoch, written as RFC 3339 in UTC; null beyond the year 9999.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Time(pub(crate) u64);

impl Serialize for Bare {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.id() {
            Some(id) => serializer.serialize_u64(id.get()),
            None => serializer.collect_str(&self.0),
        }
    }
}

impl Text {
    /// In this encoding, or as it is usual for its kind.
    pub(crate) fn of(id: AnyId, encoding: Option<Encoding>) -> Self {
        Self(id.text(encoding.unwrap_or_default()))
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        timestamp::rfc3339_of(self.0).serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use coreflake_protocol::Kind;

    use super::*;

    #[test]
    fn what_javascript_reads_right_is_a_number_and_the_rest_text() {
        let json = |text, kind| {
            let id = AnyId::read(text, kind, None).unwrap();
            serde_json::to_string(&(Bare(id), Text::of(id, None))).unwrap()
        };
        assert_eq!(json("007", None), r#"[7,"7"]"#);
        assert_eq!(json("8388607", Some(Kind::Instagram)), r#"[8388607,"8388607"]"#);
        let ulid = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
        assert_eq!(json(&ulid.to_lowercase(), None), format!(r#"["{ulid}","{ulid}"]"#));
        let id = AnyId::read("62", None, None).unwrap();
        assert_eq!(Text::of(id, Some(Encoding::Base62)).to_string(), "00000000010");
    }

    #[test]
    fn a_time_that_has_no_digits_is_null() {
        let json = |unix_ms| serde_json::to_string(&Time(unix_ms)).unwrap();
        assert_eq!(json(0), r#""1970-01-01T00:00:00.000Z""#);
        assert_eq!(json((1 << 48) - 1), "null");
    }
}
