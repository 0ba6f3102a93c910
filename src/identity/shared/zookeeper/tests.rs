//! Against a real server.

mod markers;
mod outages;
mod records;
mod server;
mod settings;

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::runtime;
use tokio::time::{Instant, sleep};
use zookeeper_client::{Acls, Client, CreateMode, Stat};

use self::server::Server;
use super::ZooKeeper;
use crate::identity::shared::{Keys, Mark, StoreSettings, Stored, Trouble, Write, Written};

/// How long anything is waited for that has to come.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);

/// Settings for `addresses`; `test` keeps the nodes of tests apart.
fn settings(addresses: &[String], test: &str) -> StoreSettings {
    StoreSettings {
        endpoints: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        keys: Keys::new(&format!("/{test}"), 0),
        workers: 32,
        // A flush may take seconds on a machine that does other things as well. The crate gives a
        // connection up after that time too, unless it is more than three fifths of a session.
        session: Duration::from_secs(30),
        timeout: Duration::from_secs(15),
        credentials: Default::default(),
        tls: Default::default(),
    }
}

/// What a test works with.
struct Bench {
    server: Arc<Server>,
    settings: StoreSettings,
    zookeeper: ZooKeeper,
    /// Somebody who does by hand what no server does.
    hand: Client,
}

impl Bench {
    /// With records of the workers 0 to 3, each `record` and its number.
    async fn new(test: &str) -> Self {
        let bench = Self::bare(test).await;
        let records = (0..4).map(|id| (id, format!("record {id}").into_bytes())).collect();
        let made = bench.zookeeper.create(Some(b"genesis"), &records).await.unwrap();
        assert_eq!(made, Written::Done { version: 0 });
        bench
    }

    /// With nothing.
    async fn bare(test: &str) -> Self {
        let server = Server::shared().await;
        let settings = settings(&[server.address()], test);
        let zookeeper = ZooKeeper::new(Arc::new(settings.clone())).unwrap();
        // What it makes must not end with a session while the test stands still.
        let hand = Client::connector().with_session_timeout(PATIENCE);
        let hand = hand.connect(&server.address()).await.unwrap();
        Self { server, settings, zookeeper, hand }
    }

    /// Another node of the service.
    fn other(&self) -> ZooKeeper {
        ZooKeeper::new(Arc::new(self.settings.clone())).unwrap()
    }

    fn record(&self, worker_id: u16) -> String {
        self.settings.keys.record(worker_id)
    }

    fn marker(&self, worker_id: u16) -> String {
        self.settings.keys.marker(worker_id)
    }

    /// A node as it is.
    async fn node(&self, key: &str) -> Option<(String, Stat)> {
        self.hand.sync(key).await.unwrap();
        let (bytes, stat) = self.hand.get_data(key).await.ok()?;
        Some((String::from_utf8(bytes).unwrap(), stat))
    }

    /// Makes a node by hand.
    async fn make(&self, key: &str, text: &str, mode: CreateMode) {
        let options = mode.with_acls(Acls::anyone_all());
        self.hand.create(key, text.as_bytes(), &options).await.unwrap();
    }

    /// Waits until a node is gone.
    async fn gone(&self, key: &str) {
        let start = Instant::now();
        while self.node(key).await.is_some() {
            assert!(start.elapsed() < PATIENCE, "{key} stays");
            sleep(PAUSE).await;
        }
    }
}

/// Ends a session from outside, as the ensemble does when it hears nothing. Meanwhile the runtime
/// of the test stands still: its client would want the session back.
fn expire(server: &Server, zookeeper: &ZooKeeper) {
    let session = zookeeper.current().unwrap().client().session().clone();
    let address = server.address();
    let theft = async move {
        let thief = Client::connector().with_session(session).connect(&address).await.unwrap();
        let mut watcher = thief.state_watcher();
        drop(thief);
        while !watcher.changed().await.is_terminated() {}
    };
    let runtime = || runtime::Builder::new_current_thread().enable_all().build().unwrap();
    std::thread::spawn(move || runtime().block_on(theft)).join().unwrap();
}

/// The record of a worker as it is now becomes `to`.
async fn change(zookeeper: &ZooKeeper, worker_id: u16, to: &str, mark: Mark) -> Written {
    let from = zookeeper.look(worker_id).await.unwrap();
    write(zookeeper, worker_id, from, to, mark).await.unwrap()
}

async fn write(
    zookeeper: &ZooKeeper,
    worker_id: u16,
    from: Option<Stored>,
    to: &str,
    mark: Mark,
) -> Result<Written, Trouble> {
    let to = to.as_bytes().to_vec();
    zookeeper.write(&Write { worker_id, from, to, mark }).await
}

fn make(text: &str) -> Mark {
    Mark::Make(text.to_owned())
}

fn keep(text: &str) -> Mark {
    Mark::Keep(text.to_owned())
}

fn done(written: Written) -> bool {
    matches!(written, Written::Done { .. })
}

fn nothing() -> BTreeMap<u16, Vec<u8>> {
    BTreeMap::new()
}
