//! Records and markers in ZooKeeper.
//!
//! A record is a persistent node, a marker an ephemeral one. ZooKeeper compares the version of a
//! node, never its value, and a version may come again: after a restore, or when a node is deleted
//! and made anew. So each write first reads the record, in the session that then writes: the value
//! has to be the expected one, and the version that came with it is what the transaction checks.
//!
//! What is read may be old, except after `sync`, which therefore comes before each reading. An old
//! value would do no harm, as the transaction would fail; but it would be taken for a conflict.

mod fault;
mod link;
mod transaction;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::timeout;
use zookeeper_client::{Acls, Client, Error};

use self::fault::trouble;
use self::link::Link;
use super::{StoreSettings, Stored, Survey, Trouble, Write, Written};
use crate::identity::StoreError;
use crate::limits;

/// A client of one ensemble. It connects at the first call, and again after a session is lost.
///
/// It has to be used on one tokio runtime: there the task lives that keeps the session.
#[derive(Debug)]
pub(crate) struct ZooKeeper {
    settings: Arc<StoreSettings>,
    /// All endpoints, as the crate wants them.
    addresses: String,
    /// `username:password`.
    digest: Option<super::Secret>,
    /// Only one call at a time makes a session.
    connecting: tokio::sync::Mutex<()>,
    sessions: Mutex<Sessions>,
    /// Told after each change of the link.
    changed: Notify,
}

/// The sessions that this process has had.
#[derive(Debug, Default)]
struct Sessions {
    link: Option<Arc<Link>>,
    /// The ids of the last ones that have ended: their markers may still be there.
    former: VecDeque<i64>,
    /// Counts every session, and every loss of one.
    number: u64,
}

impl ZooKeeper {
    /// A client that has not connected yet.
    ///
    /// # Errors
    ///
    /// When the settings cannot work with ZooKeeper.
    pub(crate) fn new(settings: Arc<StoreSettings>) -> Result<Self, StoreError> {
        let refuse = |text: &str| Err(StoreError(format!("ZooKeeper: {text}")));
        if settings.endpoints.is_empty() {
            return refuse("there is no address");
        }
        for endpoint in &settings.endpoints {
            match endpoint.scheme {
                None => {}
                Some("https") => return refuse("TLS is not supported: write host:port"),
                Some(_) => return refuse("it does not speak HTTP: write host:port"),
            }
        }
        if settings.tls.ca.is_some() || settings.tls.identity.is_some() {
            return refuse("TLS is not supported: leave its settings out");
        }
        let credentials = &settings.credentials;
        if credentials.token.is_some() {
            return refuse("it takes no token, but a username and a password");
        }
        let digest = match (&credentials.username, &credentials.password) {
            (None, None) => None,
            (Some(username), _) if username.is_empty() || username.contains(':') => {
                return refuse("a username has a character at least, and no colon");
            }
            (Some(username), Some(password)) if !password.reveal().is_empty() => {
                Some(super::Secret::new(format!("{username}:{}", password.reveal())))
            }
            (Some(_), _) => return refuse("there is a username, but no password"),
            (None, Some(_)) => return refuse("there is a password, but no username"),
        };
        let addresses: Vec<_> = settings.endpoints.iter().map(|e| e.authority()).collect();
        Ok(Self {
            addresses: addresses.join(","),
            digest,
            connecting: tokio::sync::Mutex::new(()),
            sessions: Mutex::default(),
            changed: Notify::new(),
            settings,
        })
    }

    /// Everything of the datacenter. Folders that are missing are empty.
    ///
    /// # Errors
    ///
    /// See [`Trouble`]; nothing has been changed.
    pub(crate) async fn survey(&self) -> Result<Survey, Trouble> {
        self.within(async {
            let link = self.link().await?;
            link.survey(&self.settings.keys).await.map_err(|error| self.failed(&link, &error))
        })
        .await
    }

    /// The record of a slot, if there is one.
    ///
    /// # Errors
    ///
    /// See [`Trouble`]; nothing has been changed.
    pub(crate) async fn look(&self, worker_id: u16) -> Result<Option<Stored>, Trouble> {
        self.within(async {
            let link = self.link().await?;
            let record = link.look(&self.settings.keys, worker_id).await;
            record.map_err(|error| self.failed(&link, &error))
        })
        .await
    }

    /// Writes a record and its marker in one transaction.
    ///
    /// # Errors
    ///
    /// See [`Trouble`]; it is not known whether anything has been written.
    pub(crate) async fn write(&self, write: &Write) -> Result<Written, Trouble> {
        self.within(async {
            let link = self.link().await?;
            let former = self.sessions().former.clone();
            let written =
                transaction::write(&link, self.acls(), &self.settings.keys, &former, write).await;
            written.map_err(|error| self.failed(&link, &error))
        })
        .await
    }

    /// Makes the genesis and the records in one transaction, and before it the folders they lie
    /// in. If any of them is there already, the write is in conflict.
    ///
    /// # Errors
    ///
    /// See [`Trouble`]; it is not known whether anything has been written.
    pub(crate) async fn create(
        &self,
        genesis: Option<&[u8]>,
        records: &BTreeMap<u16, Vec<u8>>,
    ) -> Result<Written, Trouble> {
        self.within(async {
            let (link, keys) = (self.link().await?, &self.settings.keys);
            let written = transaction::create(&link, self.acls(), keys, genesis, records).await;
            written.map_err(|error| self.failed(&link, &error))
        })
        .await
    }

    /// A number that has changed whenever the session of this process was lost or replaced; 0
    /// before there was one.
    #[cfg(test)]
    pub(crate) fn session(&self) -> u64 {
        self.sessions().number
    }

    /// Notices, for ever, that a session has ended. The heartbeats are sent without it.
    pub(crate) async fn tend(&self) {
        loop {
            // No link is held over the wait: it would keep the session open after `close`.
            let watched = self.current().map(|link| (link.id(), link.ended()));
            match watched {
                None => self.changed.notified().await,
                Some((id, ended)) => tokio::select! {
                    () = ended => self.lose(id),
                    () = self.changed.notified() => {}
                },
            }
        }
    }

    /// Ends the session: its markers go at once. A later call makes a new one.
    ///
    /// # Errors
    ///
    /// When the ensemble has not confirmed it in time; the session then ends by itself.
    pub(crate) async fn close(&self) -> Result<(), Trouble> {
        let Some(link) = self.current() else {
            return Ok(());
        };
        self.lose(link.id());
        let ended = link.ended();
        // The crate ends the session when the last handle is gone.
        drop(link);
        self.within(async {
            ended.await;
            Ok(())
        })
        .await
    }

    /// The present session, connected; a new one if there is none or it has ended. Waits as long
    /// as the caller does.
    async fn link(&self) -> Result<Arc<Link>, Trouble> {
        let _turn = self.connecting.lock().await;
        let client = match self.current() {
            None => self.connect().await,
            Some(link) => {
                // What is sent without a connection waits for one, past the end of the call: a
                // store that is away for long would be flooded when it is back.
                match timeout(self.settings.timeout / 2, link.connected()).await {
                    Ok(true) => return Ok(link),
                    Ok(false) => {
                        self.lose(link.id());
                        self.connect().await
                    }
                    // The crate tries again after twice the time, each time: in the end after as
                    // long as the store was away. The session is given up when there is another.
                    Err(_) => {
                        let client = self.connect().await;
                        if link.is_connected() {
                            return Ok(link);
                        }
                        if client.is_ok() {
                            self.lose(link.id());
                        }
                        client
                    }
                }
            }
        };
        let client = client.map_err(|error| trouble(&self.addresses, &error))?;
        let link = Arc::new(Link::new(client));
        let mut sessions = self.sessions();
        sessions.link = Some(Arc::clone(&link));
        sessions.number += 1;
        drop(sessions);
        self.changed.notify_one();
        Ok(link)
    }

    async fn connect(&self) -> Result<Client, Error> {
        // While a majority answers, an address that does is found in one call: before it come, at
        // most, all of the minority.
        let tries = u32::try_from(self.settings.endpoints.len() / 2 + 1).unwrap_or(u32::MAX);
        let mut connector = Client::connector()
            .with_session_timeout(self.settings.session)
            .with_connection_timeout(self.settings.timeout / tries);
        if let Some(digest) = &self.digest {
            connector = connector.with_auth("digest", digest.reveal().as_bytes());
        }
        connector.connect(&self.addresses).await
    }

    /// Bounds a whole call.
    async fn within<T>(
        &self,
        call: impl Future<Output = Result<T, Trouble>>,
    ) -> Result<T, Trouble> {
        let limit = self.settings.timeout;
        let late = |_| {
            let addresses = &self.addresses;
            Err(Trouble::Away(format!("ZooKeeper at {addresses}: no answer within {limit:?}")))
        };
        timeout(limit, call).await.unwrap_or_else(late)
    }

    /// What an error means, for the caller and for the session.
    fn failed(&self, link: &Link, error: &Error) -> Trouble {
        if link.has_ended() || fault::ends_session(error) {
            self.lose(link.id());
        }
        trouble(&self.addresses, error)
    }

    /// Forgets a session, if it is the present one.
    fn lose(&self, id: i64) {
        let mut sessions = self.sessions();
        if sessions.link.take_if(|link| link.id() == id).is_some() {
            sessions.number += 1;
            sessions.former.push_back(id);
            if sessions.former.len() > limits::ZOOKEEPER_FORMER_SESSIONS_MAX {
                sessions.former.pop_front();
            }
            drop(sessions);
            self.changed.notify_one();
        }
    }

    fn current(&self) -> Option<Arc<Link>> {
        self.sessions().link.clone()
    }

    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who may do what with a node that is made: whoever has the credentials, or everybody.
    fn acls(&self) -> Acls<'static> {
        if self.digest.is_some() { Acls::creator_all() } else { Acls::anyone_all() }
    }
}
