//! Looks at the records of a shared store and repairs them, beside the servers that use them.
//!
//! Each change is a compare-and-swap of one record, as any other, and none lowers a bound. A server
//! that has the slot finds somebody else's record and lets go of it.

use core::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;

use coreflake_engine::record::{Record, RecordError};
use coreflake_protocol::Namespace;
use tokio::runtime::{Builder, Runtime};

use crate::identity::file::SlotKey;
use crate::identity::shared::backend::Backend;
use crate::identity::shared::datacenter::Datacenter;
use crate::identity::shared::genesis::Genesis;
use crate::identity::shared::{Mark, StoreConfig, Stored, Survey, Trouble, Write, Written};
use crate::identity::{Holder, Seen, StoreError, host};
use crate::limits::REPAIR_ATTEMPTS_MAX;

/// The records of one datacenter, to be looked at and repaired.
#[derive(Debug)]
pub(crate) struct Repair {
    runtime: Runtime,
    backend: Backend,
    datacenter: Datacenter,
    timeout: core::time::Duration,
    away: Cell<bool>,
}

impl Repair {
    /// # Errors
    ///
    /// When the settings cannot work.
    pub(crate) fn new(
        config: &StoreConfig,
        namespace: Namespace,
        datacenter_id: u16,
    ) -> Result<Self, StoreError> {
        let runtime = Builder::new_current_thread().enable_all().build();
        Ok(Self {
            runtime: runtime.map_err(|error| StoreError(error.to_string()))?,
            backend: Backend::new(config.kind, Arc::new(config.settings.clone()))?,
            datacenter: Datacenter::new(config, namespace, datacenter_id),
            timeout: config.settings.timeout,
            away: Cell::new(false),
        })
    }

    /// Whether what was last asked has failed because the store does not answer.
    pub(crate) fn is_away(&self) -> bool {
        self.away.get()
    }

    /// All slots of the datacenter, ascending.
    ///
    /// # Errors
    ///
    /// When the store does not answer, or has nothing to show.
    pub(crate) fn list(&self) -> Result<Vec<Seen>, StoreError> {
        let survey = self.survey()?;
        self.datacenter.genesis(&survey)?;
        let records = self.datacenter.records(&survey).records;
        let seen = records.into_iter().map(|(slot, record)| {
            let marker = survey.markers.get(&self.datacenter.worker_id(slot));
            let holder = marker.map(|marker| Holder::Other(marker.text.clone()));
            Seen { slot, record, holder }
        });
        Ok(seen.collect())
    }

    /// Makes genesis and records, as far as they are missing, with this bound. Gives how many
    /// records were made.
    ///
    /// # Errors
    ///
    /// When there is nothing to make, or somebody else makes it at the same time.
    pub(crate) fn init(&self, now_ms: u64, bound_ms: u64) -> Result<usize, StoreError> {
        let survey = self.survey()?;
        let datacenter_id = self.datacenter.id();
        let holder = holder()?;
        let mut records = self.datacenter.first_records(now_ms, bound_ms, holder);
        records.retain(|worker_id, _| !survey.records.contains_key(worker_id));
        if survey.genesis.is_some() {
            // What is there has to be right before anything is added to it.
            self.datacenter.genesis(&survey)?;
            let name = self.datacenter.name();
            let text = match records.first_key_value() {
                None => format!("{name}: datacenter {datacenter_id} has its records already"),
                Some((worker_id, _)) => format!(
                    "{name}: datacenter {datacenter_id} was made before, and some records are \
                     missing, that of worker {worker_id} for one: begin them anew behind everything \
                     issued with `coreflake slots adopt --worker-id {worker_id}`"
                ),
            };
            return Err(StoreError(text));
        }
        let genesis = Genesis::new(self.datacenter.namespace(), datacenter_id, holder, now_ms);
        match self.ask(self.backend.create(Some(&genesis.encode()), &records))? {
            Written::Done { .. } => Ok(records.len()),
            Written::Conflict => Err(changed()),
        }
    }

    /// Raises the bound of a slot to `bound_ms`, if it is lower. With `unknown_ms`, a record is
    /// made where none is, or none that can be used, with that bound: what it knew is gone, and a
    /// server that had the slot may still use what it had reserved.
    ///
    /// # Errors
    ///
    /// When the record cannot be used, or changes all the time.
    pub(crate) fn raise(
        &self,
        key: SlotKey,
        now_ms: u64,
        bound_ms: u64,
        unknown_ms: Option<u64>,
    ) -> Result<Record, StoreError> {
        let worker_id = self.datacenter.worker_id(key.slot);
        let survey = self.survey()?;
        self.datacenter.genesis(&survey)?;
        // The clock of this machine may be behind those of the servers.
        let written = self.datacenter.records(&survey).all.into_iter();
        let ahead_ms = written.map(|record| record.written_ms.saturating_sub(now_ms)).max();
        let unknown_ms = unknown_ms.map(|ms| ms.saturating_add(ahead_ms.unwrap_or(0)));
        for _ in 0..REPAIR_ATTEMPTS_MAX {
            let stored = self.ask(self.backend.look(worker_id))?;
            let before = match &stored {
                Some(stored) => self.datacenter.record(key.slot, stored),
                None => Err(self.datacenter.missing(key.slot)),
            };
            let before = match before {
                Ok(record) => record,
                Err(error) => match unknown_ms {
                    Some(unknown_ms) => self.adopted(key, stored.as_ref(), now_ms, unknown_ms)?,
                    None => return Err(error),
                },
            };
            if before.bound_ms >= bound_ms && unknown_ms.is_none() {
                return Ok(before);
            }
            let record = Record {
                term: before.term.saturating_add(1),
                bound_ms: before.bound_ms.max(bound_ms),
                written_ms: now_ms,
                holder: holder()?,
                attempt: fastrand::u64(..),
                host: host::name(),
                ..before
            };
            let to = record.encode().to_vec();
            let write = Write { worker_id, from: stored, to, mark: Mark::Leave };
            if let Written::Done { .. } = self.ask(self.backend.write(&write))? {
                return Ok(record);
            }
        }
        Err(changed())
    }

    /// Raises the bounds of all slots to `bound_ms`, where they are lower.
    ///
    /// # Errors
    ///
    /// By slot.
    pub(crate) fn fence(
        &self,
        now_ms: u64,
        bound_ms: u64,
    ) -> BTreeMap<u16, Result<Record, StoreError>> {
        let keys = self.datacenter.slots();
        keys.map(|key| (key.slot, self.raise(key, now_ms, bound_ms, None))).collect()
    }

    /// What a record that cannot be used becomes. One that only hangs on a session keeps its bound.
    fn adopted(
        &self,
        key: SlotKey,
        stored: Option<&Stored>,
        now_ms: u64,
        bound_ms: u64,
    ) -> Result<Record, StoreError> {
        let bytes = stored.map(|stored| stored.bytes.as_slice()).unwrap_or_default();
        match Record::decode(bytes) {
            Ok(record) => {
                // Of another slot or namespace: nobody knows what it does here.
                key.check(&record).map_err(|problem| {
                    StoreError(format!(
                        "the record {problem}; it is not overwritten: delete it first"
                    ))
                })?;
                Ok(record)
            }
            // Another release knows what it means.
            Err(error @ RecordError::Version(_)) => Err(StoreError(format!(
                "the record of slot {}: {error}; it is not overwritten: delete it first",
                key.slot
            ))),
            Err(_) => Ok(self.datacenter.first_record(key, now_ms, bound_ms, holder()?)),
        }
    }

    fn survey(&self) -> Result<Survey, StoreError> {
        self.ask(self.backend.survey())
    }

    fn ask<T>(&self, answer: impl Future<Output = Result<T, Trouble>>) -> Result<T, StoreError> {
        let limited = async { tokio::time::timeout(self.timeout, answer).await };
        let late = |_| Trouble::Away(format!("no answer within {} ms", self.timeout.as_millis()));
        let answer = self.runtime.block_on(limited).map_err(late).and_then(|answer| answer);
        self.away.set(matches!(answer, Err(Trouble::Away(_))));
        answer.map_err(|trouble| StoreError(format!("store {}: {trouble}", self.datacenter.name())))
    }
}

fn holder() -> Result<u128, StoreError> {
    host::new_holder().map_err(|error| StoreError(format!("no random numbers: {error}")))
}

fn changed() -> StoreError {
    StoreError("somebody else has changed it at the same time: look at it and try again".to_owned())
}
