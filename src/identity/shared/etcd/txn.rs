//! The transactions, as messages: conditions and what is done.

use std::collections::BTreeMap;

use coreflake_etcd::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use coreflake_etcd::etcdserverpb::request_op::Request;
use coreflake_etcd::etcdserverpb::response_op::Response;
use coreflake_etcd::etcdserverpb::{
    Compare, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, ResponseOp, TxnRequest,
};
use coreflake_etcd::mvccpb::KeyValue;

use crate::identity::shared::{Keys, Mark, Stored, Write};

/// Operations that etcd takes in one transaction, unless its `max-txn-ops` says otherwise: 128.
/// Those of a transaction inside count together with those of the ones around it.
const OPS_MAX: usize = 128;

/// Operations of each, where transactions stand in transactions in transactions: together they are
/// no more than those, and 42³ is more than there are slots.
const PART: usize = OPS_MAX / 3;

/// What a marker has to be before a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Before {
    /// Missing; it is made with this lease.
    Missing(i64),
    /// There, with this lease, and stays so.
    Held(i64),
    /// Anything; it is deleted if it has this lease.
    DeletedIf(i64),
    /// Anything; nothing is done about it.
    Anything,
}

/// The write, with what the marker has to be. Where the marker has to be there and the conditions
/// do not hold, the answer has the record and the marker, for [`lacks_only_the_marker`].
pub(super) fn write(keys: &Keys, write: &Write, before: Before) -> TxnRequest {
    let (record, marker) = (keys.record(write.worker_id), keys.marker(write.worker_id));
    let mut txn = TxnRequest::default();
    match &write.from {
        None => txn.compare.push(missing(&record)),
        Some(from) => {
            // A revision may come again after a restore, the value does not: it has a random part.
            let value = TargetUnion::Value(from.bytes.clone());
            txn.compare.push(compare(&record, CompareTarget::Value, value));
            // The same value written by another hand, with a lease perhaps, is not the one read.
            let revision = TargetUnion::ModRevision(i64::try_from(from.version).unwrap_or(-1));
            txn.compare.push(compare(&record, CompareTarget::Mod, revision));
        }
    }
    txn.success.push(put(&record, write.to.clone(), 0));
    match before {
        Before::Missing(lease) => {
            txn.compare.push(missing(&marker));
            txn.success.push(put(&marker, text_of(&write.mark), lease));
        }
        Before::Held(lease) => {
            txn.compare.push(of_lease(&marker, lease));
            txn.failure = vec![range(&record), range(&marker)];
        }
        Before::DeletedIf(lease) => {
            let delete = DeleteRangeRequest { key: marker.clone().into_bytes() };
            txn.success.push(inside(TxnRequest {
                compare: vec![of_lease(&marker, lease)],
                success: vec![op(Request::RequestDeleteRange(delete))],
                failure: vec![],
            }));
        }
        Before::Anything => {}
    }
    txn
}

/// Whether a write has not been done for the only reason that there is no marker, by the answers
/// of its transaction.
pub(super) fn lacks_only_the_marker(write: &Write, responses: &[ResponseOp]) -> bool {
    let [record, marker] = responses else { return false };
    let (Some(record), Some([])) = (found(record), found(marker)) else { return false };
    match (record, &write.from) {
        ([], None) => true,
        ([record], Some(from)) => {
            let now = stored(record);
            now.bytes == from.bytes && now.version == from.version
        }
        _ => false,
    }
}

/// Makes everything that is given, all of which has to be missing. More records than fit into one
/// transaction are made only where there is no record at all.
pub(super) fn create(
    keys: &Keys,
    genesis: Option<&[u8]>,
    records: &BTreeMap<u16, Vec<u8>>,
) -> TxnRequest {
    let mut txn = TxnRequest::default();
    let mut puts = Vec::new();
    if let Some(genesis) = genesis {
        txn.compare.push(missing(&keys.genesis()));
        puts.push(put(&keys.genesis(), genesis.to_vec(), 0));
    }
    for (worker_id, record) in records {
        puts.push(put(&keys.record(*worker_id), record.clone(), 0));
    }
    if puts.len() <= OPS_MAX {
        txn.compare.extend(records.keys().map(|worker_id| missing(&keys.record(*worker_id))));
    } else {
        let folder = format!("{}/", keys.records());
        txn.compare.push(Compare { range_end: after(&folder), ..missing(&folder) });
        while puts.len() > PART {
            let part = |part: &[RequestOp]| {
                inside(TxnRequest { compare: vec![], success: part.to_vec(), failure: vec![] })
            };
            puts = puts.chunks(PART).map(part).collect();
        }
    }
    txn.success = puts;
    txn
}

/// The value of a key.
pub(super) fn stored(kv: &KeyValue) -> Stored {
    // No revision is negative; one that were is like no other.
    let version = u64::try_from(kv.mod_revision).unwrap_or(0);
    Stored { bytes: kv.value.clone(), version, fleeting: kv.lease != 0 }
}

/// The end of the range of all keys that begin with `prefix`, which ends with an ASCII character.
pub(super) fn after(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    if let Some(last) = end.last_mut() {
        *last = last.saturating_add(1);
    }
    end
}

fn text_of(mark: &Mark) -> Vec<u8> {
    match mark {
        Mark::Make(text) | Mark::Keep(text) => text.clone().into_bytes(),
        Mark::Remove | Mark::Leave => Vec::new(),
    }
}

fn found(response: &ResponseOp) -> Option<&[KeyValue]> {
    match &response.response {
        Some(Response::ResponseRange(range)) => Some(&range.kvs),
        _ => None,
    }
}

fn missing(key: &str) -> Compare {
    compare(key, CompareTarget::Version, TargetUnion::Version(0))
}

fn of_lease(key: &str, lease: i64) -> Compare {
    compare(key, CompareTarget::Lease, TargetUnion::Lease(lease))
}

fn compare(key: &str, target: CompareTarget, value: TargetUnion) -> Compare {
    Compare {
        result: CompareResult::Equal.into(),
        target: target.into(),
        key: key.as_bytes().to_vec(),
        range_end: vec![],
        target_union: Some(value),
    }
}

fn put(key: &str, value: Vec<u8>, lease: i64) -> RequestOp {
    op(Request::RequestPut(PutRequest { key: key.as_bytes().to_vec(), value, lease }))
}

fn range(key: &str) -> RequestOp {
    op(Request::RequestRange(RangeRequest { key: key.as_bytes().to_vec(), range_end: vec![] }))
}

fn inside(txn: TxnRequest) -> RequestOp {
    op(Request::RequestTxn(txn))
}

fn op(request: Request) -> RequestOp {
    RequestOp { request: Some(request) }
}

#[cfg(test)]
mod tests {
    use coreflake_etcd::etcdserverpb::RangeResponse;

    use super::*;

    fn from_a(mark: Mark) -> Write {
        let from = Some(Stored { bytes: b"a".to_vec(), version: 7, fleeting: false });
        Write { worker_id: 5, from, to: b"b".to_vec(), mark }
    }

    fn answer(kvs: &[KeyValue]) -> ResponseOp {
        let range = RangeResponse { header: None, kvs: kvs.to_vec() };
        ResponseOp { response: Some(Response::ResponseRange(range)) }
    }

    #[test]
    fn a_record_never_hangs_on_a_lease() {
        let keys = Keys::new("/x", 0);
        for before in [Before::Missing(9), Before::Held(9), Before::DeletedIf(9), Before::Anything]
        {
            let txn = write(&keys, &from_a(Mark::Keep("me".into())), before);
            let Some(Request::RequestPut(put)) = &txn.success[0].request else { panic!("a put") };
            assert_eq!((put.key.as_slice(), put.lease), (keys.record(5).as_bytes(), 0));
        }
    }

    #[test]
    fn only_a_missing_marker_is_made_again() {
        let write = from_a(Mark::Keep("me".into()));
        let kv = |value: &[u8], mod_revision| KeyValue {
            value: value.to_vec(),
            mod_revision,
            ..KeyValue::default()
        };
        let as_read = answer(&[kv(b"a", 7)]);
        let nothing = answer(&[]);
        assert!(lacks_only_the_marker(&write, &[as_read.clone(), nothing.clone()]));
        for other in [
            vec![as_read.clone(), answer(&[kv(b"them", 8)])],
            vec![answer(&[kv(b"z", 7)]), nothing.clone()],
            vec![answer(&[kv(b"a", 8)]), nothing.clone()],
            vec![answer(&[kv(b"a", -7)]), nothing.clone()],
            vec![nothing.clone(), nothing],
            vec![as_read, ResponseOp::default()],
            vec![],
        ] {
            assert!(!lacks_only_the_marker(&write, &other), "{other:?}");
        }
    }

    #[test]
    fn no_level_of_a_creation_has_too_many_operations() {
        let keys = Keys::new("/x", 0);
        for workers in [1_u16, 32, 127, 128, 1_024, 4_096, u16::MAX] {
            let records = (0..workers).map(|worker_id| (worker_id, vec![1])).collect();
            let txn = create(&keys, Some(b"g"), &records);
            let (longest, puts) = measure(&txn);
            assert!(longest <= OPS_MAX, "{workers}: {longest}");
            assert_eq!(puts, usize::from(workers) + 1);
        }
    }

    /// The most operations that stand in one another, and all puts.
    fn measure(txn: &TxnRequest) -> (usize, usize) {
        let (mut deepest, mut puts) = (0, 0);
        for op in &txn.success {
            match &op.request {
                Some(Request::RequestTxn(txn)) => {
                    let (longest, more) = measure(txn);
                    deepest = deepest.max(longest);
                    puts += more;
                }
                _ => puts += 1,
            }
        }
        (txn.compare.len().max(txn.success.len()) + deepest, puts)
    }

    #[test]
    fn a_range_ends_after_all_that_begins_so() {
        assert_eq!(after("/a/"), b"/a0");
    }
}
