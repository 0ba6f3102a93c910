//! The three stores behind one face: where servers find them, and how what they keep is looked at
//! from outside.

use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use serde_json::{Value, json};

use crate::common::{Finished, Scratch, Server, coreflake, feed};
use crate::consul::Consul;
use crate::etcd::Etcd;
use crate::setting::PATIENT;
use crate::zookeeper::ZooKeeper;

/// How long a session lives that nobody keeps alive: as short as Consul allows, and so long that a
/// server which stands still for some seconds keeps its markers.
const SESSION: Duration = Duration::from_secs(10);

/// The same where a test waits for the end of one, on the other stores.
const BRIEF: Duration = Duration::from_secs(5);

/// Makes a test of each scenario on each store.
macro_rules! on_each_store {
    ($($scenario:ident),+) => {
        $(mod $scenario {
            #[test]
            fn on_etcd() {
                super::$scenario($crate::shared::Kind::Etcd);
            }

            #[test]
            fn on_zookeeper() {
                super::$scenario($crate::shared::Kind::ZooKeeper);
            }

            #[test]
            fn on_consul() {
                super::$scenario($crate::shared::Kind::Consul);
            }
        })+
    };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Etcd,
    ZooKeeper,
    Consul,
}

/// A store that runs.
enum Store {
    Etcd(Etcd),
    ZooKeeper(ZooKeeper),
    Consul(Consul),
}

/// A datacenter of a test's own, in a store that others use as well.
pub(crate) struct Space {
    pub(crate) kind: Kind,
    store: Arc<Store>,
    prefix: String,
    session: Duration,
    scratch: Scratch,
}

impl Kind {
    /// Its name in settings, and in figures.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::ZooKeeper => "zookeeper",
            Self::Consul => "consul",
        }
    }

    /// The one that runs, or another one. It ends with the last test that uses it: what is static
    /// would outlive the process.
    #[track_caller]
    fn running(self) -> Arc<Store> {
        static RUNNING: [Mutex<Weak<Store>>; 3] = [const { Mutex::new(Weak::new()) }; 3];
        let mut running = RUNNING[self as usize].lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = running.upgrade() {
            return store;
        }
        let store = Arc::new(match self {
            Self::Etcd => Store::Etcd(Etcd::start("shared")),
            Self::ZooKeeper => Store::ZooKeeper(ZooKeeper::start("shared")),
            Self::Consul => Store::Consul(Consul::start("shared")),
        });
        *running = Arc::downgrade(&store);
        store
    }
}

impl Space {
    /// An empty one; `name` is that of the test.
    #[track_caller]
    pub(crate) fn empty(kind: Kind, name: &str) -> Self {
        let scratch = Scratch::new(&format!("space-{name}-{}", kind.name()));
        let prefix = format!("/id-generator-{name}");
        Self { kind, store: kind.running(), prefix, session: SESSION, scratch }
    }

    /// One with records.
    #[track_caller]
    pub(crate) fn new(kind: Kind, name: &str) -> Self {
        let space = Self::empty(kind, name);
        space.slots("init", &[]).assert_code(0);
        space
    }

    /// The same with sessions that are short, for a test that waits for the end of one.
    #[track_caller]
    pub(crate) fn brief(kind: Kind, name: &str) -> Self {
        let space = Self::new(kind, name);
        let session = if kind == Kind::Consul { SESSION } else { BRIEF };
        Self { session, ..space }
    }

    /// How long a session lives that nobody keeps alive.
    pub(crate) fn session(&self) -> Duration {
        self.session
    }

    /// A state directory that outlives its servers.
    pub(crate) fn state_dir(&self) -> String {
        self.scratch.path().join("state").to_str().unwrap().to_owned()
    }

    fn flags(&self) -> Vec<String> {
        let endpoint = match &*self.store {
            Store::Etcd(etcd) => etcd.endpoint(),
            Store::ZooKeeper(zookeeper) => zookeeper.endpoint(),
            Store::Consul(consul) => consul.endpoint(),
        };
        let session_ms = self.session.as_millis().to_string();
        let flags = [
            ["--store", self.kind.name()],
            ["--store-endpoints", &endpoint],
            ["--store-prefix", &self.prefix],
            ["--store-session-ms", &session_ms],
        ];
        flags.concat().into_iter().map(str::to_owned).collect()
    }

    /// The command of a server with one shard that uses this datacenter.
    pub(crate) fn server(&self, args: &[&str]) -> Command {
        let flags = self.flags();
        let flags: Vec<_> = flags.iter().map(String::as_str).collect();
        Server::command(&[&flags[..], &["--grpc", "none"], args].concat())
    }

    /// Starts a server and waits until it is ready.
    #[track_caller]
    pub(crate) fn start(&self, args: &[&str]) -> Server {
        Server::launch(self.server(args)).unwrap_or_else(|ended| panic!("not ready: {ended:?}"))
    }

    /// Runs `coreflake slots`.
    pub(crate) fn slots(&self, command: &str, args: &[&str]) -> Finished {
        let mut line = coreflake();
        feed(line.args(["slots", command]).args(self.flags()).args(PATIENT).args(args), b"")
    }

    /// What `coreflake slots show` says of a slot.
    #[track_caller]
    pub(crate) fn show(&self, worker_id: u16) -> Value {
        let shown = self.slots("show", &["--worker-id", &worker_id.to_string()]);
        serde_json::from_str(&shown.assert_code(0).stdout).unwrap()
    }

    /// Whether the record of a slot is there, and whether a session would take it along; asked of
    /// the store, with its own tools.
    #[track_caller]
    pub(crate) fn record(&self, worker_id: u16) -> Option<bool> {
        self.look(&self.key("slots", worker_id))
    }

    /// The same of its live marker.
    #[track_caller]
    pub(crate) fn marker(&self, worker_id: u16) -> Option<bool> {
        self.look(&self.key("workers", worker_id))
    }

    #[track_caller]
    fn look(&self, key: &str) -> Option<bool> {
        match &*self.store {
            Store::Etcd(etcd) => {
                let got: Value =
                    serde_json::from_str(&etcd.ctl(&["get", key, "-w", "json"])).unwrap();
                // It does not say what is 0.
                Some(got["kvs"].get(0)?["lease"].as_i64().is_some_and(|lease| lease != 0))
            }
            Store::ZooKeeper(zookeeper) => {
                let stat = zookeeper.try_cli(&["stat", key]);
                let said = format!("{stat:?}");
                if said.contains("Node does not exist") || said.contains("NoNode") {
                    return None;
                }
                assert!(said.contains("ephemeralOwner = 0x"), "{said}");
                Some(!said.contains("ephemeralOwner = 0x0\\n"))
            }
            Store::Consul(consul) => {
                let all = consul.get(&format!("/v1/kv{}/?recurse&consistent", self.prefix));
                let all: Vec<Value> = serde_json::from_str(&all).unwrap();
                let entry = all.iter().find(|entry| entry["Key"] == key[1..])?;
                Some(entry.get("Session").is_some())
            }
        }
    }

    /// Loses the record of a slot.
    #[track_caller]
    pub(crate) fn delete_record(&self, worker_id: u16) {
        let key = self.key("slots", worker_id);
        match &*self.store {
            Store::Etcd(etcd) => drop(etcd.ctl(&["del", &key])),
            Store::ZooKeeper(zookeeper) => drop(zookeeper.cli(&["delete", &key])),
            Store::Consul(consul) => {
                let operation = json!([{ "KV": { "Verb": "delete", "Key": key[1..] } }]);
                consul.put("/v1/txn", &operation.to_string());
            }
        }
    }

    fn key(&self, folder: &str, worker_id: u16) -> String {
        format!("{}/datacenters/dc0/{folder}/worker{worker_id}", self.prefix)
    }
}
