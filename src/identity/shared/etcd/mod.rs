//! etcd, version 3.4.21 or 3.5.6 and newer.
//!
//! Records have no lease; a marker has the lease of the process that made it. Each write is one
//! transaction, and each read is linearizable: a member without a majority does not answer it.

// Nothing uses it yet.

mod member;
mod members;
mod reason;
mod session;
mod survey;
mod txn;
mod version;

#[cfg(test)]
mod tests;

use core::sync::atomic::{AtomicBool, Ordering};
use std::collections::BTreeMap;
use std::sync::Arc;

use coreflake_etcd::etcdserverpb::{RangeRequest, ResponseOp, TxnRequest};
use coreflake_etcd::mvccpb::KeyValue;
use tokio::time::{Instant, timeout_at};

use self::members::{Kind, Members};
use self::session::Session;
use self::txn::Before;
use crate::identity::StoreError;
use crate::identity::shared::{Mark, StoreSettings, Stored, Survey, Trouble, Write, Written};
use crate::limits::ETCD_TXNS_MAX;

/// An etcd that several nodes share.
#[derive(Debug)]
pub(crate) struct Etcd {
    settings: Arc<StoreSettings>,
    members: Members,
    session: Session,
    /// Whether keys that mean nothing to us have been told of.
    told: AtomicBool,
}

/// What etcd says of a transaction.
#[derive(Debug)]
enum Answer {
    /// Its conditions held: it is done, at this revision.
    Done(u64),
    /// They did not, and nothing has been changed. What was read instead.
    Refused(Vec<ResponseOp>),
    /// The lease it names is no more; nothing has been changed.
    LeaseGone,
}

impl Etcd {
    /// Reads the certificates; does not connect.
    ///
    /// # Errors
    ///
    /// When the settings can never work: an address without `http://` or `https://`, a username
    /// without a password, a certificate or a key that is none.
    pub(crate) fn new(settings: Arc<StoreSettings>) -> Result<Self, StoreError> {
        let members = Members::new(&settings)?;
        let session = Session::new(settings.session);
        Ok(Self { settings, members, session, told: AtomicBool::new(false) })
    }

    /// Everything of the datacenter, as of one moment.
    pub(crate) async fn survey(&self) -> Result<Survey, Trouble> {
        let keys = &self.settings.keys;
        let prefix = keys.all();
        let found = self.range(prefix.as_bytes(), txn::after(&prefix)).await?;
        let (survey, unknown) = survey::sort(keys, &found, self.session.lease());
        if unknown > 0 && !self.told.swap(true, Ordering::Relaxed) {
            tracing::debug!(unknown, prefix, "etcd has keys there that mean nothing");
        }
        Ok(survey)
    }

    /// The record of a slot, as it is now.
    pub(crate) async fn look(&self, worker_id: u16) -> Result<Option<Stored>, Trouble> {
        let key = self.settings.keys.record(worker_id);
        let found = self.range(key.as_bytes(), Vec::new()).await?;
        Ok(found.first().map(txn::stored))
    }

    /// Writes a record, and does about its marker what is asked.
    pub(crate) async fn write(&self, write: &Write) -> Result<Written, Trouble> {
        let deadline = self.members.deadline();
        // Held, as far as is known: whoever keeps a marker has made it.
        let mut missing = !matches!(write.mark, Mark::Keep(_));
        // A transaction is followed by another only if it has changed nothing.
        for _ in 0..ETCD_TXNS_MAX {
            let before = match &write.mark {
                Mark::Make(_) | Mark::Keep(_) => {
                    let lease = self.lease(deadline).await?;
                    if missing { Before::Missing(lease) } else { Before::Held(lease) }
                }
                Mark::Remove => self.session.lease().map_or(Before::Anything, Before::DeletedIf),
                Mark::Leave => Before::Anything,
            };
            let txn = txn::write(&self.settings.keys, write, before);
            match (self.txn(&txn, deadline).await?, before) {
                (Answer::Done(version), _) => return Ok(Written::Done { version }),
                (Answer::Refused(found), Before::Held(_))
                    if txn::lacks_only_the_marker(write, &found) =>
                {
                    missing = true;
                }
                (Answer::Refused(_), _) => return Ok(Written::Conflict),
                (Answer::LeaseGone, Before::Missing(lease)) => self.session.lost(lease),
                // No other names a lease that has to be.
                (Answer::LeaseGone, _) => break,
            }
        }
        Err(Trouble::Away("etcd: the session ended again and again".to_owned()))
    }

    /// Makes the genesis, if one is given, and records, in one transaction. If any of them is
    /// there already, nothing is made. The version is the revision that has made them all.
    pub(crate) async fn create(
        &self,
        genesis: Option<&[u8]>,
        records: &BTreeMap<u16, Vec<u8>>,
    ) -> Result<Written, Trouble> {
        let txn = txn::create(&self.settings.keys, genesis, records);
        match self.txn(&txn, self.members.deadline()).await? {
            Answer::Done(version) => Ok(Written::Done { version }),
            Answer::Refused(_) | Answer::LeaseGone => Ok(Written::Conflict),
        }
    }

    /// 0 before the first session; then a number that changes whenever a session was lost. A marker
    /// made under another number is gone, or goes by itself.
    #[cfg(test)]
    pub(crate) fn session(&self) -> u64 {
        self.session.number()
    }

    /// Keeps the session alive, and notices its end. Runs for ever, and may be dropped at any time:
    /// the session ends by itself then.
    pub(crate) async fn tend(&self) {
        self.session.tend(&self.members, self.settings.timeout).await;
    }

    /// Ends the session, if there is one, and the markers made in it.
    pub(crate) async fn close(&self) -> Result<(), Trouble> {
        self.session.close(&self.members, self.members.deadline()).await
    }

    async fn lease(&self, deadline: Instant) -> Result<i64, Trouble> {
        // Somebody else may be making it, with a deadline of their own.
        let lease = timeout_at(deadline, self.session.lease_or_new(&self.members, deadline));
        lease.await.unwrap_or_else(|_| Err(Trouble::Away("etcd: no session in time".to_owned())))
    }

    async fn range(&self, key: &[u8], range_end: Vec<u8>) -> Result<Vec<KeyValue>, Trouble> {
        let message = RangeRequest { key: key.to_vec(), range_end };
        let deadline = self.members.deadline();
        let call = self.members.call(Kind::Repeatable, deadline, |line| {
            let request = line.request(message.clone());
            async move { Ok(line.kv().range(request).await?.into_inner().kvs) }
        });
        call.await
    }

    async fn txn(&self, txn: &TxnRequest, deadline: Instant) -> Result<Answer, Trouble> {
        let call = self.members.call(Kind::Once, deadline, |line| {
            let request = line.request(txn.clone());
            async move {
                let answer = match line.kv().txn(request).await {
                    Ok(answer) => answer.into_inner(),
                    Err(status) if reason::is_lease_gone(&status) => return Ok(Answer::LeaseGone),
                    Err(status) => return Err(status),
                };
                if !answer.succeeded {
                    return Ok(Answer::Refused(answer.responses));
                }
                let revision = answer.header.map(|header| u64::try_from(header.revision));
                match revision {
                    Some(Ok(revision)) => Ok(Answer::Done(revision)),
                    _ => Err(tonic::Status::unavailable("an answer without a revision")),
                }
            }
        });
        call.await
    }
}
