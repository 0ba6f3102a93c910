//! Against a real etcd: `etcd` and `etcdctl` of the Debian packages `etcd-server`, `etcd-client`.

mod access;
mod endpoints;
mod impostor;
mod peers;
mod sessions;
mod settings;
mod writes;

use core::time::Duration;
use std::sync::Arc;

use self::peers::{PATIENCE, Server};
use super::Etcd;
use crate::identity::shared::{
    Credentials, Keys, Mark, StoreSettings, Stored, TlsSettings, Trouble, Write, Written,
};

const KEYS_PREFIX: &str = "/id-generator";

fn keys() -> Keys {
    Keys::new(KEYS_PREFIX, 0)
}

fn settings(endpoints: &[&str]) -> StoreSettings {
    StoreSettings {
        endpoints: endpoints.iter().map(|endpoint| endpoint.parse().unwrap()).collect(),
        keys: keys(),
        workers: 32,
        // Most tests do not tend it, and need it to the end.
        session: Duration::from_secs(60),
        // A flush may take seconds on a machine that does other things as well.
        timeout: Duration::from_secs(10),
        credentials: Credentials::default(),
        tls: TlsSettings::default(),
    }
}

fn client(settings: StoreSettings) -> Arc<Etcd> {
    Arc::new(Etcd::new(Arc::new(settings)).unwrap())
}

fn client_of(server: &Server) -> Arc<Etcd> {
    client(settings(&[&server.url()]))
}

/// Puts a record there, and gives what the store says of it.
async fn made(etcd: &Etcd, worker_id: u16, record: &[u8]) -> Stored {
    let records = [(worker_id, record.to_vec())].into();
    assert!(matches!(etcd.create(None, &records).await, Ok(Written::Done { .. })));
    etcd.look(worker_id).await.unwrap().unwrap()
}

fn change(worker_id: u16, from: &Stored, to: &[u8], mark: Mark) -> Write {
    Write { worker_id, from: Some(from.clone()), to: to.to_vec(), mark }
}

fn make(text: &str) -> Mark {
    Mark::Make(text.into())
}

fn keep(text: &str) -> Mark {
    Mark::Keep(text.into())
}

/// Makes a write that has to be done, and gives what the record is afterwards.
async fn done(etcd: &Etcd, write: &Write) -> Stored {
    let Ok(Written::Done { version }) = etcd.write(write).await else { panic!("done: {write:?}") };
    let stored = Stored { bytes: write.to.clone(), version, fleeting: false };
    assert_eq!(etcd.look(write.worker_id).await.unwrap().as_ref(), Some(&stored));
    stored
}

/// Waits until something is so.
async fn until(mut so: impl AsyncFnMut() -> bool) {
    let end = tokio::time::Instant::now() + PATIENCE;
    while !so().await {
        assert!(tokio::time::Instant::now() < end, "waited for too long");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn marker(etcd: &Etcd, worker_id: u16) -> Option<(String, bool)> {
    let survey = etcd.survey().await.unwrap();
    survey.markers.get(&worker_id).map(|marker| (marker.text.clone(), marker.mine))
}

fn is_away<T>(result: &Result<T, Trouble>) -> bool {
    matches!(result, Err(Trouble::Away(_)))
}
