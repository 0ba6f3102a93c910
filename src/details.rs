//! What an ID says beside its time, slot and number, by its kind.

use coreflake_protocol::{AnyId, Kind, Namespace};
use serde::Serialize;
use utoipa::ToSchema;

/// Fields that only some kinds have.
#[derive(Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Details {
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
    pub(crate) fn of(namespace: &Namespace, id: AnyId) -> Self {
        let instagram = id.id().filter(|_| id.kind() == Kind::Instagram);
        let node = id.node();
        Self {
            shard_id: instagram.map(|id| namespace.shard(id)),
            clock_sequence: node.map(|(_, clock_sequence)| clock_sequence),
            node: node.map(|(node, _)| node_text(node)),
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
            Details::of(&Namespace::DEFAULT, id)
        };
        assert_eq!(of("1234567890123456789", None), Details::default());
        assert_eq!(of("01ARZ3NDEKTSV4RRFFQ69G5FAV", None), Details::default());
        assert_eq!(of("8388607", Some(Kind::Instagram)).shard_id, Some(8_191));
        let uuid1 = of("c232ab00-9414-11ec-b3c8-9f6bdeced846", None);
        assert_eq!(uuid1.clock_sequence, Some(0x33c8));
        assert_eq!(uuid1.node.as_deref(), Some("9f:6b:de:ce:d8:46"));
    }
}
