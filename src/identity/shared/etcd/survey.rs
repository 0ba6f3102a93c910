//! What lies below the prefix, told apart by its keys.

use coreflake_etcd::mvccpb::KeyValue;

use super::txn;
use crate::identity::shared::{Keys, Marker, Survey};

/// Sorts what was found. A marker of `lease` is ours. Also says how many keys mean nothing to us.
pub(super) fn sort(keys: &Keys, found: &[KeyValue], lease: Option<i64>) -> (Survey, usize) {
    let (genesis, records, markers) = (keys.genesis(), keys.records(), keys.markers());
    let mut survey = Survey::default();
    let mut unknown = 0;
    for kv in found {
        let key = core::str::from_utf8(&kv.key).unwrap_or_default();
        let below =
            |folder: &str| key.strip_prefix(folder)?.strip_prefix('/').and_then(Keys::worker_id);
        if key == genesis {
            survey.genesis = Some(txn::stored(kv));
        } else if let Some(worker_id) = below(&records) {
            survey.records.insert(worker_id, txn::stored(kv));
        } else if let Some(worker_id) = below(&markers) {
            let text = String::from_utf8_lossy(&kv.value).into_owned();
            let mine = lease.is_some_and(|lease| lease == kv.lease);
            survey.markers.insert(worker_id, Marker { text, mine });
        } else {
            unknown += 1;
        }
    }
    (survey, unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_ours_is_left_out() {
        let keys = Keys::new("/x", 0);
        let kv = |key: &str, value: &[u8], lease| KeyValue {
            key: key.as_bytes().to_vec(),
            value: value.to_vec(),
            mod_revision: 4,
            lease,
            ..KeyValue::default()
        };
        let found = [
            kv(&keys.genesis(), b"g", 0),
            kv(&keys.record(1), b"r", 0),
            kv(&keys.record(2), b"r", 9),
            kv(&keys.marker(1), b"me", 7),
            kv(&keys.marker(2), b"\xff", 8),
            kv("/x/datacenters/dc0/slots/worker01", b"", 0),
            kv("/x/datacenters/dc0/slotsworker1", b"", 0),
            kv("/x/datacenters/dc0/", b"", 0),
            KeyValue { key: vec![0xFF], ..KeyValue::default() },
        ];
        let (survey, unknown) = sort(&keys, &found, Some(7));
        assert_eq!(unknown, 4);
        assert_eq!(survey.genesis.map(|genesis| genesis.bytes), Some(b"g".to_vec()));
        let fleeting: Vec<_> = survey.records.values().map(|record| record.fleeting).collect();
        assert_eq!(fleeting, [false, true]);
        assert_eq!(survey.markers[&1], Marker { text: "me".into(), mine: true });
        assert_eq!(survey.markers[&2], Marker { text: "\u{FFFD}".into(), mine: false });
        let (survey, _) = sort(&keys, &found, None);
        assert!(survey.markers.values().all(|marker| !marker.mine));
    }
}
