//! Against a real Consul 1.8.

mod access;
mod faults;
mod server;
mod sessions;

use std::sync::atomic::{AtomicU32, Ordering};

use self::server::{Server, shared};
use super::*;
use crate::identity::shared::Mark;

/// A prefix that no other test has.
fn new_prefix() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("/test {}/ids", NEXT.fetch_add(1, Ordering::Relaxed))
}

fn open(settings: &StoreSettings) -> Consul {
    Consul::new(Arc::new(settings.clone())).unwrap()
}

/// A datacenter with 32 records, and a client of it.
async fn new_datacenter(server: &Server) -> (StoreSettings, Consul) {
    let settings = server.settings(&new_prefix());
    let consul = open(&settings);
    let records = (0..32).map(|worker_id| (worker_id, vec![9, 9])).collect();
    let created = consul.create(Some(b"genesis"), &records).await.unwrap();
    assert!(matches!(created, Written::Done { version: 1.. }));
    (settings, consul)
}

fn write(worker_id: u16, from: &Stored, to: &[u8], mark: Mark) -> Write {
    Write { worker_id, from: Some(from.clone()), to: to.to_vec(), mark }
}

fn make() -> Mark {
    Mark::Make("me".to_owned())
}

fn keep() -> Mark {
    Mark::Keep("me".to_owned())
}

async fn look(consul: &Consul, worker_id: u16) -> Stored {
    consul.look(worker_id).await.unwrap().unwrap()
}

async fn marker(consul: &Consul, worker_id: u16) -> Option<Marker> {
    consul.survey().await.unwrap().markers.remove(&worker_id)
}

/// A write that has to be done.
async fn done(consul: &Consul, write: &Write) -> Stored {
    let written = consul.write(write).await.unwrap();
    let Written::Done { version } = written else { panic!("{write:?} is in conflict") };
    let stored = Stored { bytes: write.to.clone(), version, fleeting: false };
    assert_eq!(look(consul, write.worker_id).await, stored);
    stored
}

async fn conflict(consul: &Consul, write: &Write) {
    let before = consul.look(write.worker_id).await.unwrap();
    assert_eq!(consul.write(write).await.unwrap(), Written::Conflict);
    assert_eq!(consul.look(write.worker_id).await.unwrap(), before);
}

/// A write by hand, of one transaction.
async fn by_hand(server: &Server, key: &str, bytes: &str) {
    server.ask("PUT", &format!("/v1/kv{}", escape(key)), bytes).await;
}

#[tokio::test]
async fn a_datacenter_is_created_once() {
    let server = shared().await;
    let settings = server.settings(&new_prefix());
    let consul = open(&settings);
    assert_eq!(consul.survey().await.unwrap(), Survey::default());
    assert_eq!(consul.look(5).await.unwrap(), None);
    let records: BTreeMap<_, _> = (0..32).map(|worker_id| (worker_id, vec![9])).collect();
    let written = consul.create(Some(b"g"), &records).await.unwrap();
    let Written::Done { version } = written else { panic!("{written:?}") };
    let survey = consul.survey().await.unwrap();
    let stored = |bytes: &[u8]| Stored { bytes: bytes.to_vec(), version, fleeting: false };
    assert_eq!(survey.genesis, Some(stored(b"g")));
    assert_eq!(survey.records.len(), 32);
    assert_eq!(survey.records[&31], stored(&[9]));
    assert!(survey.markers.is_empty());

    // One that is there is enough, and nothing else is created beside it.
    let one_more = BTreeMap::from([(0, vec![1]), (33, vec![1])]);
    assert_eq!(consul.create(None, &one_more).await.unwrap(), Written::Conflict);
    assert_eq!(consul.create(Some(b"g"), &BTreeMap::new()).await.unwrap(), Written::Conflict);
    assert_eq!(consul.look(33).await.unwrap(), None);
    assert_eq!(look(&consul, 0).await.bytes, [9]);
}

#[tokio::test]
async fn more_than_one_transaction_takes_creates_the_genesis_last() {
    let server = shared().await;
    let settings = StoreSettings { workers: 1_024, ..server.settings(&new_prefix()) };
    let consul = open(&settings);
    let records: BTreeMap<_, _> = (0..1_024).map(|worker_id| (worker_id, vec![9; 256])).collect();
    by_hand(&server, &settings.keys.record(1_000), "here already").await;
    assert_eq!(consul.create(Some(b"g"), &records).await.unwrap(), Written::Conflict);
    assert_eq!(consul.survey().await.unwrap().genesis, None);

    let settings = StoreSettings { workers: 1_024, ..server.settings(&new_prefix()) };
    let consul = open(&settings);
    assert!(matches!(consul.create(Some(b"g"), &records).await, Ok(Written::Done { .. })));
    let survey = consul.survey().await.unwrap();
    assert_eq!((survey.records.len(), survey.genesis.is_some()), (1_024, true));
}

#[tokio::test]
async fn a_survey_reads_this_tree_only() {
    let server = shared().await;
    let (settings, consul) = new_datacenter(&server).await;
    for name in ["slots/worker32", "slots/worker05", "slots/x", "workers/worker-1", "x", "x/y"] {
        by_hand(&server, &format!("{}{name}", settings.keys.all()), "?").await;
    }
    by_hand(&server, &format!("{}0/genesis", settings.keys.all().trim_end_matches('/')), "?").await;
    let survey = consul.survey().await.unwrap();
    assert_eq!((survey.records.len(), survey.markers.len()), (32, 0));
    assert_eq!(survey.genesis.unwrap().bytes, b"genesis");
}

#[tokio::test]
async fn a_slot_is_claimed_extended_and_released() {
    let server = shared().await;
    let (settings, consul) = new_datacenter(&server).await;
    let other = open(&settings);
    assert_eq!(consul.session(), 0);

    let free = look(&consul, 5).await;
    let claimed = done(&consul, &write(5, &free, b"claimed", make())).await;
    assert!(consul.session() > 0);
    let expected = |mine| Some(Marker { text: "me".to_owned(), mine });
    assert_eq!(marker(&consul, 5).await, expected(true));
    assert_eq!(marker(&other, 5).await, expected(false));

    // Neither the same process nor another one claims it once more.
    conflict(&consul, &write(5, &claimed, b"again", make())).await;
    conflict(&other, &write(5, &claimed, b"again", make())).await;
    conflict(&other, &write(5, &claimed, b"extended", keep())).await;

    let session = consul.session();
    let extended = done(&consul, &write(5, &claimed, b"extended", keep())).await;
    let extended = done(&consul, &write(5, &extended, b"extended again", keep())).await;
    assert_eq!(consul.session(), session, "one session all the time");
    // Its record may be written by a repair, which does not touch the marker.
    let repaired = done(&other, &write(5, &extended, b"repaired", Mark::Leave)).await;
    assert_eq!(marker(&consul, 5).await, expected(true));
    // A release by somebody else leaves the marker alone.
    let released = done(&other, &write(5, &repaired, b"released", Mark::Remove)).await;
    assert_eq!(marker(&consul, 5).await, expected(true));
    let released = done(&consul, &write(5, &released, b"released again", Mark::Remove)).await;
    assert_eq!(marker(&consul, 5).await, None);
    let released = done(&consul, &write(5, &released, b"once more", Mark::Remove)).await;
    done(&other, &write(5, &released, b"claimed", make())).await;
    assert_eq!(marker(&other, 5).await, expected(true));
}

#[tokio::test]
async fn a_write_needs_what_it_expects_to_the_byte() {
    let server = shared().await;
    let (settings, consul) = new_datacenter(&server).await;
    let other = open(&settings);
    let first = look(&consul, 1).await;
    let second = done(&consul, &write(1, &first, b"second", Mark::Leave)).await;

    conflict(&consul, &write(1, &first, b"x", Mark::Leave)).await;
    let missing = Write { worker_id: 1, from: None, to: vec![], mark: Mark::Leave };
    conflict(&consul, &missing).await;
    // The version of a snapshot that was restored: right, but for another value.
    let lie = Stored { bytes: b"never".to_vec(), ..second.clone() };
    conflict(&consul, &write(1, &lie, b"x", Mark::Leave)).await;
    conflict(&open(&settings), &write(1, &lie, b"x", make())).await;
    assert_eq!(marker(&consul, 1).await, None, "a conflict makes no marker");

    // Somebody else writes between.
    let third = done(&other, &write(1, &second, b"third", Mark::Leave)).await;
    assert_eq!(consul.write(&write(1, &second, b"x", Mark::Leave)).await, Ok(Written::Conflict));
    // The same bytes with another version are what they are.
    let older = Stored { version: second.version, ..third };
    done(&consul, &write(1, &older, b"fourth", Mark::Leave)).await;

    // Deleted, and made anew with other bytes and with the same ones.
    let key = settings.keys.record(1);
    let fourth = look(&consul, 1).await;
    server.ask("DELETE", &format!("/v1/kv{}", escape(&key)), "").await;
    assert_eq!(consul.write(&write(1, &fourth, b"x", make())).await, Ok(Written::Conflict));
    by_hand(&server, &key, "other").await;
    assert_eq!(consul.write(&write(1, &fourth, b"x", make())).await, Ok(Written::Conflict));
    by_hand(&server, &key, "fourth").await;
    done(&consul, &write(1, &fourth, b"fifth", make())).await;
    // What is missing is created by a write that expects it so.
    server.ask("DELETE", &format!("/v1/kv{}", escape(&key)), "").await;
    done(&consul, &missing).await;
}

#[tokio::test]
async fn a_record_never_hangs_on_a_session() {
    let server = shared().await;
    let (settings, consul) = new_datacenter(&server).await;
    let key = escape(&settings.keys.record(2));
    let session = server.foreign_session().await;
    let locked = server.ask("PUT", &format!("/v1/kv{key}?acquire={session}"), "locked").await;
    assert_eq!(locked, serde_json::json!(true));

    let found = look(&consul, 2).await;
    assert!(found.fleeting && consul.survey().await.unwrap().records[&2].fleeting);
    conflict(
        &consul,
        &write(2, &Stored { version: 1, bytes: vec![], ..found.clone() }, b"x", make()),
    )
    .await;
    let freed = done(&consul, &write(2, &found, b"freed", make())).await;
    assert!(!freed.fleeting);
    server.ask("PUT", &format!("/v1/session/destroy/{session}"), "").await;
    assert_eq!(look(&consul, 2).await, freed);
    let pair = server.ask("GET", &format!("/v1/kv{key}?consistent"), "").await;
    assert!(pair[0]["Session"].is_null(), "{pair}");
    let of_marker = escape(&settings.keys.marker(2));
    let pair = server.ask("GET", &format!("/v1/kv{of_marker}?consistent"), "").await;
    assert!(pair[0]["Session"].is_string(), "{pair}");
}
