//! What the records of a datacenter belong to: made once, before the first of them is used.

use coreflake_protocol::{Namespace, Widths};
use serde::{Deserialize, Serialize};

use crate::timestamp;

const VERSION: u8 = 1;

/// The beginning of a datacenter's records, as JSON: an operator shall be able to read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Genesis {
    version: u8,
    /// Random, in hexadecimal: two stores never have the same.
    pub(crate) id: String,
    /// The namespace's, in hexadecimal.
    fingerprint: String,
    datacenter_id: u16,
    epoch_ms: u64,
    /// Bits for timestamp, datacenter, worker and sequence.
    layout: [u8; 4],
    /// When it was made, for people.
    created: String,
}

impl Genesis {
    pub(crate) fn new(ids: &Namespace, datacenter_id: u16, id: u128, now_ms: u64) -> Self {
        Self {
            version: VERSION,
            id: format!("{id:032x}"),
            fingerprint: format!("{:016x}", ids.fingerprint()),
            datacenter_id,
            epoch_ms: ids.layout().epoch_ms(),
            layout: widths(ids),
            created: timestamp::rfc3339(now_ms),
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("numbers and texts")
    }

    /// Reads one, and compares it with what this node is told.
    ///
    /// # Errors
    ///
    /// In words that go on from its name.
    pub(crate) fn read(bytes: &[u8], ids: &Namespace, datacenter_id: u16) -> Result<Self, String> {
        let genesis: Self =
            serde_json::from_slice(bytes).map_err(|error| format!("cannot be read: {error}"))?;
        if genesis.version != VERSION {
            let version = genesis.version;
            return Err(format!("is of version {version}, of another release: {VERSION} is known"));
        }
        if genesis.datacenter_id != datacenter_id {
            let found = genesis.datacenter_id;
            return Err(format!("is of datacenter {found}, this server's is {datacenter_id}"));
        }
        let fingerprint = format!("{:016x}", ids.fingerprint());
        if genesis.fingerprint != fingerprint {
            return Err(format!(
                "is of namespace {} (epoch {}, layout {:?}), this server's is {fingerprint} (epoch \
                 {}, layout {:?}): epoch, layout, ticks and shards never change; set them as they were, or use \
                 another --store-prefix",
                genesis.fingerprint,
                genesis.epoch_ms,
                genesis.layout,
                ids.layout().epoch_ms(),
                widths(ids)
            ));
        }
        Ok(genesis)
    }
}

fn widths(ids: &Namespace) -> [u8; 4] {
    let Widths { timestamp, datacenter, worker, sequence } = ids.layout().widths();
    [timestamp, datacenter, worker, sequence]
}

#[cfg(test)]
mod tests {
    use coreflake_protocol::Layout;

    use super::*;

    const NOW_MS: u64 = 1_800_000_000_000;

    #[test]
    fn it_comes_back_and_knows_its_namespace() {
        let ids = Namespace::DEFAULT;
        let genesis = Genesis::new(&ids, 3, 7, NOW_MS);
        let bytes = genesis.encode();
        assert_eq!(Genesis::read(&bytes, &ids, 3), Ok(genesis));
        assert!(Genesis::read(&bytes, &ids, 4).unwrap_err().contains("of datacenter 3"));
        let layout = Layout::new(Widths::SNOWFLAKE, 1, 1_600_000_000_000).unwrap();
        let other = Namespace::new(layout, None, None).unwrap();
        let message = Genesis::read(&bytes, &other, 3).unwrap_err();
        assert!(message.contains("epoch 1609459200000") && message.contains("epoch 1600000000000"));
    }

    #[test]
    fn what_is_no_genesis_is_not_read() {
        let ids = Namespace::DEFAULT;
        let text = String::from_utf8(Genesis::new(&ids, 0, 7, NOW_MS).encode()).unwrap();
        let wrong = [
            String::new(),
            "garbage".to_owned(),
            text.replace("\"version\":1", "\"version\":2"),
            text.replace("\"version\":1", "\"version\":1,\"new\":1"),
            text.replace("\"layout\":[41,", "\"layout\":["),
        ];
        for text in wrong {
            assert!(Genesis::read(text.as_bytes(), &ids, 0).is_err(), "{text}");
        }
    }
}
