//! What a write and a creation do to records and markers.

use super::*;

#[tokio::test]
async fn all_or_nothing_is_created_and_a_write_needs_the_very_record() {
    let server = Server::start().await;
    let etcd = client_of(&server);
    let records = |workers: core::ops::Range<u16>| workers.map(|of| (of, vec![1])).collect();
    let created = etcd.create(Some(b"genesis"), &records(0..3)).await.unwrap();
    let Written::Done { version } = created else { panic!("created") };
    let survey = etcd.survey().await.unwrap();
    assert_eq!(survey.genesis.unwrap().bytes, b"genesis");
    assert_eq!(survey.records.len(), 3);
    assert!(survey.records.values().all(|of| of.version == version && !of.fleeting));

    // Any one of them is in the way of all.
    assert_eq!(etcd.create(Some(b"other"), &records(5..6)).await, Ok(Written::Conflict));
    assert_eq!(etcd.create(None, &records(2..4)).await, Ok(Written::Conflict));
    assert_eq!(etcd.look(3).await, Ok(None));

    // Won, and lost by whoever comes with the old value, whatever it does about the marker.
    let old = etcd.look(0).await.unwrap().unwrap();
    let new = done(&etcd, &change(0, &old, b"new", Mark::Leave)).await;
    for mark in [Mark::Leave, Mark::Remove, make("me"), keep("me")] {
        assert_eq!(etcd.write(&change(0, &old, b"late", mark)).await, Ok(Written::Conflict));
    }
    let absent = Write { worker_id: 0, from: None, to: b"x".to_vec(), mark: Mark::Leave };
    assert_eq!(etcd.write(&absent).await, Ok(Written::Conflict));
    assert_eq!(etcd.look(0).await, Ok(Some(new.clone())));
    assert_eq!(marker(&etcd, 0).await, None, "a write in conflict makes no marker");

    // Deleted, and put there with other bytes; or with the same revision and other bytes.
    server.ctl(&["del", &keys().record(0)]);
    assert_eq!(etcd.write(&change(0, &new, b"x", Mark::Leave)).await, Ok(Written::Conflict));
    server.ctl(&["put", &keys().record(0), "restored"]);
    assert_eq!(etcd.write(&change(0, &new, b"x", Mark::Leave)).await, Ok(Written::Conflict));
    let restored = etcd.look(0).await.unwrap().unwrap();
    let same_revision = Stored { bytes: b"new".to_vec(), ..restored.clone() };
    let write = change(0, &same_revision, b"x", Mark::Leave);
    assert_eq!(etcd.write(&write).await, Ok(Written::Conflict));
    assert_eq!(etcd.look(0).await, Ok(Some(restored)));

    let first = Write { worker_id: 9, from: None, to: b"first".to_vec(), mark: make("me") };
    done(&etcd, &first).await;
    assert_eq!(etcd.write(&first).await, Ok(Written::Conflict));
    server.ctl(&["put", &format!("{}unknown", keys().all()), "x"]);
    assert_eq!(etcd.survey().await.unwrap().records.len(), 4, "what is unknown does not matter");
}

#[tokio::test]
async fn a_datacenter_of_4096_slots_is_created_at_once() {
    let server = Server::start().await;
    let etcd = client_of(&server);
    let records: std::collections::BTreeMap<_, _> =
        (0..4_096).map(|worker_id| (worker_id, vec![7; 200])).collect();
    let other = etcd.create(None, &[(77, vec![1])].into()).await;
    assert!(matches!(other, Ok(Written::Done { .. })));
    assert_eq!(etcd.create(Some(b"g"), &records).await, Ok(Written::Conflict));
    assert_eq!(etcd.survey().await.unwrap().genesis, None);
    server.ctl(&["del", &keys().record(77)]);
    assert!(matches!(etcd.create(Some(b"g"), &records).await, Ok(Written::Done { .. })));
    let survey = etcd.survey().await.unwrap();
    assert_eq!(survey.records.len(), 4_096);
    assert!(survey.genesis.is_some());
}

#[tokio::test]
async fn a_record_with_a_lease_is_told_and_repaired() {
    let server = Server::start().await;
    let etcd = client_of(&server);
    let record = made(&etcd, 4, b"record").await;
    let granted = server.ctl(&["lease", "grant", "600"]);
    let lease = granted.split_whitespace().nth(1).unwrap();
    server.ctl(&["put", &format!("--lease={lease}"), &keys().record(4), "record"]);
    assert!(server.has_lease(&keys().record(4)), "by hand");

    let fleeting = etcd.look(4).await.unwrap().unwrap();
    assert!(fleeting.fleeting && etcd.survey().await.unwrap().records[&4].fleeting);
    let unaware = etcd.write(&change(4, &record, b"x", Mark::Leave)).await;
    assert_eq!(unaware, Ok(Written::Conflict), "the same bytes, by another hand");
    done(&etcd, &change(4, &fleeting, b"repaired", Mark::Leave)).await;
    assert!(!server.has_lease(&keys().record(4)));
    server.ctl(&["lease", "revoke", lease]);
    assert!(etcd.look(4).await.unwrap().is_some());
}
