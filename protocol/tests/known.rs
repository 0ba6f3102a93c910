//! IDs that others have published, and what they say: `vectors/known.json`.

#![allow(clippy::unwrap_used)]

use coreflake_protocol::{AnyId, Id, Kind, Layout, Namespace, Parsed, Widths};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Known {
    name: String,
    kind: String,
    text: String,
    source: String,
    /// Of a namespace that is not the default one.
    widths: Option<String>,
    epoch_ms: Option<String>,
    #[serde(default)]
    error: bool,
    unix_ms: Option<String>,
    datacenter_id: Option<u16>,
    worker_id: Option<u16>,
    sequence: Option<u32>,
    shard_id: Option<u32>,
    clock_sequence: Option<u16>,
    node: Option<String>,
}

impl Known {
    fn namespace(&self) -> Namespace {
        let widths = self.widths.as_ref().map(|widths| widths.parse().unwrap());
        let usual = Layout::SNOWFLAKE.epoch_ms();
        let epoch_ms = self.epoch_ms.as_ref().map_or(usual, |epoch_ms| epoch_ms.parse().unwrap());
        let layout = Layout::new(widths.unwrap_or(Widths::SNOWFLAKE), 1, epoch_ms).unwrap();
        Namespace::new(layout, None, None).unwrap()
    }
}

#[test]
fn published_ids_say_what_their_source_says() {
    let known: Vec<Known> = serde_json::from_str(include_str!("../vectors/known.json")).unwrap();
    assert!(known.len() >= 11);
    for it in known {
        let (name, kind) = (&it.name, it.kind.parse::<Kind>().unwrap());
        assert!(!it.source.is_empty(), "{name}");
        let id = AnyId::read(&it.text, Some(kind), None);
        if it.error {
            assert!(id.is_err(), "{name}");
            continue;
        }
        let (id, namespace) = (id.unwrap(), it.namespace());
        // An `instagram` number has the form of a `snowflake`.
        let detected = AnyId::read(&it.text, None, None).unwrap().kind();
        let form = if kind == Kind::Instagram { Kind::Snowflake } else { kind };
        assert_eq!(detected, form, "{name}");
        let Parsed { unix_ms, slot, sequence } = namespace.parse(id).unwrap();
        assert_eq!(unix_ms, it.unix_ms.unwrap().parse::<u64>().unwrap(), "{name}");
        if let Some(expected) = it.datacenter_id.zip(it.worker_id) {
            let slot = slot.unwrap();
            assert_eq!((slot.datacenter_id(), slot.worker_id()), expected, "{name}");
        }
        assert!(it.sequence.is_none_or(|expected| expected == sequence), "{name}: {sequence}");
        let shard = |id: Id| namespace.shard(id);
        assert!(it.shard_id.is_none_or(|expected| id.id().map(shard) == Some(expected)), "{name}");
        if let Some(clock_sequence) = it.clock_sequence {
            let node = u64::from_str_radix(&it.node.unwrap(), 16).unwrap();
            assert_eq!(id.node(), Some((node, clock_sequence)), "{name}");
        }
        assert!(id.to_string().eq_ignore_ascii_case(&it.text), "{name}: {id}");
    }
}
