//! One of the three stores.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::args::StoreKind;
use crate::identity::StoreError;
use crate::identity::shared::consul::Consul;
use crate::identity::shared::etcd::Etcd;
use crate::identity::shared::zookeeper::ZooKeeper;
use crate::identity::shared::{StoreSettings, Stored, Survey, Trouble, Write, Written};

/// A store that several nodes share.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // There is one a process.
pub(crate) enum Backend {
    Etcd(Etcd),
    ZooKeeper(ZooKeeper),
    Consul(Consul),
}

/// Asks whichever store it is.
macro_rules! ask {
    ($backend:expr, $store:ident => $call:expr) => {
        match $backend {
            Backend::Etcd($store) => $call,
            Backend::ZooKeeper($store) => $call,
            Backend::Consul($store) => $call,
        }
    };
}

impl Backend {
    /// Reads the settings; nothing is asked yet.
    ///
    /// # Errors
    ///
    /// When they cannot work with this store.
    pub(crate) fn new(kind: StoreKind, settings: Arc<StoreSettings>) -> Result<Self, StoreError> {
        match kind {
            StoreKind::File => Err(StoreError("a file is no shared store".to_owned())),
            StoreKind::Etcd => Etcd::new(settings).map(Self::Etcd),
            StoreKind::ZooKeeper => ZooKeeper::new(settings).map(Self::ZooKeeper),
            StoreKind::Consul => Consul::new(settings).map(Self::Consul),
        }
    }

    /// Everything that is kept of the datacenter, as of one moment.
    pub(crate) async fn survey(&self) -> Result<Survey, Trouble> {
        ask!(self, store => store.survey().await)
    }

    /// The record of a slot as it is now.
    pub(crate) async fn look(&self, worker_id: u16) -> Result<Option<Stored>, Trouble> {
        ask!(self, store => store.look(worker_id).await)
    }

    /// One transaction.
    pub(crate) async fn write(&self, write: &Write) -> Result<Written, Trouble> {
        ask!(self, store => store.write(write).await)
    }

    /// Makes what must not be there yet, all or nothing.
    pub(crate) async fn create(
        &self,
        genesis: Option<&[u8]>,
        records: &BTreeMap<u16, Vec<u8>>,
    ) -> Result<Written, Trouble> {
        ask!(self, store => store.create(genesis, records).await)
    }

    /// Keeps the session alive, for ever.
    pub(crate) async fn tend(&self) {
        ask!(self, store => store.tend().await);
    }

    /// Ends the session: the markers go at once.
    pub(crate) async fn close(&self) -> Result<(), Trouble> {
        ask!(self, store => store.close().await)
    }
}
