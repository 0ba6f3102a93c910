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
    /// With what follows, in stores made since it can be chosen.
    tick_ms: Option<u8>,
    instagram_shard_bits: Option<u8>,
    instagram_epoch_ms: Option<u64>,
    /// When it was made, for people.
    created: String,
}

impl Genesis {
    pub(crate) fn new(namespace: &Namespace, datacenter_id: u16, id: u128, now_ms: u64) -> Self {
        let Widths { timestamp, datacenter, worker, sequence } = namespace.layout().widths();
        Self {
            version: VERSION,
            id: format!("{id:032x}"),
            fingerprint: format!("{:016x}", namespace.fingerprint()),
            datacenter_id,
            epoch_ms: namespace.layout().epoch_ms(),
            layout: [timestamp, datacenter, worker, sequence],
            tick_ms: Some(namespace.layout().scale().tick_ms()),
            instagram_shard_bits: Some(namespace.shard_bits()),
            instagram_epoch_ms: Some(namespace.instagram().epoch_ms()),
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
    pub(crate) fn read(
        bytes: &[u8],
        namespace: &Namespace,
        datacenter_id: u16,
    ) -> Result<Self, String> {
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
        let expected = Self::new(namespace, datacenter_id, 0, 0);
        if genesis.fingerprint != expected.fingerprint {
            let mut differences = genesis.differences(&expected);
            if differences.is_empty() {
                differences.push("which it does not say more of".to_owned());
            }
            return Err(format!(
                "is of namespace {}, this server's is {} ({}): epochs, layout, ticks and shards never \
                 change; set them as they were, or use another --store-prefix",
                genesis.fingerprint,
                expected.fingerprint,
                differences.join(", ")
            ));
        }
        Ok(genesis)
    }

    /// What has to be set, by the names of the settings; nothing where it is not known.
    fn settings(&self) -> [(&'static str, Option<String>); 5] {
        let text = |number: Option<u64>| number.map(|number| number.to_string());
        [
            ("epoch", text(Some(self.epoch_ms))),
            ("layout", Some(self.layout.map(|bits| bits.to_string()).join("+"))),
            ("tick-ms", text(self.tick_ms.map(u64::from))),
            ("instagram-shard-bits", text(self.instagram_shard_bits.map(u64::from))),
            ("instagram-epoch", text(self.instagram_epoch_ms)),
        ]
    }

    fn differences(&self, expected: &Self) -> Vec<String> {
        let pairs = self.settings().into_iter().zip(expected.settings());
        pairs
            .filter_map(|((name, found), (_, expected))| {
                let (found, expected) = (found?, expected?);
                (found != expected).then(|| format!("{name} {found}, not {expected}"))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use coreflake_protocol::Layout;

    use super::*;

    const NOW_MS: u64 = 1_800_000_000_000;

    #[test]
    fn it_comes_back_and_knows_its_namespace() {
        let namespace = Namespace::DEFAULT;
        let genesis = Genesis::new(&namespace, 3, 7, NOW_MS);
        let bytes = genesis.encode();
        assert_eq!(Genesis::read(&bytes, &namespace, 3), Ok(genesis));
        assert!(Genesis::read(&bytes, &namespace, 4).unwrap_err().contains("of datacenter 3"));
        let layout = Layout::new(Widths::SNOWFLAKE, 10, 1_600_000_000_000).unwrap();
        let other = Namespace::new(layout, None, None).unwrap();
        let message = Genesis::read(&bytes, &other, 3).unwrap_err();
        let differences = "(epoch 1609459200000, not 1600000000000, tick-ms 1, not 10, \
                           instagram-epoch 1609459200000, not 1600000000000)";
        assert!(message.contains(differences), "{message}");
        // One that was made when there was only one length of a tick.
        let mut early: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        for name in ["tick_ms", "instagram_shard_bits", "instagram_epoch_ms"] {
            assert!(early.as_object_mut().unwrap().remove(name).is_some());
        }
        let early = Genesis::read(early.to_string().as_bytes(), &namespace, 3).unwrap();
        assert_eq!((early.epoch_ms, early.tick_ms), (1_609_459_200_000, None));
    }

    #[test]
    fn what_is_no_genesis_is_not_read() {
        let namespace = Namespace::DEFAULT;
        let text = String::from_utf8(Genesis::new(&namespace, 0, 7, NOW_MS).encode()).unwrap();
        let wrong = [
            String::new(),
            "garbage".to_owned(),
            text.replace("\"version\":1", "\"version\":2"),
            text.replace("\"version\":1", "\"version\":1,\"new\":1"),
            text.replace("\"layout\":[41,", "\"layout\":["),
        ];
        for text in wrong {
            assert!(Genesis::read(text.as_bytes(), &namespace, 0).is_err(), "{text}");
        }
    }
}
