//! What an ID says, the same at every door.

use coreflake_protocol::{AnyId, IdError, Kind, Namespace, Slot};
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use crate::timestamp;

/// An ID: a number if it has 64 bits, else its text. JavaScript loses the last digits of large
/// numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bare(pub(crate) AnyId);

/// The parts of an ID, by the settings of a namespace.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Details {
    /// When the ID was issued: RFC 3339, UTC, with milliseconds; null beyond the year 9999.
    #[schema(required, example = "2030-04-30T18:12:02.167Z")]
    pub(crate) timestamp: Option<String>,
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
    #[schema(example = json!(null), maximum = 4_194_303)]
    pub(crate) shard_id: Option<u32>,
    /// Of kind `uuid1`: 14 bits.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 16_383)]
    pub(crate) clock_sequence: Option<u16>,
    /// Of kind `uuid1`: six bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^([0-9a-f]{2}:){5}[0-9a-f]{2}$")]
    pub(crate) node: Option<String>,
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
            timestamp: timestamp::rfc3339_of(parsed.unix_ms),
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

impl Serialize for Bare {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.id() {
            Some(id) => serializer.serialize_u64(id.get()),
            None => serializer.collect_str(&self.0),
        }
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

    #[test]
    fn each_kind_has_its_own() {
        let of = |text, kind| {
            let id = AnyId::read(text, kind, None).unwrap();
            Details::of(&Namespace::DEFAULT, id).unwrap()
        };
        for text in ["1234567890123456789", "01ARZ3NDEKTSV4RRFFQ69G5FAV"] {
            let Details { shard_id, clock_sequence, node, .. } = of(text, None);
            assert_eq!((shard_id, clock_sequence, node), (None, None, None));
        }
        assert_eq!(of("8388607", Some(Kind::Instagram)).shard_id, Some(8_191));
        let uuid1 = of("c232ab00-9414-11ec-b3c8-9f6bdeced846", None);
        assert_eq!(uuid1.clock_sequence, Some(0x33c8));
        assert_eq!(uuid1.node.as_deref(), Some("9f:6b:de:ce:d8:46"));
    }
}
