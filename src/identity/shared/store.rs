//! The window store of several nodes.

use core::time::Duration;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use coreflake_engine::Swap;
use coreflake_engine::keeper::Outcome;
use coreflake_engine::record::Record;
use coreflake_protocol::Namespace;
use futures_util::future::join_all;
use tokio::runtime::{Builder, Runtime};
use tracing::{error, info, warn};

use crate::clock::WallTime;
use crate::identity::file::SlotKey;
use crate::identity::shared::backend::Backend;
use crate::identity::shared::datacenter::{Datacenter, Shown};
use crate::identity::shared::genesis::Genesis;
use crate::identity::shared::high_water::HighWater;
use crate::identity::shared::{Mark, StoreConfig, Stored, Survey, Trouble, Write, Written};
use crate::identity::{Holder, Seen, StoreError, WindowStore, host, went_back};
use crate::limits::STORE_TOLD_INTERVAL;

/// A shared store, as the keeper's thread uses it.
#[derive(Debug)]
pub(crate) struct SharedStore {
    runtime: Runtime,
    backend: Arc<Backend>,
    datacenter: Datacenter,
    pool: Vec<SlotKey>,
    /// What stands in the markers of this process.
    marker: String,
    auto_init: bool,
    timeout: Duration,
    session: Duration,
    /// What was last seen of the slots of the pool.
    shown: BTreeMap<u16, Stored>,
    /// The records that this process has, as last known to be durable.
    held: BTreeMap<u16, Stored>,
    high_water: HighWater,
    /// Whether the store has ever answered.
    answered: bool,
    trouble: Option<(Trouble, Instant)>,
    noting_failed: bool,
}

impl SharedStore {
    /// Prepares the use of a store; nothing is asked yet. `holder` is the number of this process.
    ///
    /// # Errors
    ///
    /// When the settings cannot work, or the state directory holds nonsense.
    pub(crate) fn new(
        config: &StoreConfig,
        namespace: Namespace,
        pool: Vec<SlotKey>,
        directory: &Path,
        holder: u128,
    ) -> Result<Self, StoreError> {
        let settings = Arc::new(config.settings.clone());
        let datacenter_id = namespace.layout().slot_parts(pool.first().map_or(0, |key| key.slot)).0;
        let backend = Arc::new(Backend::new(config.kind, Arc::clone(&settings))?);
        // Its one thread keeps the session alive while the keeper waits for something else.
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("store")
            .enable_all()
            .build()
            .map_err(|error| StoreError(format!("cannot start the store's thread: {error}")))?;
        let seen_name = format!("{}{}", config.kind.name(), settings.keys.datacenter());
        let tended = Arc::clone(&backend);
        runtime.spawn(async move { tended.tend().await });
        Ok(Self {
            runtime,
            backend,
            datacenter: Datacenter::new(config, namespace, datacenter_id),
            pool,
            marker: format!("{} {holder:032x}", host::name()),
            auto_init: config.auto_init,
            timeout: settings.timeout,
            session: settings.session,
            shown: BTreeMap::new(),
            held: BTreeMap::new(),
            high_water: HighWater::open(directory, &seen_name)?,
            answered: false,
            trouble: None,
            noting_failed: false,
        })
    }

    /// Waits for an answer, no longer than is allowed.
    fn wait<T>(&self, answer: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
        self.runtime.block_on(limited(self.timeout, answer))
    }

    /// Takes note of whether the store answers. `None` when it does not, at the moment.
    fn noted<T>(&mut self, result: Result<T, Trouble>) -> Result<Option<T>, StoreError> {
        let trouble = match result {
            Ok(value) => {
                self.answered = true;
                if self.trouble.take().is_some() {
                    info!("the store answers again");
                }
                return Ok(Some(value));
            }
            Err(trouble) => trouble,
        };
        // Credentials that were right once may be so again; ones that never were will not.
        if !self.answered && !matches!(trouble, Trouble::Away(_)) {
            return Err(StoreError(format!("store {}: {trouble}", self.datacenter.name())));
        }
        let told = self.trouble.as_ref();
        if told.is_none_or(|(told, at)| *told != trouble || at.elapsed() > STORE_TOLD_INTERVAL) {
            warn!(store = self.datacenter.name(), %trouble, "the store does not answer");
            self.trouble = Some((trouble, Instant::now()));
        }
        Ok(None)
    }

    /// One transaction, as a swap of the keeper.
    fn outcome(
        &mut self,
        slot: u16,
        to: Vec<u8>,
        result: Result<Written, Trouble>,
    ) -> Result<Outcome, StoreError> {
        Ok(match self.noted(result)? {
            Some(Written::Done { version }) => {
                if let Ok(record) = Record::decode(&to) {
                    let result = self.high_water.note_own(record);
                    self.warn_of_notes(result);
                }
                self.held.insert(slot, Stored { bytes: to, version, fleeting: false });
                Outcome::Won
            }
            Some(Written::Conflict) => Outcome::Lost,
            None => Outcome::Unknown,
        })
    }

    fn swap(
        &mut self,
        swap: &Swap,
        from: Option<Stored>,
        mark: Mark,
    ) -> Result<Outcome, StoreError> {
        let (slot, bytes) = (swap.to.slot, swap.from.encode());
        let Some(from) = from.filter(|stored| stored.bytes == bytes) else {
            // It was another one when it was last seen.
            return Ok(Outcome::Lost);
        };
        let to = swap.to.encode().to_vec();
        let worker_id = self.datacenter.worker_id(slot);
        let write = Write { worker_id, from: Some(from), to: to.clone(), mark };
        let result = self.wait(self.backend.write(&write));
        self.outcome(slot, to, result)
    }

    /// Makes sense of what the store shows, or says what has to be done.
    fn judge(&mut self, survey: &Survey, mine: &[u16]) -> Result<Vec<Seen>, StoreError> {
        let genesis = self.datacenter.genesis(survey)?;
        let Shown { records, all } = self.datacenter.records(survey);
        if let Some(slot) = self.high_water.check(&genesis.id, &all)? {
            return Err(went_back(slot));
        }
        let result = self.high_water.note(&genesis.id, &all);
        self.warn_of_notes(result);
        let mut seen = Vec::new();
        for SlotKey { slot, .. } in &self.pool {
            let worker_id = self.datacenter.worker_id(*slot);
            if let Some(stored) = survey.records.get(&worker_id) {
                self.shown.insert(*slot, stored.clone());
            }
            let holder = survey.markers.get(&worker_id).map(|marker| {
                let host = marker.text.split_whitespace().next().unwrap_or("?");
                if marker.mine { Holder::Me } else { Holder::Other(host.to_owned()) }
            });
            let record = match records.get(slot) {
                Some(record) => record.clone(),
                None => Err(self.datacenter.missing(*slot)),
            };
            seen.push(Seen { slot: *slot, record, holder });
        }
        for slot in records.keys() {
            // One write is enough for one look: the rest is for the next one, and for extensions.
            if self.settle(*slot, mine.contains(slot), survey)? {
                break;
            }
        }
        Ok(seen)
    }

    /// A node that cannot note what it has seen of the store serves all the same.
    fn warn_of_notes(&mut self, result: io::Result<()>) {
        if let Err(error) = result
            && !core::mem::replace(&mut self.noting_failed, true)
        {
            warn!(%error, "cannot note what was seen of the store: one that goes back is not noticed");
        }
    }

    /// The record of a slot as it was last seen to be, if it was these bytes. A claim in doubt that
    /// has arrived is one that only the last survey has shown.
    fn last_seen(&self, slot: u16, bytes: &[u8]) -> Option<&Stored> {
        let seen = [self.held.get(&slot), self.shown.get(&slot)];
        seen.into_iter().flatten().find(|stored| stored.bytes == bytes)
    }

    /// Brings the marker of a slot and what this process knows of it together: they come apart when
    /// a session is lost, when a claim arrives late, and when somebody else writes the record.
    /// Gives whether something was written.
    fn settle(&mut self, slot: u16, mine: bool, survey: &Survey) -> Result<bool, StoreError> {
        let worker_id = self.datacenter.worker_id(slot);
        let Some(shown) = survey.records.get(&worker_id) else { return Ok(false) };
        let marker = survey.markers.get(&worker_id);
        let held = self.held.get(&slot).is_some_and(|held| held.bytes == shown.bytes);
        let mark = match marker {
            // The session was lost, and the slot is still had.
            None if mine && held => Mark::Keep(self.marker.clone()),
            // Nobody keeps the slot any more, and nobody could have it as long as it is marked.
            Some(marker) if marker.mine && !mine => Mark::Remove,
            // One of a session of this process that has ended goes by itself.
            Some(marker) if mine && !marker.mine && marker.text != self.marker => {
                error!(slot, by = marker.text, "another server says that it has this slot");
                return Ok(false);
            }
            _ => return Ok(false),
        };
        info!(slot, keep = mine, "the mark of a slot is put right");
        let to = shown.bytes.clone();
        let write = Write { worker_id, from: Some(shown.clone()), to: to.clone(), mark };
        let result = self.wait(self.backend.write(&write));
        self.outcome(slot, to, result)?;
        if !mine {
            self.held.remove(&slot);
        }
        Ok(true)
    }

    /// Makes genesis and records, in a store that has neither.
    fn init(&mut self) -> Result<Option<Survey>, StoreError> {
        let now_ms = WallTime::now().unix_ms();
        let random = || host::new_holder().map_err(|error| StoreError(error.to_string()));
        let genesis =
            Genesis::new(self.datacenter.namespace(), self.datacenter.id(), random()?, now_ms);
        let records = self.datacenter.first_records(now_ms, now_ms, random()?);
        let result = self.wait(self.backend.create(Some(&genesis.encode()), &records));
        match self.noted(result)? {
            Some(Written::Done { .. }) => {
                info!(genesis = genesis.id, "records made in a new store")
            }
            // Another node was faster.
            Some(Written::Conflict) => {}
            None => return Ok(None),
        }
        let result = self.wait(self.backend.survey());
        self.noted(result)
    }
}

/// An answer, or that there was none in time.
async fn limited<T>(
    timeout: Duration,
    answer: impl Future<Output = Result<T, Trouble>>,
) -> Result<T, Trouble> {
    let late = |_| Err(Trouble::Away(format!("no answer within {} ms", timeout.as_millis())));
    tokio::time::timeout(timeout, answer).await.unwrap_or_else(late)
}

impl WindowStore for SharedStore {
    fn survey(&mut self, mine: &[u16]) -> Result<Option<Vec<Seen>>, StoreError> {
        let result = self.wait(self.backend.survey());
        let Some(mut survey) = self.noted(result)? else { return Ok(None) };
        if self.auto_init && survey == Survey::default() && self.high_water.is_empty() {
            match self.init()? {
                Some(made) => survey = made,
                None => return Ok(None),
            }
        }
        self.judge(&survey, mine).map(Some)
    }

    fn claim(&mut self, swap: &Swap) -> Result<Outcome, StoreError> {
        let from = self.shown.get(&swap.to.slot).cloned();
        self.swap(swap, from, Mark::Make(self.marker.clone()))
    }

    fn look(&mut self, slots: &[u16]) -> Vec<Result<Option<Record>, StoreError>> {
        let asked = slots.iter().map(|slot| {
            let worker_id = self.datacenter.worker_id(*slot);
            limited(self.timeout, self.backend.look(worker_id))
        });
        let results = self.runtime.block_on(async { join_all(asked).await });
        let mut look = |slot: u16, result: Result<Option<Stored>, Trouble>| {
            let Some(stored) = self.noted(result)? else { return Ok(None) };
            let stored = stored.ok_or_else(|| self.datacenter.missing(slot))?;
            let record = self.datacenter.record(slot, &stored)?;
            self.held.insert(slot, stored);
            Ok(Some(record))
        };
        slots.iter().zip(results).map(|(slot, result)| look(*slot, result)).collect()
    }

    fn extend(&mut self, swaps: &[Swap]) -> Vec<Result<Outcome, StoreError>> {
        let writes: Vec<_> = swaps
            .iter()
            .map(|swap| {
                let from = self.last_seen(swap.to.slot, &swap.from.encode())?.clone();
                let to = swap.to.encode().to_vec();
                let worker_id = self.datacenter.worker_id(swap.to.slot);
                let mark = Mark::Keep(self.marker.clone());
                Some(Write { worker_id, from: Some(from), to, mark })
            })
            .collect();
        let (backend, timeout) = (&self.backend, self.timeout);
        let asked = writes.iter().map(|write| async move {
            let Some(write) = write else { return Ok(Written::Conflict) };
            limited(timeout, backend.write(write)).await
        });
        // One after the other they would take a slow store several times as long.
        let results = self.runtime.block_on(async { join_all(asked).await });
        let answered = swaps.iter().zip(results);
        answered
            .map(|(swap, result)| self.outcome(swap.to.slot, swap.to.encode().to_vec(), result))
            .collect()
    }

    fn release(&mut self, swap: &Swap) -> Result<Outcome, StoreError> {
        let from = self.last_seen(swap.to.slot, &swap.from.encode()).cloned();
        let outcome = self.swap(swap, from, Mark::Remove);
        self.forget(swap.to.slot);
        outcome
    }

    fn forget(&mut self, slot: u16) {
        self.held.remove(&slot);
    }

    fn watch_interval(&self) -> Option<Duration> {
        Some(self.session / 2)
    }

    fn close(&mut self) {
        if let Err(trouble) = self.wait(self.backend.close()) {
            warn!(%trouble, "the session is not ended: its markers stay until it expires");
        }
    }
}
