//! Consul, over its HTTP API. Version 1.8 is what the tests run against. Nothing asks for the
//! version: that would take a permission of its own.
//!
//! Every write is one transaction: all of it happens or nothing. Consul compares no values, only
//! versions. A version may come again after a snapshot was restored, so it is relied on only beside
//! bytes that were seen with it in the same session, and an extension has the session checked, too.
//!
//! Everything is read with `consistent`: the leader asks the others whether it still is one. A
//! leader that was cut off would answer from the past for a while otherwise.
//!
//! A token needs `key_prefix` and `session_prefix` with `write`. Without the first, keys are not
//! refused but left out of a listing, so an empty one is asked about again.

mod http;
mod memory;
mod session;
mod tls;
mod wire;
mod write;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use hyper::{Method, StatusCode};
use tokio::time::Instant;

use self::http::{Answer, Http, Question, escape};
use self::memory::Memory;
use self::wire::{Pair, not_consul};
use crate::identity::StoreError;
use crate::identity::shared::{
    Keys, Marker, StoreSettings, Stored, Survey, Trouble, Write, Written,
};
use crate::limits::CONSUL_SESSION;

/// A datacenter's slots in Consul. Its calls are made in a runtime, of which they need the reactor
/// and the timer; each ends within the timeout of the settings.
#[derive(Debug)]
pub(crate) struct Consul {
    settings: Arc<StoreSettings>,
    http: Http,
    memory: Memory,
    /// Held while a session is made or ended, so that there is one of them.
    making: tokio::sync::Mutex<()>,
}

impl Consul {
    /// Does not reach for the store; reads the certificates that the system trusts, if they matter.
    ///
    /// # Errors
    ///
    /// When the settings cannot work: an address without a scheme, a PEM text that is none, a
    /// session that Consul does not accept. The text says which.
    pub(crate) fn new(settings: Arc<StoreSettings>) -> Result<Self, StoreError> {
        if !CONSUL_SESSION.contains(&settings.session) {
            return Err(StoreError(format!(
                "store-session-ms {} is not what Consul accepts: {} to {}",
                settings.session.as_millis(),
                CONSUL_SESSION.start().as_millis(),
                CONSUL_SESSION.end().as_millis()
            )));
        }
        let http = Http::new(&settings)?;
        let (memory, making) = (Memory::default(), tokio::sync::Mutex::default());
        Ok(Self { settings, http, memory, making })
    }

    /// Everything there is of the datacenter, as of one moment. Keys that are none of this tree are
    /// left out, and workers that the settings do not have.
    ///
    /// # Errors
    ///
    /// [`Trouble`], as everywhere.
    pub(crate) async fn survey(&self) -> Result<Survey, Trouble> {
        let deadline = self.deadline();
        let all = self.settings.keys.all();
        let pairs = self.read(&format!("{}?recurse&consistent", path(&all)), deadline).await?;
        let mut survey = Survey::default();
        for pair in &pairs {
            let Some(name) = pair.key.strip_prefix(bare(&all)) else { continue };
            match name.split_once('/') {
                None if name == "genesis" => survey.genesis = Some(pair.stored()?),
                Some(("slots", name)) => {
                    if let Some(worker_id) = self.worker_id(name) {
                        survey.records.insert(worker_id, pair.stored()?);
                    }
                }
                Some(("workers", name)) => {
                    if let Some(worker_id) = self.worker_id(name) {
                        let text = String::from_utf8_lossy(&pair.bytes()?).into_owned();
                        let mine = pair.session().is_some()
                            && pair.session() == self.memory.session().as_deref();
                        survey.markers.insert(worker_id, Marker { text, mine });
                    }
                }
                _ => {}
            }
        }
        if survey.genesis.is_none() {
            // A listing leaves out what the token may not read. One key alone is refused aloud.
            let genesis = path(&self.settings.keys.genesis());
            self.read(&format!("{genesis}?consistent"), deadline).await?;
        }
        for (worker_id, stored) in &survey.records {
            self.memory.learn(*worker_id, stored.clone());
        }
        Ok(survey)
    }

    /// The record of a slot.
    ///
    /// # Errors
    ///
    /// [`Trouble`], as everywhere.
    pub(crate) async fn look(&self, worker_id: u16) -> Result<Option<Stored>, Trouble> {
        self.record(worker_id, self.deadline()).await
    }

    /// Writes a record, and what is asked for about its marker, in one transaction.
    ///
    /// A marker that cannot be made because Consul holds it back (the lock delay of a session that
    /// somebody else has made) is a conflict for [`Mark::Make`](super::Mark::Make), and for
    /// [`Mark::Keep`](super::Mark::Keep) it is left to a later one. So is one that a former session
    /// of this process still has.
    ///
    /// # Errors
    ///
    /// [`Trouble`]; it is not known then whether the write has happened.
    pub(crate) async fn write(&self, write: &Write) -> Result<Written, Trouble> {
        let written = self.write_until(write, self.deadline()).await;
        match &written {
            Ok(Written::Done { version }) => {
                let bytes = write.to.clone();
                let stored = Stored { bytes, version: *version, fleeting: false };
                self.memory.learn(write.worker_id, stored);
            }
            // The next write reads before it relies on anything.
            Ok(Written::Conflict) | Err(_) => self.memory.forget(write.worker_id),
        }
        written
    }

    /// Creates records, and after them the genesis. All of them have to be missing.
    ///
    /// One transaction takes 64; of more, some may have been created when another is in conflict.
    /// The genesis is always in the last one, so there is none then.
    ///
    /// # Errors
    ///
    /// [`Trouble`]; it is not known then what has been created.
    pub(crate) async fn create(
        &self,
        genesis: Option<&[u8]>,
        records: &BTreeMap<u16, Vec<u8>>,
    ) -> Result<Written, Trouble> {
        self.create_until(genesis, records, self.deadline()).await
    }

    /// Changes whenever this process's session has begun or ended, and with it its markers; 0 when
    /// there was none yet.
    #[cfg(test)]
    pub(crate) fn session(&self) -> u64 {
        self.memory.number()
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.settings.timeout
    }

    fn worker_id(&self, name: &str) -> Option<u16> {
        Keys::worker_id(name).filter(|worker_id| *worker_id < self.settings.workers)
    }

    async fn record(&self, worker_id: u16, deadline: Instant) -> Result<Option<Stored>, Trouble> {
        let pair = self.pair(&self.settings.keys.record(worker_id), deadline).await?;
        let stored = pair.map(|pair| pair.stored()).transpose()?;
        match &stored {
            Some(stored) => self.memory.learn(worker_id, stored.clone()),
            None => self.memory.forget(worker_id),
        }
        Ok(stored)
    }

    async fn pair(&self, key: &str, deadline: Instant) -> Result<Option<Pair>, Trouble> {
        let pairs = self.read(&format!("{}?consistent", path(key)), deadline).await?;
        match pairs.into_iter().next() {
            Some(pair) if pair.key != bare(key) => {
                Err(not_consul(&format!("the answer for {key}")))
            }
            pair => Ok(pair),
        }
    }

    async fn read(&self, path: &str, deadline: Instant) -> Result<Vec<Pair>, Trouble> {
        let question = Question {
            method: Method::GET,
            path: path.to_owned(),
            body: Vec::new(),
            repeatable: true,
        };
        let answer = self.http.ask(&question, deadline).await?;
        match answer.status {
            StatusCode::OK if answer.is_of_store => wire::read(&answer.body, path),
            StatusCode::NOT_FOUND if answer.is_of_store => Ok(Vec::new()),
            status => Err(not_consul(&format!("the answer {status} for {path}"))),
        }
    }

    /// Puts something that may be put twice.
    async fn put(&self, path: &str, body: Vec<u8>, deadline: Instant) -> Result<Answer, Trouble> {
        let path = path.to_owned();
        let question = Question { method: Method::PUT, path, body, repeatable: true };
        self.http.ask(&question, deadline).await
    }
}

/// A key as Consul wants it: without a slash at the beginning.
fn bare(key: &str) -> &str {
    key.strip_prefix('/').unwrap_or(key)
}

/// The address of a key.
fn path(key: &str) -> String {
    format!("/v1/kv/{}", escape(bare(key)))
}
