use super::*;

#[tokio::test]
async fn what_is_there_is_not_made_again() {
    let bench = Bench::bare("create").await;
    let zookeeper = &bench.zookeeper;
    assert_eq!(zookeeper.session(), 0);
    assert_eq!(zookeeper.survey().await.unwrap(), Default::default(), "no folders at all");
    assert_ne!(zookeeper.session(), 0);

    let records: BTreeMap<_, _> = (0..1_024).map(|id| (id, vec![7; 180])).collect();
    let made = zookeeper.create(Some(b"genesis"), &records).await.unwrap();
    assert_eq!(made, Written::Done { version: 0 });
    let survey = zookeeper.survey().await.unwrap();
    assert_eq!(survey.genesis.unwrap().bytes, b"genesis");
    let stored = Stored { bytes: vec![7; 180], version: 0, fleeting: false };
    assert_eq!(survey.records.len(), 1_024);
    assert!(survey.records.values().all(|record| *record == stored));
    assert!(survey.markers.is_empty());

    let overlapping = BTreeMap::from([(2_000, vec![1]), (1_023, vec![1])]);
    assert_eq!(zookeeper.create(None, &overlapping).await.unwrap(), Written::Conflict);
    assert_eq!(zookeeper.create(Some(b"x"), &nothing()).await.unwrap(), Written::Conflict);
    assert_eq!(zookeeper.look(2_000).await.unwrap(), None, "all or nothing");
    assert_eq!(bench.node(&bench.record(1_023)).await.unwrap().1.version, 0);
    assert!(done(zookeeper.create(None, &nothing()).await.unwrap()));
}

#[tokio::test]
async fn a_record_is_written_when_it_is_as_expected() {
    let bench = Bench::new("record").await;
    let zookeeper = &bench.zookeeper;
    let first = zookeeper.look(1).await.unwrap();
    let written = write(zookeeper, 1, first.clone(), "a", Mark::Leave).await.unwrap();
    assert_eq!(written, Written::Done { version: 1 });
    let second = zookeeper.look(1).await.unwrap().unwrap();
    assert_eq!(second, Stored { bytes: b"a".to_vec(), version: 1, fleeting: false });

    let other = Stored { bytes: b"b".to_vec(), ..second.clone() };
    for from in [first, Some(other), None] {
        let written = write(zookeeper, 1, from, "c", make("me")).await.unwrap();
        assert_eq!(written, Written::Conflict);
    }
    let written = write(zookeeper, 9, Some(second), "c", make("me")).await.unwrap();
    assert_eq!(written, Written::Conflict, "a record that is missing is not made");
    assert_eq!(bench.node(&bench.record(1)).await.unwrap().0, "a");
    let survey = zookeeper.survey().await.unwrap();
    assert!(survey.markers.is_empty() && !survey.records.contains_key(&9));

    let written = write(zookeeper, 9, None, "new", Mark::Leave).await.unwrap();
    assert_eq!(written, Written::Done { version: 0 });
}

#[tokio::test]
async fn of_two_that_claim_at_once_one_wins() {
    let bench = Bench::new("race").await;
    let (one, two) = (bench.other(), bench.other());
    for round in 0..50 {
        let from = one.look(0).await.unwrap();
        let (first, second) = (format!("one {round}"), format!("two {round}"));
        let written = tokio::join!(
            write(&one, 0, from.clone(), &first, make("one")),
            write(&two, 0, from, &second, make("two")),
        );
        let (winner, who) = match (written.0.unwrap(), written.1.unwrap()) {
            (Written::Done { .. }, Written::Conflict) => (&one, "one"),
            (Written::Conflict, Written::Done { .. }) => (&two, "two"),
            both => panic!("{both:?}"),
        };
        let record = one.look(0).await.unwrap().unwrap();
        assert_eq!(record.bytes, format!("{who} {round}").as_bytes());
        assert_eq!(bench.node(&bench.marker(0)).await.unwrap().0, who);
        assert!(done(change(winner, 0, "free", Mark::Remove).await));
    }
}

#[tokio::test]
async fn a_version_that_comes_again_does_not_help() {
    let bench = Bench::new("again").await;
    let zookeeper = &bench.zookeeper;
    let key = bench.record(2);
    let from = zookeeper.look(2).await.unwrap();
    bench.hand.delete(&key, None).await.unwrap();
    bench.make(&key, "foreign", CreateMode::Persistent).await;
    assert_eq!(bench.node(&key).await.unwrap().1.version, 0);
    for zookeeper in [zookeeper, &bench.other()] {
        let written = write(zookeeper, 2, from.clone(), "mine", make("me")).await.unwrap();
        assert_eq!(written, Written::Conflict);
    }
    assert_eq!(bench.node(&key).await.unwrap().0, "foreign");
}

#[tokio::test]
async fn a_fleeting_record_is_made_to_stay() {
    let bench = Bench::new("fleeting").await;
    let zookeeper = &bench.zookeeper;
    let key = bench.record(7);
    bench.make(&key, "fleeting", CreateMode::Ephemeral).await;
    let stored = zookeeper.look(7).await.unwrap().unwrap();
    assert!(stored.fleeting && zookeeper.survey().await.unwrap().records[&7].fleeting);

    let other = Stored { bytes: b"else".to_vec(), ..stored.clone() };
    let lost = write(zookeeper, 7, Some(other), "x", Mark::Leave).await.unwrap();
    assert_eq!(lost, Written::Conflict);
    let won = write(zookeeper, 7, Some(stored), "stays", make("me")).await.unwrap();
    assert_eq!(won, Written::Done { version: 0 });
    let (text, stat) = bench.node(&key).await.unwrap();
    assert_eq!((text.as_str(), stat.ephemeral_owner), ("stays", 0));
    assert!(!zookeeper.look(7).await.unwrap().unwrap().fleeting);
}

#[tokio::test]
async fn what_else_lies_there_is_left_alone() {
    let bench = Bench::new("else").await;
    for name in ["worker07", "notes", "worker70000"] {
        let key = format!("{}/{name}", bench.settings.keys.records());
        bench.make(&key, "?", CreateMode::Persistent).await;
        let key = format!("{}/{name}", bench.settings.keys.markers());
        bench.make(&key, "?", CreateMode::Persistent).await;
    }
    let survey = bench.zookeeper.survey().await.unwrap();
    assert_eq!(survey.records.into_keys().collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert!(survey.markers.is_empty());
}
