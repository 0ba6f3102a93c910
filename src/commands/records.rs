//! The records that `coreflake slots` works on, wherever they live.

use std::collections::BTreeMap;
use std::path::PathBuf;

use coreflake_engine::record::Record;
use coreflake_protocol::Namespace;

use crate::config::StateConfig;
use crate::identity::directory::Directory;
use crate::identity::file::{self, RecordFile, SlotKey};
use crate::identity::shared::Repair;
use crate::identity::{Seen, StoreError};

/// Records of this machine, or of a datacenter in a shared store.
#[derive(Debug)]
pub(crate) enum Records {
    Local { directory: PathBuf, allowed: Vec<String>, namespace: Namespace },
    Shared(Box<Repair>),
}

impl Records {
    pub(crate) fn open(
        state: StateConfig,
        namespace: Namespace,
        datacenter_id: u16,
    ) -> Result<Self, StoreError> {
        match state.store {
            Some(store) => Repair::new(&store, namespace, datacenter_id)
                .map(|repair| Self::Shared(Box::new(repair))),
            None => {
                let (directory, allowed) = (state.directory, state.allowed_filesystems);
                Ok(Self::Local { directory, allowed, namespace })
            }
        }
    }

    /// Whether what was last asked has failed because the store does not answer.
    pub(crate) fn is_away(&self) -> bool {
        matches!(self, Self::Shared(repair) if repair.is_away())
    }

    /// The slots that have a record, ascending.
    pub(crate) fn list(&self) -> Result<Vec<Seen>, StoreError> {
        match self {
            Self::Local { directory, .. } => {
                let listed = file::list(&Directory::existing(directory)?)?;
                let seen = listed.into_iter().map(|listed| {
                    let file::Listed { slot, record } = listed;
                    Seen { slot, record, holder: None }
                });
                Ok(seen.collect())
            }
            Self::Shared(repair) => repair.list(),
        }
    }

    /// Makes what is missing in a shared store. Gives how many records were made.
    pub(crate) fn init(&self, now_ms: u64, bound_ms: u64) -> Result<usize, StoreError> {
        match self {
            Self::Local { .. } => Err(StoreError(
                "records in a state directory are made by the first server that uses them; \
                 --store etcd, zookeeper or consul names a shared store"
                    .to_owned(),
            )),
            Self::Shared(repair) => repair.init(now_ms, bound_ms),
        }
    }

    /// Takes over a record whatever has become of it, with a bound of at least `bound_ms`; and of
    /// at least `unknown_ms` if a shared store does not know any more what was reserved.
    pub(crate) fn adopt(
        &self,
        key: SlotKey,
        now_ms: u64,
        bound_ms: u64,
        unknown_ms: u64,
    ) -> Result<Record, StoreError> {
        match self {
            Self::Local { directory, allowed, .. } => {
                RecordFile::adopt(&Directory::open(directory, allowed)?, key, now_ms, bound_ms)
            }
            Self::Shared(repair) => repair.raise(key, now_ms, bound_ms, Some(unknown_ms)),
        }
    }

    /// Raises all bounds that are below `bound_ms`.
    pub(crate) fn fence(
        &self,
        now_ms: u64,
        bound_ms: u64,
    ) -> Result<BTreeMap<u16, Result<Record, StoreError>>, StoreError> {
        let Self::Local { namespace, .. } = self else {
            let Self::Shared(repair) = self else { return Ok(BTreeMap::new()) };
            return Ok(repair.fence(now_ms, bound_ms));
        };
        let raise = |seen: Seen| -> Result<Record, StoreError> {
            let record = seen.record?;
            if record.bound_ms >= bound_ms {
                return Ok(record);
            }
            let (datacenter_id, worker_id) = namespace.layout().slot_parts(seen.slot);
            let slot = namespace.layout().slot(datacenter_id.into(), worker_id.into());
            let slot = slot.map_err(|error| StoreError(error.to_string()))?;
            self.adopt(SlotKey::new(namespace, slot), now_ms, bound_ms, bound_ms)
        };
        Ok(self.list()?.into_iter().map(|seen| (seen.slot, raise(seen))).collect())
    }
}
