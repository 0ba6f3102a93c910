//! Markers, and the lease they hang on.

use tokio::task::JoinHandle;

use super::*;

/// A client whose session ends so soon when nobody tends it.
fn with_session(server: &Server, seconds: u64) -> Arc<Etcd> {
    let mut settings = settings(&[&server.url()]);
    settings.session = Duration::from_secs(seconds);
    client(settings)
}

/// Keeps the session of a client alive, the one it has or the first one that it makes.
fn tend(etcd: &Arc<Etcd>) -> JoinHandle<()> {
    let etcd = etcd.clone();
    tokio::spawn(async move { etcd.tend().await })
}

// With a thread for what tends the session: etcdctl holds up the one of the test.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_marker_hangs_on_a_lease_and_ends_with_it_and_the_record_stays() {
    let server = Server::start().await;
    let etcd = with_session(&server, 5);
    let other = with_session(&server, 5);
    let record = made(&etcd, 1, b"free").await;
    assert_eq!(etcd.session(), 0);
    let tending = tend(&etcd);
    let held = done(&etcd, &change(1, &record, b"held", make("me"))).await;
    assert_eq!(etcd.session(), 1);
    assert!(!server.has_lease(&keys().record(1)), "the record never has one");
    assert!(server.has_lease(&keys().marker(1)));
    assert_eq!(marker(&etcd, 1).await, Some(("me".into(), true)));
    assert_eq!(marker(&other, 1).await, Some(("me".into(), false)));

    // Kept alive for longer than one lives that nobody tends, and by each write that keeps it.
    let free = made(&other, 2, b"free").await;
    done(&other, &change(2, &free, b"held", make("other"))).await;
    until(async || marker(&other, 2).await.is_none()).await;
    let kept = done(&etcd, &change(1, &held, b"kept", keep("me"))).await;
    assert_eq!((etcd.session(), marker(&etcd, 1).await), (1, Some(("me".into(), true))));
    assert!(!server.has_lease(&keys().record(1)) && server.has_lease(&keys().marker(1)));

    // The process is frozen: nobody keeps it alive.
    tending.abort();
    let _ = tending.await;
    until(async || marker(&other, 1).await.is_none()).await;
    assert_eq!(etcd.look(1).await, Ok(Some(kept.clone())), "the bound stays");

    // It comes back, and does not know yet. The marker is made again with another lease.
    assert_eq!(etcd.session(), 1);
    let again = done(&etcd, &change(1, &kept, b"again", keep("me again"))).await;
    let tending = tend(&etcd);
    assert_eq!((etcd.session(), marker(&etcd, 1).await), (2, Some(("me again".into(), true))));
    assert!(!server.has_lease(&keys().record(1)) && server.has_lease(&keys().marker(1)));
    tending.abort();
    let _ = tending.await;

    // The end of the process: the marker goes at once.
    assert_eq!(etcd.close().await, Ok(()));
    assert_eq!((etcd.session(), marker(&other, 1).await), (3, None));
    assert_eq!(etcd.look(1).await, Ok(Some(again)));
    assert_eq!(etcd.close().await, Ok(()), "there is nothing to end");
}

#[tokio::test]
async fn a_marker_is_made_kept_and_removed_by_its_owner_only() {
    let server = Server::start().await;
    let (mine, theirs) = (client_of(&server), client_of(&server));
    let free = made(&mine, 2, b"free").await;
    let held = done(&mine, &change(2, &free, b"held", make("me"))).await;

    // The record is as they expect; the marker is not.
    for mark in [make("them"), keep("them")] {
        let write = change(2, &held, b"stolen", mark);
        assert_eq!(theirs.write(&write).await, Ok(Written::Conflict));
    }
    assert_eq!(mine.write(&change(2, &held, b"x", make("me"))).await, Ok(Written::Conflict));
    assert_eq!(marker(&mine, 2).await, Some(("me".into(), true)));

    // Deleted by hand: made again, with the same session.
    server.ctl(&["del", &keys().marker(2)]);
    let held = done(&mine, &change(2, &held, b"held 2", keep("me 2"))).await;
    assert_eq!((mine.session(), marker(&mine, 2).await), (1, Some(("me 2".into(), true))));

    // A foreign marker does not keep the record from being given back, and stays.
    let given = done(&theirs, &change(2, &held, b"given", Mark::Remove)).await;
    assert_eq!(marker(&mine, 2).await, Some(("me 2".into(), true)));
    let given = done(&mine, &change(2, &given, b"given 2", Mark::Remove)).await;
    assert_eq!(marker(&mine, 2).await, None);
    let given = done(&mine, &change(2, &given, b"given 3", Mark::Remove)).await;

    // Without a session too.
    let nobody = client_of(&server);
    done(&nobody, &change(2, &given, b"given 4", Mark::Remove)).await;
    assert_eq!(nobody.session(), 0);
}

#[tokio::test]
async fn a_lost_session_is_noticed_and_a_marker_is_made_with_a_new_one() {
    let server = Server::start().await;
    // It is looked after every third of that, and etcdctl comes twice in its life.
    let etcd = with_session(&server, 15);
    let free = made(&etcd, 3, b"free").await;
    let tending = tend(&etcd);
    let held = done(&etcd, &change(3, &free, b"held", make("me"))).await;
    let leases = server.ctl(&["lease", "list"]);
    let lease = leases.lines().nth(1).unwrap();
    server.ctl(&["lease", "revoke", lease]);
    until(async || etcd.session() == 2).await;
    let freed = done(&etcd, &change(3, &held, b"freed", Mark::Remove)).await;

    // Revoked again, and not noticed yet by the time a marker is to be made.
    tending.abort();
    let _ = tending.await;
    let held = done(&etcd, &change(3, &freed, b"held", make("me"))).await;
    assert_eq!(etcd.session(), 2);
    let leases = server.ctl(&["lease", "list"]);
    server.ctl(&["lease", "revoke", leases.lines().nth(1).unwrap()]);
    done(&etcd, &change(3, &held, b"held 2", make("me"))).await;
    assert_eq!((etcd.session(), marker(&etcd, 3).await), (3, Some(("me".into(), true))));
}
