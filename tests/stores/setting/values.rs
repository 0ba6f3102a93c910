//! The keys and values of a store, read and written by hand.

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use coreflake_engine::record::Record;
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};
use zookeeper_client::{Acls, Client, CreateMode, Error};

use crate::common::{PATIENCE, until};
use crate::consul::Consul;
use crate::curl::curl;
use crate::etcd::Etcd;
use crate::setting::Store;

/// How long the session of a client of ZooKeeper lives while it stands still.
const SESSION: Duration = Duration::from_secs(30);

const DATACENTER: &str = "/id-generator/datacenters/dc0";

pub(crate) fn genesis_key() -> String {
    format!("{DATACENTER}/genesis")
}

pub(crate) fn record_key(worker_id: u16) -> String {
    format!("{DATACENTER}/slots/worker{worker_id}")
}

pub(crate) fn marker_key(worker_id: u16) -> String {
    format!("{DATACENTER}/workers/worker{worker_id}")
}

/// A way into a store that is not ours. What it has attached to its session stays as long as it.
pub(crate) enum Values<'a> {
    Etcd(&'a Etcd),
    ZooKeeper(Runtime, Client),
    Consul(&'a Consul),
}

impl<'a> Values<'a> {
    #[track_caller]
    pub(crate) fn of(store: &'a Store) -> Self {
        match store {
            Store::Etcd(etcd) => Self::Etcd(etcd),
            Store::Consul(consul) => Self::Consul(consul),
            Store::ZooKeeper(zookeeper) => {
                let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
                let runtime = runtime.unwrap();
                let connector = Client::connector().with_session_timeout(SESSION);
                let client = runtime.block_on(connector.connect(&zookeeper.endpoint())).unwrap();
                Self::ZooKeeper(runtime, client)
            }
        }
    }

    #[track_caller]
    pub(crate) fn get(&self, key: &str) -> Option<Vec<u8>> {
        // What is empty is left out.
        let decoded = |text: &Value| BASE64_STANDARD.decode(text.as_str().unwrap_or("")).unwrap();
        match self {
            Self::Etcd(etcd) => {
                let answer = ask(etcd, "kv/range", &json!({ "key": encoded(key.as_bytes()) }));
                Some(decoded(&answer["kvs"].as_array()?[0]["value"]))
            }
            Self::Consul(consul) => {
                // A key that is missing would be an error.
                let all: Value =
                    serde_json::from_str(&consul.get("/v1/kv/id-generator?recurse")).unwrap();
                let mut all = all.as_array().unwrap().iter();
                let one = all.find(|one| one["Key"].as_str() == Some(&key[1..]))?;
                Some(decoded(&one["Value"]))
            }
            Self::ZooKeeper(runtime, client) => match runtime.block_on(client.get_data(key)) {
                Err(Error::NoNode) => None,
                read => Some(read.unwrap().0),
            },
        }
    }

    /// The record of a slot, which has to be there.
    #[track_caller]
    pub(crate) fn record(&self, worker_id: u16) -> Record {
        Record::decode(&self.get(&record_key(worker_id)).expect("a record")).unwrap()
    }

    /// Writes over what is there.
    #[track_caller]
    pub(crate) fn put(&self, key: &str, bytes: &[u8]) {
        match self {
            Self::Etcd(etcd) => {
                ask(
                    etcd,
                    "kv/put",
                    &json!({ "key": encoded(key.as_bytes()), "value": encoded(bytes) }),
                );
            }
            Self::Consul(consul) => put_file(consul, key, bytes, ""),
            Self::ZooKeeper(runtime, client) => {
                let done = match runtime.block_on(client.set_data(key, bytes, None)) {
                    Err(Error::NoNode) => self.create(key, bytes, CreateMode::Persistent),
                    done => done.map(|_| ()),
                };
                done.unwrap();
            }
        }
    }

    #[track_caller]
    pub(crate) fn delete(&self, key: &str) {
        match self {
            Self::Etcd(etcd) => {
                ask(etcd, "kv/deleterange", &json!({ "key": encoded(key.as_bytes()) }));
            }
            Self::Consul(consul) => {
                consul.delete(&format!("/v1/kv{key}"));
            }
            Self::ZooKeeper(runtime, client) => match runtime.block_on(client.delete(key, None)) {
                Err(Error::NoNode) => {}
                done => done.unwrap(),
            },
        }
    }

    /// Makes a value anew, so that it hangs on nothing.
    #[track_caller]
    pub(crate) fn replace(&self, key: &str, bytes: &[u8]) {
        // Whoever keeps it may make it again meanwhile, and then it hangs on its session.
        until("a value that nobody else has made", || {
            self.delete(key);
            self.put_new(key, bytes).then_some(())
        });
    }

    /// Writes what is not there; gives whether it was not. What is in etcd hangs on nothing when it
    /// is written over as well.
    #[track_caller]
    fn put_new(&self, key: &str, bytes: &[u8]) -> bool {
        match self {
            Self::Etcd(_) => {
                self.put(key, bytes);
                true
            }
            Self::Consul(consul) => is_put(consul, key, bytes, "?cas=0"),
            Self::ZooKeeper(..) => match self.create(key, bytes, CreateMode::Persistent) {
                Err(Error::NodeExists) => false,
                done => {
                    done.unwrap();
                    true
                }
            },
        }
    }

    /// Makes a value again so that it ends with a session.
    #[track_caller]
    pub(crate) fn attach(&self, key: &str, bytes: &[u8]) {
        match self {
            Self::Etcd(etcd) => {
                let lease = ask(etcd, "lease/grant", &json!({ "TTL": 600 }))["ID"].clone();
                let (key, value) = (encoded(key.as_bytes()), encoded(bytes));
                ask(etcd, "kv/put", &json!({ "key": key, "value": value, "lease": lease }));
            }
            Self::Consul(consul) => {
                let made = consul.put("/v1/session/create", r#"{"TTL":"600s"}"#);
                let made: Value = serde_json::from_str(&made).unwrap();
                let session = made["ID"].as_str().unwrap();
                put_file(consul, key, bytes, &format!("?acquire={session}"));
            }
            Self::ZooKeeper(..) => {
                self.delete(key);
                self.create(key, bytes, CreateMode::Ephemeral).unwrap();
            }
        }
    }

    fn create(&self, key: &str, bytes: &[u8], mode: CreateMode) -> Result<(), Error> {
        let Self::ZooKeeper(runtime, client) = self else { panic!("it is no ZooKeeper") };
        let options = mode.with_acls(Acls::anyone_all());
        runtime.block_on(client.create(key, bytes, &options)).map(|_| ())
    }
}

fn encoded(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}

#[track_caller]
fn ask(etcd: &Etcd, call: &str, body: &Value) -> Value {
    let url = format!("{}/v3/{call}", etcd.endpoint());
    let answer = curl(&url, PATIENCE, &["--data", &body.to_string()]).expect("etcd answers");
    assert_eq!(answer.status, 200, "{call}: {answer:?}");
    serde_json::from_str(&answer.body).unwrap()
}

#[track_caller]
fn put_file(consul: &Consul, key: &str, bytes: &[u8], query: &str) {
    assert!(is_put(consul, key, bytes, query), "{key}");
}

/// Writes what the query allows to be written; gives whether it was. Bytes that are no text have to
/// come from a file.
#[track_caller]
fn is_put(consul: &Consul, key: &str, bytes: &[u8], query: &str) -> bool {
    let file: PathBuf = consul.file("value", bytes);
    let done = consul.put(&format!("/v1/kv{key}{query}"), &format!("@{}", file.display()));
    match done.trim() {
        "true" => true,
        "false" => false,
        said => panic!("{key}: {said}"),
    }
}
