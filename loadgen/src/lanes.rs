//! How the connections are spread over the lanes of the server, and what the lanes say they did.

use std::collections::BTreeMap;

use coreflake_protocol::Info;
use serde::Serialize;

/// One lane of one node. The counts are the server's own, over the whole run with its warmup, and
/// include what other clients asked of it; none when no connection that lasted brought an INFO.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Lane {
    pub(crate) datacenter_id: u16,
    pub(crate) worker_id: u16,
    pub(crate) lane: u16,
    pub(crate) connections: usize,
    pub(crate) ids: Option<u64>,
    /// How often the lane had to wait for sequence space.
    pub(crate) waits: Option<u64>,
    /// How many pieces of the shared pool it claimed.
    pub(crate) pool_claims: Option<u64>,
}

/// The counters of a lane: IDs, waits, pool claims.
type Counts = [u64; 3];

struct Seen {
    connections: usize,
    first: Counts,
    last: Option<Counts>,
}

/// The worker ID that a node is called by: the first it has.
fn first_worker_id(info: &Info) -> u16 {
    info.worker_ids.first().copied().unwrap_or(u16::MAX)
}

/// The lanes seen at the start, with the difference between `opening` and `closing` counters.
pub(crate) fn table<'a>(
    opening: impl IntoIterator<Item = &'a Info>,
    closing: impl IntoIterator<Item = &'a Info>,
) -> Vec<Lane> {
    let key = |info: &Info| (info.datacenter_id, first_worker_id(info), info.lane);
    let mut lanes = BTreeMap::new();
    for info in opening {
        let first = counts(info);
        let seen = lanes.entry(key(info)).or_insert(Seen { connections: 0, first, last: None });
        seen.connections += 1;
        seen.first = each(seen.first, first, u64::min);
    }
    for info in closing {
        if let Some(seen) = lanes.get_mut(&key(info)) {
            seen.last = Some(each(seen.last.unwrap_or_default(), counts(info), u64::max));
        }
    }
    let rows = lanes.into_iter().map(|(key, Seen { connections, first, last })| {
        let (datacenter_id, worker_id, lane) = key;
        let [ids, waits, pool_claims] = match last {
            Some(last) => each(last, first, u64::saturating_sub).map(Some),
            None => [None; 3],
        };
        Lane { datacenter_id, worker_id, lane, connections, ids, waits, pool_claims }
    });
    rows.collect()
}

const fn counts(info: &Info) -> Counts {
    [info.lane_ids, info.lane_waits, info.lane_pool_claims]
}

fn each(left: Counts, right: Counts, combine: fn(u64, u64) -> u64) -> Counts {
    std::array::from_fn(|index| combine(left[index], right[index]))
}

#[cfg(test)]
mod tests {
    use coreflake_protocol::Namespace;

    use super::*;

    fn info(lane: u16, lane_ids: u64, lane_waits: u64, lane_pool_claims: u64) -> Info {
        Info {
            namespace: Namespace::DEFAULT,
            datacenter_id: 1,
            worker_ids: [2].into_iter().collect(),
            count_max: 4096,
            request_size_max: 1024,
            datagram_size_max: 1200,
            shards: 2,
            lane,
            home_size: 512,
            pool_size: 3072,
            window_left_ms: 1000,
            lane_ids,
            lane_waits,
            lane_pool_claims,
        }
    }

    #[test]
    fn counters_are_differences_per_lane() {
        let opening = [info(0, 5, 1, 0), info(1, 0, 0, 0), info(0, 7, 1, 0), info(2, 1, 1, 1)];
        let closing = [info(0, 105, 4, 2), info(1, 50, 0, 0), info(0, 104, 4, 2)];
        let lane = |lane, connections, counts: [Option<u64>; 3]| {
            let [ids, waits, pool_claims] = counts;
            Lane { datacenter_id: 1, worker_id: 2, lane, connections, ids, waits, pool_claims }
        };
        assert_eq!(
            table(&opening, &closing),
            [
                lane(0, 2, [Some(100), Some(3), Some(2)]),
                lane(1, 1, [Some(50), Some(0), Some(0)]),
                lane(2, 1, [None; 3]),
            ]
        );
    }
}
