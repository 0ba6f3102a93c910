//! What a store has to show for a datacenter, and what is wrong when it does not.

use std::collections::BTreeMap;

use coreflake_engine::record::{Host, Record, RecordError};
use coreflake_protocol::Namespace;

use crate::identity::file::SlotKey;
use crate::identity::shared::genesis::Genesis;
use crate::identity::shared::{Keys, StoreConfig, Stored, Survey};
use crate::identity::{StoreError, host};

/// One datacenter of one namespace in one store.
#[derive(Clone, Debug)]
pub(crate) struct Datacenter {
    store: &'static str,
    keys: Keys,
    namespace: Namespace,
    datacenter_id: u16,
    workers: u16,
}

/// The records that a store shows.
#[derive(Debug)]
pub(crate) struct Shown {
    /// By slot: the record, or why it cannot be used.
    pub(crate) records: BTreeMap<u16, Result<Record, StoreError>>,
    /// The good ones.
    pub(crate) all: Vec<Record>,
}

impl Datacenter {
    pub(crate) fn new(config: &StoreConfig, namespace: Namespace, datacenter_id: u16) -> Self {
        let StoreConfig { kind, settings, .. } = config;
        let (keys, workers) = (settings.keys.clone(), settings.workers);
        Self { store: kind.name(), keys, namespace, datacenter_id, workers }
    }

    /// The name of the store.
    pub(crate) const fn name(&self) -> &'static str {
        self.store
    }

    /// Layout and epochs of its IDs.
    pub(crate) const fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    pub(crate) const fn id(&self) -> u16 {
        self.datacenter_id
    }

    /// The worker part of a slot.
    pub(crate) const fn worker_id(&self, slot: u16) -> u16 {
        self.namespace.layout().slot_parts(slot).1
    }

    /// All slots of the datacenter, ascending.
    pub(crate) fn slots(&self) -> impl Iterator<Item = SlotKey> + '_ {
        (0..self.workers).filter_map(|worker_id| {
            let slot =
                self.namespace.layout().slot(self.datacenter_id.into(), worker_id.into()).ok()?;
            Some(SlotKey::new(&self.namespace, slot))
        })
    }

    /// What the records belong to.
    ///
    /// # Errors
    ///
    /// When there is none, or one of something else.
    pub(crate) fn genesis(&self, survey: &Survey) -> Result<Genesis, StoreError> {
        let (store, datacenter, key) = (self.store, self.datacenter_id, self.keys.genesis());
        let Some(stored) = &survey.genesis else {
            let text = if survey.records.is_empty() {
                format!(
                    "{store} knows nothing of datacenter {datacenter}: there is no {key}. If this \
                     store is new, make its records with `coreflake slots init`; if it is not, it has \
                     lost them, and what it knew has to be restored first"
                )
            } else {
                format!(
                    "{store}: {key} is missing, though there are records: it was deleted. Make it \
                     again behind everything issued with `coreflake slots init --floor now+10m`"
                )
            };
            return Err(StoreError(text));
        };
        if stored.fleeting {
            return Err(StoreError(format!(
                "{store}: {key} hangs on a session or a lease and would go with it: put the same \
                 value again without one, with the tool of the store"
            )));
        }
        Genesis::read(&stored.bytes, &self.namespace, datacenter)
            .map_err(|problem| StoreError(format!("{store}: {key} {problem}")))
    }

    /// The records of all slots.
    pub(crate) fn records(&self, survey: &Survey) -> Shown {
        let record = |key: SlotKey| match survey.records.get(&self.worker_id(key.slot)) {
            Some(stored) => self.record(key.slot, stored),
            None => Err(self.missing(key.slot)),
        };
        let records: BTreeMap<_, _> = self.slots().map(|key| (key.slot, record(key))).collect();
        let all = records.values().filter_map(|record| record.as_ref().ok().cloned()).collect();
        Shown { records, all }
    }

    /// The record of a slot.
    ///
    /// # Errors
    ///
    /// When what is stored is none that can be used.
    pub(crate) fn record(&self, slot: u16, stored: &Stored) -> Result<Record, StoreError> {
        let (store, worker_id) = (self.store, self.worker_id(slot));
        let key = self.keys.record(worker_id);
        if stored.fleeting {
            return Err(StoreError(format!(
                "{store}: {key} hangs on a session or a lease, and its bound would go with it: make \
                 it last with `coreflake slots adopt --worker-id {worker_id}`"
            )));
        }
        let record = Record::decode(&stored.bytes).map_err(|error| match error {
            RecordError::Version(_) => StoreError(format!("{store}: {key}: {error}")),
            _ => StoreError(format!(
                "{store}: {key}: {error}; restore it, or begin anew behind everything issued with \
                 `coreflake slots adopt --worker-id {worker_id}`"
            )),
        })?;
        let expected = self.slots().find(|key| key.slot == slot);
        let check = expected.map_or(Ok(()), |key| key.check(&record));
        check.map_err(|problem| StoreError(format!("{store}: {key} {problem}")))?;
        Ok(record)
    }

    /// A record is missing that cannot be.
    pub(crate) fn missing(&self, slot: u16) -> StoreError {
        let (store, worker_id) = (self.store, self.worker_id(slot));
        StoreError(format!(
            "{store}: {} is missing: it was deleted, and what it knew is gone. Restore it, or begin \
             anew behind everything issued with `coreflake slots adopt --worker-id {worker_id}`",
            self.keys.record(worker_id)
        ))
    }

    /// A record for each slot that has issued nothing above `bound_ms`.
    pub(crate) fn first_records(
        &self,
        now_ms: u64,
        bound_ms: u64,
        holder: u128,
    ) -> BTreeMap<u16, Vec<u8>> {
        self.slots()
            .map(|key| {
                let record = self.first_record(key, now_ms, bound_ms, holder);
                (self.worker_id(key.slot), record.encode().to_vec())
            })
            .collect()
    }

    /// The same for one slot.
    pub(crate) fn first_record(
        &self,
        key: SlotKey,
        now_ms: u64,
        bound_ms: u64,
        holder: u128,
    ) -> Record {
        Record {
            slot: key.slot,
            fingerprint: key.fingerprint,
            term: 1,
            created_ms: now_ms,
            bound_ms,
            written_ms: now_ms,
            holder,
            attempt: 0,
            host: Host::new(host::name().as_str()),
        }
    }
}
