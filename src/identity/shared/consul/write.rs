//! How a write becomes a transaction.

use std::collections::BTreeMap;

use hyper::{Method, StatusCode};
use tokio::time::Instant;

use super::http::{Question, denied};
use super::wire::{Operation, Transacted, not_consul};
use super::{Consul, bare, wire};
use crate::identity::shared::{Mark, Stored, Trouble, Write, Written};
use crate::limits::{CONSUL_OPERATIONS_MAX, CONSUL_TRIES_MAX};

/// What a transaction does about the marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plan {
    /// Makes it.
    Make,
    /// Checks that it is there, and this process's.
    Hold,
    /// The same, and deletes it.
    Drop,
    /// Nothing.
    Nothing,
}

/// A plan as operations. They stand before those of the record.
struct Marked {
    operations: Vec<Operation>,
    /// The session they name.
    session: String,
}

impl Consul {
    pub(super) async fn write_until(
        &self,
        write: &Write,
        deadline: Instant,
    ) -> Result<Written, Trouble> {
        let from = match &write.from {
            None => None,
            Some(from) => match self.confirm(write.worker_id, from, deadline).await? {
                None => return Ok(Written::Conflict),
                confirmed => confirmed,
            },
        };
        let record = self.settings.keys.record(write.worker_id);
        let mut plan = match (&write.mark, self.memory.session()) {
            (Mark::Make(_), _) | (Mark::Keep(_), None) => Plan::Make,
            (Mark::Keep(_), Some(_)) => Plan::Hold,
            (Mark::Remove, Some(_)) => Plan::Drop,
            (Mark::Remove, None) | (Mark::Leave, _) => Plan::Nothing,
        };
        for _ in 0..CONSUL_TRIES_MAX {
            let marked = self.marked(plan, write, deadline).await?;
            let count = marked.operations.len();
            let mut operations = marked.operations;
            operations.extend(swap(bare(&record), from.as_ref(), &write.to));
            let transacted = self.transact(&operations, deadline).await?;
            let refusals = transacted.refusals();
            if refusals.is_empty() {
                let version = transacted.version(bare(&record));
                let version = version.ok_or_else(|| not_consul("the answer to a transaction"))?;
                return Ok(Written::Done { version });
            }
            if refusals.iter().any(|refusal| refusal.op_index >= count) {
                return Ok(Written::Conflict);
            }
            // The second operation of `Plan::Make` is the lock; the first one was content.
            let is_lock =
                plan == Plan::Make && refusals.iter().all(|refusal| refusal.op_index == 1);
            match self.other_plan(write, is_lock, &marked.session, deadline).await? {
                Some(other) => plan = other,
                None => return Ok(Written::Conflict),
            }
        }
        Err(Trouble::Away(format!("the marker of worker {} does not rest", write.worker_id)))
    }

    pub(super) async fn create_until(
        &self,
        genesis: Option<&[u8]>,
        records: &BTreeMap<u16, Vec<u8>>,
        deadline: Instant,
    ) -> Result<Written, Trouble> {
        let keys = &self.settings.keys;
        let mut operations: Vec<_> = records
            .iter()
            .map(|(worker_id, bytes)| (keys.record(*worker_id), bytes.as_slice()))
            .chain(genesis.map(|bytes| (keys.genesis(), bytes)))
            .map(|(key, bytes)| (key.clone(), Operation::set(bare(&key), None, bytes)))
            .collect();
        let mut version = 0;
        while !operations.is_empty() {
            let rest = operations.split_off(operations.len().min(CONSUL_OPERATIONS_MAX));
            let (names, part): (Vec<_>, Vec<_>) = operations.into_iter().unzip();
            let transacted = self.transact(&part, deadline).await?;
            if !transacted.refusals().is_empty() {
                return Ok(Written::Conflict);
            }
            let last = names.last().and_then(|key| transacted.version(bare(key)));
            version = last.ok_or_else(|| not_consul("the answer to a transaction"))?;
            operations = rest;
        }
        Ok(Written::Done { version })
    }

    /// What the record is now, if it has the bytes of `from`.
    async fn confirm(
        &self,
        worker_id: u16,
        from: &Stored,
        deadline: Instant,
    ) -> Result<Option<Stored>, Trouble> {
        if self.memory.knows(worker_id, from) {
            return Ok(Some(from.clone()));
        }
        let found = self.record(worker_id, deadline).await?;
        Ok(found.filter(|found| found.bytes == from.bytes))
    }

    async fn marked(
        &self,
        plan: Plan,
        write: &Write,
        deadline: Instant,
    ) -> Result<Marked, Trouble> {
        if plan == Plan::Nothing {
            return Ok(Marked { operations: Vec::new(), session: String::new() });
        }
        let marker = self.settings.keys.marker(write.worker_id);
        let marker = bare(&marker);
        let session = self.ensure_session(deadline).await?;
        let operations = match (plan, &write.mark) {
            // A lock alone would take a marker over that somebody has made by hand.
            (Plan::Make, Mark::Make(text) | Mark::Keep(text)) => {
                vec![Operation::check_missing(marker), Operation::lock(marker, &session, text)]
            }
            (Plan::Drop, _) => {
                vec![Operation::check_session(marker, &session), Operation::delete(marker)]
            }
            _ => vec![Operation::check_session(marker, &session)],
        };
        Ok(Marked { operations, session })
    }

    /// What to try when only the marker was not as expected. `is_lock` says that it is missing and
    /// could not be made.
    async fn other_plan(
        &self,
        write: &Write,
        is_lock: bool,
        session: &str,
        deadline: Instant,
    ) -> Result<Option<Plan>, Trouble> {
        if write.mark == Mark::Remove {
            // It is not this session's, so there is nothing to delete.
            return Ok(Some(Plan::Nothing));
        }
        // Without a session there is no lock; with one, it is held back for a while.
        let is_lost = is_lock && !self.renew_session(session, deadline).await?;
        if !matches!(write.mark, Mark::Keep(_)) {
            return Ok(is_lost.then_some(Plan::Make));
        }
        let marker = self.pair(&self.settings.keys.marker(write.worker_id), deadline).await?;
        let Some(marker) = marker else {
            let is_held_back = is_lock && !is_lost;
            return Ok(Some(if is_held_back { Plan::Nothing } else { Plan::Make }));
        };
        Ok(match marker.session() {
            Some(holder) if Some(holder) == self.memory.session().as_deref() => Some(Plan::Hold),
            Some(holder) if self.memory.is_former(holder) => Some(Plan::Nothing),
            _ => None,
        })
    }

    async fn transact(
        &self,
        operations: &[Operation],
        deadline: Instant,
    ) -> Result<Transacted, Trouble> {
        let question = Question {
            method: Method::PUT,
            path: "/v1/txn".to_owned(),
            body: wire::write(&operations)?,
            repeatable: false,
        };
        let answer = self.http.ask(&question, deadline).await?;
        let what = "the answer to a transaction";
        let transacted: Transacted = match answer.status {
            StatusCode::OK | StatusCode::CONFLICT => wire::read(&answer.body, what)?,
            _ => return Err(not_consul(what)),
        };
        if transacted.refusals().iter().any(|refusal| refusal.is_denial()) {
            return Err(denied());
        }
        // The status and the list have to say the same, whatever is between here and Consul.
        if (answer.status == StatusCode::OK) != transacted.refusals().is_empty() {
            return Err(not_consul(what));
        }
        Ok(transacted)
    }
}

/// Puts `to` in the place of `from`. A key that a session holds stays held whatever is written to
/// it, so that one is deleted and made anew.
fn swap(record: &str, from: Option<&Stored>, to: &[u8]) -> Vec<Operation> {
    match from {
        Some(from) if from.fleeting => {
            vec![Operation::delete_version(record, from.version), Operation::set(record, None, to)]
        }
        from => vec![Operation::set(record, from.map(|from| from.version), to)],
    }
}
