use super::*;

#[tokio::test]
async fn a_claim_makes_a_marker_that_a_second_one_meets() {
    let bench = Bench::new("claim").await;
    let (zookeeper, other) = (&bench.zookeeper, bench.other());
    assert!(done(change(zookeeper, 1, "mine", make("me")).await));
    let (text, stat) = bench.node(&bench.marker(1)).await.unwrap();
    assert_eq!(text, "me");
    assert_eq!(stat.ephemeral_owner, zookeeper.current().unwrap().id());
    assert_eq!(bench.node(&bench.record(1)).await.unwrap().1.ephemeral_owner, 0);

    assert!(zookeeper.survey().await.unwrap().markers[&1].mine);
    let seen = other.survey().await.unwrap().markers.remove(&1).unwrap();
    assert_eq!((seen.text.as_str(), seen.mine), ("me", false));
    for mark in [make("other"), keep("other")] {
        assert_eq!(change(&other, 1, "other's", mark).await, Written::Conflict);
    }
    assert_eq!(change(zookeeper, 1, "twice", make("me")).await, Written::Conflict);
    assert_eq!(bench.node(&bench.record(1)).await.unwrap().0, "mine");
    assert!(done(change(zookeeper, 1, "more", keep("me")).await));
    assert!(done(change(&other, 1, "repaired", Mark::Leave).await));
    assert_eq!(bench.node(&bench.marker(1)).await.unwrap().1.czxid, stat.czxid, "untouched");
}

#[tokio::test]
async fn only_an_own_marker_is_removed() {
    let bench = Bench::new("remove").await;
    let zookeeper = &bench.zookeeper;
    assert!(done(change(zookeeper, 1, "a", make("me")).await));
    assert!(done(change(zookeeper, 1, "b", Mark::Remove).await));
    assert!(bench.node(&bench.marker(1)).await.is_none());
    assert!(done(change(zookeeper, 1, "c", Mark::Remove).await), "gone already");

    bench.make(&bench.marker(1), "foreign", CreateMode::Ephemeral).await;
    assert!(done(change(zookeeper, 1, "d", Mark::Remove).await));
    assert_eq!(bench.node(&bench.marker(1)).await.unwrap().0, "foreign");
    assert_eq!(bench.node(&bench.record(1)).await.unwrap().0, "d");
}

#[tokio::test]
async fn a_marker_that_was_deleted_is_made_again() {
    let bench = Bench::new("deleted").await;
    let zookeeper = &bench.zookeeper;
    assert!(done(change(zookeeper, 1, "a", make("me")).await));
    bench.hand.delete(&bench.marker(1), None).await.unwrap();
    assert!(done(change(zookeeper, 1, "b", keep("me")).await));
    assert!(zookeeper.survey().await.unwrap().markers[&1].mine);

    // Even when the folder is gone as well.
    bench.hand.delete(&bench.marker(1), None).await.unwrap();
    bench.hand.delete(&bench.settings.keys.markers(), None).await.unwrap();
    assert!(done(change(zookeeper, 1, "c", keep("me")).await));
    assert!(zookeeper.survey().await.unwrap().markers[&1].mine);
}

#[tokio::test]
async fn another_session_makes_the_marker_again() {
    let bench = Bench::new("session").await;
    let zookeeper = Arc::new(bench.other());
    let tended = Arc::clone(&zookeeper);
    let tending = tokio::spawn(async move { tended.tend().await });
    assert!(done(change(&zookeeper, 1, "a", make("me")).await));
    let session = zookeeper.session();

    expire(&bench.server, &zookeeper);
    let start = Instant::now();
    while zookeeper.session() == session {
        assert!(start.elapsed() < PATIENCE, "nobody notices");
        sleep(PAUSE).await;
    }
    assert!(bench.node(&bench.marker(1)).await.is_none());
    let noticed = zookeeper.session();
    assert!(done(change(&zookeeper, 1, "b", keep("me")).await));
    assert_ne!(zookeeper.session(), noticed);
    assert!(zookeeper.survey().await.unwrap().markers[&1].mine);

    expire(&bench.server, &zookeeper);
    bench.make(&bench.marker(1), "foreign", CreateMode::Ephemeral).await;
    assert_eq!(change(&zookeeper, 1, "c", keep("me")).await, Written::Conflict);
    assert_eq!(bench.node(&bench.record(1)).await.unwrap().0, "b");
    tending.abort();
}

#[tokio::test]
async fn the_marker_of_an_own_old_session_is_waited_out() {
    let bench = Bench::new("stale").await;
    let zookeeper = &bench.zookeeper;
    assert!(done(change(zookeeper, 1, "a", make("me")).await));
    // Given up here, while the ensemble still keeps it.
    let old = zookeeper.current().unwrap();
    zookeeper.lose(old.id());
    assert!(done(change(zookeeper, 1, "b", keep("me")).await));
    assert_eq!(bench.node(&bench.marker(1)).await.unwrap().1.ephemeral_owner, old.id());
    assert!(!zookeeper.survey().await.unwrap().markers[&1].mine);

    drop(old);
    bench.gone(&bench.marker(1)).await;
    assert!(done(change(zookeeper, 1, "c", keep("me")).await));
    assert!(zookeeper.survey().await.unwrap().markers[&1].mine);
}

#[tokio::test]
async fn a_session_that_is_closed_takes_its_markers_along() {
    let bench = Bench::new("close").await;
    let zookeeper = &bench.zookeeper;
    zookeeper.close().await.unwrap();
    assert!(done(change(zookeeper, 1, "a", make("me")).await));
    let session = zookeeper.session();
    zookeeper.close().await.unwrap();
    assert!(bench.node(&bench.marker(1)).await.is_none(), "at once");
    assert_ne!(zookeeper.session(), session);
    assert!(done(change(zookeeper, 1, "b", make("me")).await), "a new one");
}
