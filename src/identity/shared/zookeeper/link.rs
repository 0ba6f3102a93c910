//! A session, and what is read through it.

use zookeeper_client::{Client, Error, SessionState, Stat};

use crate::identity::shared::{Keys, Marker, Stored, Survey};

/// A session. It ends when the last one who has it lets go.
#[derive(Debug)]
pub(super) struct Link {
    client: Client,
}

/// A node as it was read.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) bytes: Vec<u8>,
    pub(super) version: i32,
    /// The session that it ends with; 0 for a node that stays.
    pub(super) owner: i64,
}

/// The nodes of one slot.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) record: Option<Node>,
    pub(super) marker: Option<Node>,
}

impl Node {
    fn stored(self) -> Stored {
        let version = u64::from(self.version.cast_unsigned());
        Stored { fleeting: self.owner != 0, version, bytes: self.bytes }
    }
}

impl Link {
    pub(super) fn new(client: Client) -> Self {
        Self { client }
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// The id of the session: what the ephemeral nodes made in it are owned by.
    pub(super) fn id(&self) -> i64 {
        self.client.session_id().0
    }

    pub(super) fn has_ended(&self) -> bool {
        self.client.state().is_terminated()
    }

    pub(super) fn is_connected(&self) -> bool {
        matches!(self.client.state(), SessionState::SyncConnected | SessionState::ConnectedReadOnly)
    }

    /// Waits for the end of the session, without keeping it open.
    pub(super) fn ended(&self) -> impl Future<Output = ()> + use<> {
        let mut watcher = self.client.state_watcher();
        let mut state = self.client.state();
        async move {
            while !state.is_terminated() {
                state = watcher.changed().await;
            }
        }
    }

    /// Waits until there is a connection; `false` when the session has ended. The crate makes
    /// connections until then, so one of both comes.
    pub(super) async fn connected(&self) -> bool {
        let mut watcher = self.client.state_watcher();
        let mut state = self.client.state();
        loop {
            match state {
                SessionState::Disconnected => state = watcher.changed().await,
                SessionState::SyncConnected | SessionState::ConnectedReadOnly => return true,
                SessionState::AuthFailed | SessionState::Expired | SessionState::Closed => {
                    return false;
                }
            }
        }
    }

    // Requests go out in the order in which their futures are made, before these are awaited, and
    // are answered in that order: what is made after `sync` reads what was durable before it.

    pub(super) async fn survey(&self, keys: &Keys) -> Result<Survey, Error> {
        let client = &self.client;
        let (genesis, records, markers) = (keys.genesis(), keys.records(), keys.markers());
        let sync = client.sync(&genesis);
        let genesis = client.get_data(&genesis);
        let records = client.list_children(&records);
        let markers = client.list_children(&markers);
        sync.await?;
        let genesis = found(genesis.await)?.map(Node::stored);
        let records = workers(records.await)?;
        let markers = workers(markers.await)?;

        let read = |key: String| client.get_data(&key);
        let records: Vec<_> = records.into_iter().map(|id| (id, read(keys.record(id)))).collect();
        let markers: Vec<_> = markers.into_iter().map(|id| (id, read(keys.marker(id)))).collect();
        let mut survey = Survey { genesis, ..Survey::default() };
        for (worker_id, record) in records {
            if let Some(node) = found(record.await)? {
                survey.records.insert(worker_id, node.stored());
            }
        }
        for (worker_id, marker) in markers {
            if let Some(node) = found(marker.await)? {
                let text = String::from_utf8_lossy(&node.bytes).into_owned();
                let marker = Marker { text, mine: node.owner == self.id() };
                survey.markers.insert(worker_id, marker);
            }
        }
        Ok(survey)
    }

    pub(super) async fn look(&self, keys: &Keys, id: u16) -> Result<Option<Stored>, Error> {
        let key = keys.record(id);
        let sync = self.client.sync(&key);
        let record = self.client.get_data(&key);
        sync.await?;
        Ok(found(record.await)?.map(Node::stored))
    }

    pub(super) async fn slot(&self, keys: &Keys, id: u16) -> Result<Slot, Error> {
        let (record, marker) = (keys.record(id), keys.marker(id));
        let sync = self.client.sync(&record);
        let record = self.client.get_data(&record);
        let marker = self.client.get_data(&marker);
        sync.await?;
        Ok(Slot { record: found(record.await)?, marker: found(marker.await)? })
    }
}

/// A node, or none.
fn found(answer: Result<(Vec<u8>, Stat), Error>) -> Result<Option<Node>, Error> {
    match answer {
        Ok((bytes, stat)) => {
            Ok(Some(Node { bytes, version: stat.version, owner: stat.ephemeral_owner }))
        }
        Err(Error::NoNode) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The workers that the nodes of a folder are named after.
fn workers(answer: Result<Vec<String>, Error>) -> Result<Vec<u16>, Error> {
    match answer {
        Ok(names) => Ok(names.iter().filter_map(|name| Keys::worker_id(name)).collect()),
        Err(Error::NoNode) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}
