//! What a server is: the payload of an INFO reply.

use crate::layout::Layout;
use crate::namespace::Namespace;
use crate::reader::Reader;
use crate::widths::Widths;
use crate::worker_ids::WorkerIds;

/// Bytes of the payload as this version writes it, without further worker IDs.
pub(crate) const INFO_SIZE: usize = 96;

/// What a server is, and the lane that answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Info {
    /// How its IDs are laid out.
    pub namespace: Namespace,
    /// The datacenter part of its slots.
    pub datacenter_id: u16,
    /// The worker parts of its slots; none when it waits for one.
    pub worker_ids: WorkerIds,
    /// The largest count of one request.
    pub count_max: u32,
    /// The longest request in bytes.
    pub request_size_max: u32,
    /// The longest datagram in bytes.
    pub datagram_size_max: u16,
    /// How many shards the server runs.
    pub shards: u16,
    /// The lane that answered, counted from 0.
    pub lane: u16,
    /// Sequence numbers per tick that belong to this lane alone.
    pub home_size: u32,
    /// Sequence numbers per tick that all lanes share.
    pub pool_size: u32,
    /// How far the reserved window reaches ahead of the clock, in milliseconds.
    pub window_left_ms: u64,
    /// IDs this lane has issued.
    pub lane_ids: u64,
    /// How often this lane had to wait for sequence space.
    pub lane_waits: u64,
    /// How many pieces of the pool this lane has claimed.
    pub lane_pool_claims: u64,
}

impl Info {
    pub(crate) fn decode(mut reader: Reader<'_>) -> Option<Self> {
        let widths = Widths {
            timestamp: reader.u8(),
            datacenter: reader.u8(),
            worker: reader.u8(),
            sequence: reader.u8(),
        };
        let (datacenter_id, worker_id) = (reader.u16(), reader.u16());
        let epoch_ms = reader.u64();
        let fingerprint = reader.u64();
        let (count_max, request_size_max) = (reader.u32(), reader.u32());
        let (datagram_size_max, shards, lane) = (reader.u16(), reader.u16(), reader.u16());
        let more = usize::from(reader.u16());
        let mut info = Self {
            namespace: Namespace::DEFAULT,
            datacenter_id,
            worker_ids: Some(worker_id).filter(|id| *id != WorkerIds::NONE).into_iter().collect(),
            count_max,
            request_size_max,
            datagram_size_max,
            shards,
            lane,
            home_size: reader.u32(),
            pool_size: reader.u32(),
            window_left_ms: reader.u64(),
            lane_ids: reader.u64(),
            lane_waits: reader.u64(),
            lane_pool_claims: reader.u64(),
        };
        let (tick_ms, shard_bits) = (reader.u8(), reader.u8());
        let _reserved = (reader.u16(), reader.u32());
        let layout = Layout::new(widths, tick_ms, epoch_ms).ok()?;
        info.namespace = Namespace::new(layout, Some(shard_bits), Some(reader.u64())).ok()?;
        // The fingerprint says again what the rest said; two copies must agree.
        if info.namespace.fingerprint() != fingerprint {
            return None;
        }
        if more > 0 {
            let bytes = reader.rest().get(..2 * more)?;
            let more = bytes.chunks_exact(2).map(|id| u16::from_be_bytes([id[0], id[1]]));
            let ids: Vec<_> = [worker_id].into_iter().chain(more).collect();
            let valid = ids.len() <= WorkerIds::MAX && ids.is_sorted_by(|id, next| id < next);
            info.worker_ids = valid.then(|| ids.into_iter().collect())?;
        }
        Some(info)
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let layout = self.namespace.layout();
        let Widths { timestamp, datacenter, worker, sequence } = layout.widths();
        out.extend_from_slice(&[timestamp, datacenter, worker, sequence]);
        out.extend_from_slice(&self.datacenter_id.to_be_bytes());
        out.extend_from_slice(&self.worker_ids.first_wire().to_be_bytes());
        out.extend_from_slice(&layout.epoch_ms().to_be_bytes());
        out.extend_from_slice(&self.namespace.fingerprint().to_be_bytes());
        out.extend_from_slice(&self.count_max.to_be_bytes());
        out.extend_from_slice(&self.request_size_max.to_be_bytes());
        out.extend_from_slice(&self.datagram_size_max.to_be_bytes());
        out.extend_from_slice(&self.shards.to_be_bytes());
        out.extend_from_slice(&self.lane.to_be_bytes());
        let more = self.worker_ids.get(1..).unwrap_or_default();
        #[allow(clippy::cast_possible_truncation)] // 31 at most.
        out.extend_from_slice(&(more.len() as u16).to_be_bytes());
        out.extend_from_slice(&self.home_size.to_be_bytes());
        out.extend_from_slice(&self.pool_size.to_be_bytes());
        out.extend_from_slice(&self.window_left_ms.to_be_bytes());
        out.extend_from_slice(&self.lane_ids.to_be_bytes());
        out.extend_from_slice(&self.lane_waits.to_be_bytes());
        out.extend_from_slice(&self.lane_pool_claims.to_be_bytes());
        out.extend_from_slice(&[layout.scale().tick_ms(), self.namespace.shard_bits()]);
        out.extend_from_slice(&[0; 6]);
        out.extend_from_slice(&self.namespace.instagram().epoch_ms().to_be_bytes());
        more.iter().for_each(|id| out.extend_from_slice(&id.to_be_bytes()));
    }
}
