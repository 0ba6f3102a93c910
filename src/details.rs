//! What an ID says, the same over REST, gRPC and on the command line; what a range of IDs says,
//! where there are ranges.

use coreflake_protocol::{AnyId, BoundsError, Encoding, IdError, Kind, Namespace, Slot};
use serde::Serialize;
use utoipa::ToSchema;

use crate::json::{Bare, BareSchema, Text, Time};

/// The parts of an ID, by the settings of a namespace.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Details {
    /// When the ID was issued: RFC 3339, UTC, with milliseconds; null beyond the year 9999.
    #[schema(required, value_type = Option<String>, example = "2030-04-30T18:12:02.167Z")]
    pub(crate) timestamp: Time,
    /// The same in milliseconds since the Unix epoch.
    pub(crate) timestamp_ms: u64,
    /// The datacenter; null when the ID names no slot of the namespace.
    #[schema(required)]
    pub(crate) datacenter_id: Option<u16>,
    /// The worker; null as well then.
    #[schema(required)]
    pub(crate) worker_id: Option<u16>,
    /// The number within the timestamp: the sequence of a 64-bit ID, the counter of others.
    pub(crate) sequence: u32,
    /// The kind of ID.
    #[schema(example = "snowflake")]
    pub(crate) kind: &'static str,
    /// Of kind `instagram`: the shard.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = 8_191, maximum = 4_194_303)]
    pub(crate) shard_id: Option<u32>,
    /// Of kind `uuid1`: 14 bits.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, maximum = 16_383)]
    pub(crate) clock_sequence: Option<u16>,
    /// Of kind `uuid1`: six bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, pattern = "^([0-9a-f]{2}:){5}[0-9a-f]{2}$")]
    pub(crate) node: Option<String>,
}

/// An ID and its parts, by the settings of a namespace.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ParsedId {
    /// The ID.
    #[schema(value_type = BareSchema)]
    id: Bare,
    /// The ID as text: in its usual form, or in the encoding that it was given in.
    #[schema(value_type = String)]
    id_str: Text,
    /// Its parts.
    #[serde(flatten)]
    details: Details,
}

/// The smallest and the largest ID of a stretch of time, for range scans. They need not have been
/// issued.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct IdRange {
    /// When it begins: RFC 3339, UTC, with milliseconds; null beyond the year 9999.
    #[schema(required, value_type = Option<String>, example = "2026-11-01T00:00:00.000Z")]
    from: Time,
    /// When it ends; the last millisecond belongs to it.
    #[schema(required, value_type = Option<String>, example = "2026-11-30T23:59:59.999Z")]
    to: Time,
    /// The beginning in milliseconds since the Unix epoch.
    from_ms: u64,
    /// The end in milliseconds since the Unix epoch.
    to_ms: u64,
    /// No ID of the stretch is smaller.
    #[schema(value_type = BareSchema)]
    min_id: Bare,
    /// No ID of the stretch is larger.
    #[schema(value_type = BareSchema)]
    max_id: Bare,
    /// The smallest as text, in the encoding that was asked for.
    #[schema(value_type = String)]
    min_id_str: Text,
    /// The largest as text.
    #[schema(value_type = String)]
    max_id_str: Text,
    /// The kind of ID.
    #[schema(example = "snowflake")]
    kind: &'static str,
}

impl Details {
    /// Takes an ID apart.
    ///
    /// # Errors
    ///
    /// When it lies past the end of the layout.
    pub(crate) fn of(namespace: &Namespace, id: AnyId) -> Result<Self, IdError> {
        let parsed = namespace.parse(id)?;
        let instagram = id.id().filter(|_| id.kind() == Kind::Instagram);
        let node = id.node();
        Ok(Self {
            timestamp: Time(parsed.unix_ms),
            timestamp_ms: parsed.unix_ms,
            datacenter_id: parsed.slot.map(Slot::datacenter_id),
            worker_id: parsed.slot.map(Slot::worker_id),
            sequence: parsed.sequence,
            kind: id.kind().name(),
            shard_id: instagram.map(|id| namespace.shard(id)),
            clock_sequence: node.map(|(_, clock_sequence)| clock_sequence),
            node: node.map(|(node, _)| node_text(node)),
        })
    }
}

impl ParsedId {
    /// Takes an ID apart that was given in an encoding.
    ///
    /// # Errors
    ///
    /// When it lies past the end of the layout.
    pub(crate) fn of(
        namespace: &Namespace,
        id: AnyId,
        encoding: Option<Encoding>,
    ) -> Result<Self, IdError> {
        let details = Details::of(namespace, id)?;
        Ok(Self { id: Bare(id), id_str: Text::of(id, encoding), details })
    }
}

impl IdRange {
    /// The range from one time to another, both in milliseconds since the Unix epoch and included.
    ///
    /// # Errors
    ///
    /// When the kind does not sort by time, or has no IDs then.
    pub(crate) fn of(
        namespace: &Namespace,
        kind: Kind,
        encoding: Option<Encoding>,
        (from_ms, to_ms): (u64, u64),
    ) -> Result<Self, BoundsError> {
        let bounds = namespace.bounds(kind, from_ms, to_ms)?;
        Ok(Self {
            from: Time(from_ms),
            to: Time(to_ms),
            from_ms,
            to_ms,
            min_id: Bare(bounds.min),
            max_id: Bare(bounds.max),
            min_id_str: Text::of(bounds.min, encoding),
            max_id_str: Text::of(bounds.max, encoding),
            kind: kind.name(),
        })
    }
}

/// Six bytes as `02:00:5e:10:00:01`.
pub(crate) fn node_text(node: u64) -> String {
    let [_, _, bytes @ ..] = node.to_be_bytes();
    bytes.map(|byte| format!("{byte:02x}")).join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str, kind: Option<Kind>, encoding: Option<Encoding>) -> String {
        let id = AnyId::read(text, kind, encoding).unwrap();
        serde_json::to_string(&ParsedId::of(&Namespace::DEFAULT, id, encoding).unwrap()).unwrap()
    }

    #[test]
    fn an_id_comes_apart() {
        let expected = concat!(
            r#"{"id":1234567890123456789,"id_str":"1234567890123456789","#,
            r#""timestamp":"2030-04-30T18:12:02.167Z","timestamp_ms":1903803122167,"#,
            r#""datacenter_id":20,"worker_id":24,"sequence":277,"kind":"snowflake"}"#,
        );
        assert_eq!(json("1234567890123456789", None, None), expected);
        let expected = concat!(
            r#"{"id":"c232ab00-9414-11ec-b3c8-9f6bdeced846","#,
            r#""id_str":"c232ab00-9414-11ec-b3c8-9f6bdeced846","#,
            r#""timestamp":"2022-02-22T19:22:22.000Z","timestamp_ms":1645557742000,"#,
            r#""datacenter_id":null,"worker_id":null,"sequence":0,"kind":"uuid1","#,
            r#""clock_sequence":13256,"node":"9f:6b:de:ce:d8:46"}"#,
        );
        assert_eq!(json("C232AB00-9414-11EC-B3C8-9F6BDECED846", None, None), expected);
        let expected = concat!(
            r#"{"id":8388607,"id_str":"0000000ZCG7","#,
            r#""timestamp":"2021-01-01T00:00:00.000Z","timestamp_ms":1609459200000,"#,
            r#""datacenter_id":31,"worker_id":31,"sequence":1023,"kind":"instagram","#,
            r#""shard_id":8191}"#,
        );
        let encoding = Some(Encoding::Base62);
        assert_eq!(json("0000000ZCG7", Some(Kind::Instagram), encoding), expected);
        let last = json("7ZZZZZZZZZZZZZZZZZZZZZZZZZ", None, None);
        assert!(last.contains(r#""timestamp":null"#), "beyond the year 9999: {last}");
    }

    #[test]
    fn a_range_has_both_ends() {
        let of = |kind, times| IdRange::of(&Namespace::DEFAULT, kind, None, times);
        let range = of(Kind::Snowflake, (1_609_459_200_001, 1_609_459_200_002));
        let expected = concat!(
            r#"{"from":"2021-01-01T00:00:00.001Z","to":"2021-01-01T00:00:00.002Z","#,
            r#""from_ms":1609459200001,"to_ms":1609459200002,"min_id":4194304,"max_id":12582911,"#,
            r#""min_id_str":"4194304","max_id_str":"12582911","kind":"snowflake"}"#,
        );
        assert_eq!(serde_json::to_string(&range.unwrap()).unwrap(), expected);
        assert!(of(Kind::Uuid1, (0, 1)).is_err());
    }
}
